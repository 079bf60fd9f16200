import FoundationEssentials
import StrictJSON
import Testing

@testable import Signatures

struct ApprovalTextTests {
    @Test func `is the text of the format, to the last newline`() {
        let text = ApprovalText(
            agent: "proxmox-agent/pve-1/5k2n", plan: "pln_0123456789abcdefghjk", planHash: "00ff", decision: "approve",
            principal: "alice", reason: "say \"why\"\nand go")
        #expect(
            text.text == """
                proxmox-agent approval v1
                agent proxmox-agent/pve-1/5k2n
                plan pln_0123456789abcdefghjk
                plan_hash 00ff
                decision approve
                principal alice
                reason "say \\"why\\"\\nand go"

                """)
        #expect(ApprovalText(reading: text.text) == text)
    }

    @Test(arguments: ["", "ä", "e\u{301}", "\u{2028}", "\u{0}\u{1F}\u{7F}", "\r\n", "a\\b/c", "👩‍🚀", "\nplan pln_x"])
    func `any reason stays on its line, and reads as it was`(reason: String) {
        let text = ApprovalText(
            agent: "a", plan: "p", planHash: "h", decision: "reject", principal: "bob", reason: reason)
        #expect(text.bytes.count { $0 == 0x0A } == 7)
        #expect(ApprovalText(reading: text.text)?.reason.utf8.elementsEqual(reason.utf8) == true)
    }

    @Test(arguments: [
        ("agent a", "agent  a"), ("decision approve\n", ""), ("reason \"\"", "reason"), ("reason \"\"", "reason \"\" "),
        ("reason \"\"", #"reason "\u0061""#), ("v1", "v2"), ("\nplan ", "\nPlan "), ("\"\"\n", "\"\"\n\n"),
        ("\n", "\r\n"),
    ])
    func `reads nothing that is spelled in another way`(change: (from: String, to: String)) {
        let good = ApprovalText(
            agent: "a", plan: "p", planHash: "h", decision: "approve", principal: "bob", reason: "")
        let parts = good.text.split(separator: change.from, omittingEmptySubsequences: false)
        let bad = parts.joined(separator: change.to)
        let read = ApprovalText(reading: bad)
        // A second blank is part of the name, so the text is another one, though it reads.
        #expect(read == nil || read?.agent == " a")
    }

    @Test func `base64 is what Foundation writes, and has one spelling`() {
        for count in 0..<80 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ count) }
            let text = Data(bytes).base64EncodedString()
            #expect(Base64.encode(bytes) == text)
            #expect(Base64.decode(text.utf8) == bytes)
            #expect(Base64.decodeURL(Base64.encodeURL(bytes).utf8) == bytes)
        }
        for text in ["A", "AA", "AAA", "AA=", "A===", "====", "AB==", "AAB=", "AA==AA==", "AA\n==", "-_==", "=AAA"] {
            #expect(Base64.decode(text.utf8) == nil, "\(text)")
        }
        for text in ["A", "AB", "AA==", "+/", "A A"] { #expect(Base64.decodeURL(text.utf8) == nil, "\(text)") }
    }
}
