import AgentModel
import AgentTestSupport
import Testing

struct IdentifierTests {
    @Test(arguments: [(100, true), (101, true), (999_999_999, true), (0, false), (99, false), (1_000_000_000, false)])
    func `guest ids are 100 to 999999999`(raw: UInt32, isGood: Bool) {
        #expect((VMID(rawValue: raw) != nil) == isGood)
        #expect((VMID("\(raw)") != nil) == isGood)
    }

    @Test(arguments: ["", "0101", "+101", "-101", " 101", "101 ", "1e2", "0x65", "１０１", "101\n", "4294967397", "101/"])
    func `guest ids have one spelling`(text: String) {
        #expect(VMID(text) == nil)
    }

    @Test(arguments: [
        ("pve1", true), ("PVE", true), ("a", true), ("1", true), ("a-b", true),
        (String(repeating: "n", count: 63), true),
        (String(repeating: "n", count: 64), false), ("", false), ("-a", false), ("a-", false), ("a.b", false),
        ("a_b", false), ("a/b", false), ("..", false), ("%2f", false), ("a;b", false), ("á", false), ("a\n", false),
    ])
    func `node names are host names`(text: String, isGood: Bool) {
        #expect((NodeName(text)?.description == text) == isGood)
    }

    @Test(arguments: [
        ("local", true), ("local-lvm", true), ("a.b_c-9", true), ("ab", true),
        (String(repeating: "s", count: 100), true),
        (String(repeating: "s", count: 101), false), ("a", false), ("", false), ("1a", false), ("local-", false),
        ("local.", false), ("_ab", false), ("../x", false), ("a/b", false), ("a b", false), ("a%2fb", false),
    ])
    func `storage names begin with a letter and end with a letter or digit`(text: String, isGood: Bool) {
        #expect((StorageName(text) != nil) == isGood)
    }

    @Test(arguments: [
        ("prod", true), ("a/b", true), ("a/b/c", true), ("a.b", true), ("...", true), ("a/b/c/d", false), ("", false),
        ("/a", false), ("a/", false), ("a//b", false), (".", false), ("..", false), ("a/..", false), ("./a", false),
        ("a/../b", false), (String(repeating: "p", count: 200), true), (String(repeating: "p", count: 201), false),
        ("a b", false), ("a\u{301}", false),
    ])
    func `pools nest three deep and hold no dot segments`(text: String, isGood: Bool) {
        #expect((PoolName(text) != nil) == isGood)
    }

    @Test(arguments: [
        ("home", true), ("a", true), ("9", true), ("a.b-c_d", true), (String(repeating: "e", count: 64), true),
        (String(repeating: "e", count: 65), false), ("", false), (".a", false), ("-a", false), ("a b", false),
        ("a/b", false), ("ä", false),
    ])
    func `environments have plain names`(text: String, isGood: Bool) {
        #expect((EnvironmentName(text) != nil) == isGood)
    }

    @Test(arguments: RecordID.Kind.allCases)
    func `made ids are read back, by their own kind only`(kind: RecordID.Kind) {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<100 {
            let id = RecordID(kind, using: &generator)
            #expect(RecordID(id.description, kind) == id)
            #expect(id.description.utf8.count == kind.rawValue.utf8.count + 20)
            for other in RecordID.Kind.allCases where other != kind { #expect(RecordID(id.description, other) == nil) }
        }
    }

    @Test(arguments: [
        "", "pln_", "pln_0123456789abcdefghj", "pln_0123456789abcdefghjkm", "pln_0123456789abcdefghji",
        "pln_0123456789abcdefghjl", "pln_0123456789abcdefghjo", "pln_0123456789abcdefghju", "pln_0123456789ABCDEFGHJK",
        "PLN_0123456789abcdefghjk", "0123456789abcdefghjk", "pln_0123456789abcdefghj/", " pln_0123456789abcdefghjk",
    ])
    func `ids are a prefix and 20 of lower-case Crockford base32`(text: String) {
        #expect(RecordID("pln_0123456789abcdefghjk", .plan) != nil)
        #expect(RecordID(text, .plan) == nil)
    }
}
