import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

/// What a form accepts and the regular expression that documents show must be the same.
struct TextFormTests {
    static let forms: [TextForm] = [
        .node, .storage, .pool, .environment, .snapshot, .dnsName, .word, .label, .storageMap, .text(0), .text(5),
        .text(64),
    ]

    static let corpus: [String] = {
        let atoms = [
            "", "a", "Z", "0", "-", "_", ".", "/", ":", "@", ",", ";", "=", "%", "%2f", "?", "#", " ", "\t", "\n", "\r",
            "\r\n", "\0", "\u{7}", "\u{B}", "\u{1F}", "\u{7F}", "\u{80}", "\u{85}", "\u{A0}", "é", "e\u{301}", "ß", "İ",
            "ａ", "１", "٣", "²", "\u{200B}", "\u{202E}", "\u{2028}", "\u{FEFF}", "👍", "👨‍👩‍👧‍👦", "🇩🇪", "..", "//", "\\",
        ]
        var texts = atoms
        for a in atoms { for b in atoms { texts += [a + b, "a" + a + b + "z"] } }
        for a in atoms { for count in [2, 3, 5, 6, 39, 40, 41] { texts.append(String(repeating: a, count: count)) } }
        for length in [1, 2, 3, 5, 6, 40, 41, 61, 62, 63, 64, 65, 99, 100, 101, 128, 129, 200, 201, 512, 513] {
            texts += ["a", "1", "é"].map { String(repeating: $0, count: length) }
            texts.append("a" + String(repeating: "-", count: length) + "a")
        }
        texts += [
            "a/b/c", "a/b/c/d", "a/../b", "./a", "a/.", "...", "a/...", "local-lvm:ceph,x:y", "user@pve", "a\u{301}bc",
        ]
        var random = RandomJSON(seed: 7)
        texts += (0..<500).map { _ in random.text() }
        return texts
    }()

    @Test(arguments: forms)
    func `a form accepts what its pattern matches`(form: TextForm) throws {
        let pattern = try Regex(form.pattern).matchingSemantics(.unicodeScalar)
        for text in Self.corpus {
            let isMatch = try pattern.wholeMatch(in: text) != nil
            #expect(form.matches(text) == isMatch, "\(JSON.string(text).text) as \(form)")
        }
    }

    @Test func `text is counted in code points, as PVE counts it`() {
        #expect(TextForm.text(2).matches("e\u{301}"))
        #expect(!TextForm.text(2).matches("e\u{301}\u{301}"))
        #expect(!TextForm.text(1).matches("👨‍👩‍👧‍👦"))
    }
}
