import AgentModel
import Testing

/// Where a download may come from is compared by place, not by spelling.
struct DownloadAddressTests {
    private static let folder = "https://cloud.debian.org/images/"

    private static func isAllowed(_ url: String, below allowed: String = folder) throws -> Bool {
        let allowed = try #require(DownloadAddress(allowed))
        return DownloadAddress(url).map { $0.isBelow(allowed) } ?? false
    }

    @Test(arguments: [
        "https://cloud.debian.org/images/a.qcow2", "https://cloud.debian.org/images/cloud/trixie/latest/a.qcow2",
        "https://Cloud.Debian.ORG/images/a.qcow2", "https://cloud.debian.org:443/images/a.qcow2",
        "https://cloud.debian.org./images/a.qcow2", "https://cloud.debian.org/%69mages/a.qcow2",
        "https://cloud.debian.org/images/a%20b.qcow2", "https://cloud.debian.org/images/a..b",
        "https://cloud.debian.org/images/a.qcow2?version=3", "https://cloud.debian.org/images/a;v=1.qcow2",
    ])
    func `what lies below is allowed however it is spelt`(url: String) throws {
        #expect(try Self.isAllowed(url))
    }

    @Test func `a letter that Unicode holds to be the same is another one`() throws {
        #expect(try Self.isAllowed("https://h.example/Keep/a", below: "https://h.example/Keep/"))
        #expect(try !Self.isAllowed("https://h.example/%E2%84%AAeep/a", below: "https://h.example/Keep/"))
    }

    @Test(arguments: [
        // Out of the folder.
        "https://cloud.debian.org/images/../evil", "https://cloud.debian.org/images/./a",
        "https://cloud.debian.org/images/%2e%2e/evil", "https://cloud.debian.org/images/.%2E/evil",
        "https://cloud.debian.org/images/..%2fevil", "https://cloud.debian.org/images/..%2Fevil",
        "https://cloud.debian.org/images/x%2f..%2f..%2fevil", "https://cloud.debian.org/images/..;/evil",
        "https://cloud.debian.org/images/..;a=b/evil", "https://cloud.debian.org/images/%2e%2e;x/evil",
        "https://cloud.debian.org/images/..%3b/evil", "https://cloud.debian.org/images/;/../evil",
        "https://cloud.debian.org/images/%252e%252e/evil", "https://cloud.debian.org/images/%25252e%25252e/evil",
        "https://cloud.debian.org/images/..%252fevil", "https://cloud.debian.org/images/..%5cevil",
        "https://cloud.debian.org/images/..%255cevil", "https://cloud.debian.org/images/..\\evil",
        "https://cloud.debian.org/images\\..\\evil", "https://cloud.debian.org/images/%c0%ae%c0%ae/evil",
        "https://cloud.debian.org/images/%ef%bc%8e%ef%bc%8e/evil", "https://cloud.debian.org/images/..%ef%bc%8fevil",
        "https://cloud.debian.org/images/..%20/evil", "https://cloud.debian.org/images/..%00/evil",
        "https://cloud.debian.org/images/..%09/evil", "https://cloud.debian.org/images/.../evil",
        "https://cloud.debian.org/images/a%2f%cc%81..%2fevil", "https://cloud.debian.org/images/%zz",
        "https://cloud.debian.org/images/%2", "https://cloud.debian.org/images/%+2",
        "https://cloud.debian.org/images/x?/../../evil", "https://cloud.debian.org/images/x?y=%252e%252e/evil",
        // Another folder or host.
        "https://cloud.debian.org/images", "https://cloud.debian.org/images/", "https://cloud.debian.org/imagesevil/a",
        "https://cloud.debian.org/Images/a", "https://cloud.debian.org//images/a", "https://cloud.debian.org/images//a",
        "https://cloud.debian.org.evil.com/images/a", "https://evilcloud.debian.org/images/a",
        "https://cloud.debian.org:8443/images/a", "https://cloud.debian.org:/images/a",
        "https://cloud.debian.org:0443/images/a", "https://cloud.debian.org:443@evil.com/images/a",
        "https://cloud.debian.org@evil.com/images/a", "https://user:pass@cloud.debian.org/images/a",
        "https://evil.com/?https://cloud.debian.org/images/a", "https://evil.com#@cloud.debian.org/images/a",
        "https://evil.com\\@cloud.debian.org/images/a", "https://cloud.debian.org%2eevil.com/images/a",
        "https://cloud.debian.org%00.evil.com/images/a", "https://cloud.debian.org../images/a",
        "https://cloud.debian.org;evil.com/images/a", "https:/cloud.debian.org/images/a",
        "https:///cloud.debian.org/images/a", "http://cloud.debian.org/images/a",
        "http://cloud.debian.org:443/images/a", "ftp://cloud.debian.org/images/a", "//cloud.debian.org/images/a",
        "https://clöud.debian.org/images/a", "https://xn--cloud.debian.org/images/a",
        "https://cloud.debian.org/images/a#b", "https://cloud.debian.org\n/images/a", "",
    ])
    func `what only looks as if it lay below is not allowed`(url: String) throws {
        #expect(try !Self.isAllowed(url))
    }

    @Test(
        arguments: [
            ("https://host.example", nil), ("https://host.example/", true), ("https://host.example/a", true),
            ("https://user@host.example/", nil), ("https://host.example/a/../", nil),
            ("https://host.example/%2e%2e/", nil),
            ("https://host.example//", nil), ("https://host.example/a#b", nil),
        ] as [(String, Bool?)])
    func `an entry of the list is a whole address`(entry: String, isAddress: Bool?) {
        #expect((DownloadAddress(entry) != nil) == (isAddress != nil))
    }

    @Test(arguments: [
        ("https://host.example/", "https://host.example/a", true),
        ("https://host.example/", "https://host.example.evil.com/a", false),
        ("https://host.example/file.iso", "https://host.example/file.iso", true),
        ("https://host.example/file.iso", "https://host.example/file.iso.evil", false),
        ("https://host.example/dir", "https://host.example/dir/a", true),
        ("https://host.example/dir", "https://host.example/dir2/a", false),
        ("https://host.example:8443/", "https://host.example:8443/a", true),
        ("https://host.example:8443/", "https://host.example/a", false),
        ("https://192.0.2.1/", "https://192.0.2.10/a", false), ("https://127.0.0.1/", "https://127.1/a", false),
    ])
    func `whole segments, hosts and ports are compared`(entry: String, url: String, isAllowed: Bool) throws {
        #expect(try Self.isAllowed(url, below: entry) == isAllowed)
    }
}
