import CurlHTTP
import Testing

@Suite struct HTTPOriginTests {
    @Test(arguments: [
        ("https://pve.example:8006", "https://pve.example:8006"),
        ("https://pve.example:8006/", "https://pve.example:8006"),
        ("HTTPS://PVE.Example", "https://pve.example:443"),
        ("https://pve_1-a.lan:1", "https://pve_1-a.lan:1"),
        ("https://192.0.2.1:65535", "https://192.0.2.1:65535"),
        ("https://[2001:db8::1]:8006", "https://[2001:db8::1]:8006"),
        ("https://[::1]", "https://[::1]:443"),
        ("http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("http://127.9.8.7", "http://127.9.8.7:80"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[0:0:0:0:0:0:0:1]:8080", "http://[0:0:0:0:0:0:0:1]:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
    ])
    func `reads an origin and writes it with its port`(text: String, written: String) throws {
        let origin = try HTTPOrigin(parsing: text)
        #expect(origin.description == written)
    }

    @Test(
        arguments: [
            ("", .scheme), ("pve.example", .scheme), ("ftp://pve.example", .scheme), ("https:/pve.example", .scheme),
            (" https://pve.example", .scheme),
            ("https://", .host), ("https://:8006", .host), ("https://a..b", .host), ("https://-a.b", .host),
            ("https://pve example", .host), ("https://pvé.example", .host), ("https://\u{212A}.example", .host),
            ("https://[::1", .host),
            ("https://[::g]", .host), ("https://[::1]x", .host), ("https://[fe80::1%25eth0]", .host),
            ("https://[127.0.0.1]", .host), ("https://127.1", .host), ("https://2130706433", .host),
            ("https://0x7f.1", .host), ("https://a.0x7f000001", .host), ("https://256.0.0.1", .host),
            ("https://127.0.0.01", .host), ("https://a%2eb", .host), ("https://pve\r\n.example", .host),
            ("https://pve.example:", .port), ("https://pve.example:0", .port), ("https://pve.example:65536", .port),
            ("https://pve.example:+1", .port), ("https://pve.example:8006:1", .port), ("https://2001:db8::1", .host),
            ("https://user:secret@pve.example", .notOnlyOrigin), ("https://pve.example/api2", .notOnlyOrigin),
            ("https://pve.example//", .notOnlyOrigin), ("https://pve.example?x", .notOnlyOrigin),
            ("https://pve.example#x", .notOnlyOrigin), ("https://pve.example\\@evil", .notOnlyOrigin),
            ("http://pve.example", .plaintextBeyondLoopback), ("http://192.0.2.1:80", .plaintextBeyondLoopback),
            ("http://128.0.0.1", .plaintextBeyondLoopback), ("http://[::2]", .plaintextBeyondLoopback),
            ("http://[::ffff:127.0.0.1]", .plaintextBeyondLoopback), ("http://0.0.0.0", .plaintextBeyondLoopback),
            ("http://localhost.evil.example", .plaintextBeyondLoopback),
            ("http://127.0.0.1.evil.example", .plaintextBeyondLoopback),
        ] as [(String, HTTPOrigin.Invalid)])
    func `refuses what is no origin, or would show a token`(text: String, why: HTTPOrigin.Invalid) {
        #expect(throws: why) { try HTTPOrigin(parsing: text) }
    }
}

@Suite struct CertificateFingerprintTests {
    private static let text = (0..<32).map { $0 < 16 ? "0\(String($0, radix: 16).uppercased())" : "F\($0 % 10)" }
        .joined(separator: ":")

    @Test func `reads upper and lower case and writes upper case`() throws {
        let fingerprint = try #require(CertificateFingerprint(parsing: Self.text.lowercased()))
        #expect(fingerprint.description == Self.text)
        #expect(fingerprint == CertificateFingerprint(parsing: Self.text))
        #expect(fingerprint.bytes.prefix(3) == [0, 1, 2])
    }

    private static let malformed: [String] = {
        let others = ["GG", "+1", "0x", "A", "٠٠", " 0", "000"].map { $0 + text.dropFirst(2) }
        let cut = ["", "AA", String(text.dropLast()), String(text.dropLast(3)), text.filter { $0 != ":" }]
        let added = [text + ":00", text + ":", ":" + text, " " + text, text + "\n", "SHA256:" + text]
        return others + cut + added + [text.split(separator: ":").joined(separator: "-")]
    }()

    @Test(arguments: malformed)
    func `refuses anything but 32 pairs of digits`(text: String) {
        #expect(CertificateFingerprint(parsing: text) == nil)
    }
}
