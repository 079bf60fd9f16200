import AgentAudit
import AgentModel
import AgentTestSupport
import FoundationEssentials
import Signatures
import StrictJSON
import Testing

/// `audit verify` checks every signature again, with nothing but the records.
struct AuditSignatureTests {
    private static let plan = "pln_0123456789abcdefghjk"
    private static let hash = String(repeating: "ab", count: 32)

    private static func text(_ change: (inout ApprovalText) -> Void = { _ in }) -> ApprovalText {
        var text = ApprovalText(
            agent: "proxmox-agent/test/1", plan: plan, planHash: hash, decision: "approve", principal: "alice",
            reason: "seen")
        change(&text)
        return text
    }

    private static func signed(_ text: ApprovalText, isSecurityKey: Bool = false) throws -> SignedApproval {
        let token = SoftwareToken.ed25519
        let armour = SoftwareToken.armour(
            try token.sshSignature(of: text.bytes) { $0.isSecurityKey = isSecurityKey })
        return SignedApproval(
            text, by: try ApprovalKey(line: token.sshLine(isSecurityKey: isSecurityKey)), .ssh(armour))
    }

    private static func event(
        _ signed: JSON?, kind: AuditKind = .approve, assurance: String = "signed",
        change: (inout JSONObject) -> Void = { _ in }
    ) -> AuditEvent {
        var result: JSONObject = [
            "plan_hash": .string(hash), "assurance": .string(assurance), "reason": "seen", "signed": signed,
        ]
        change(&result)
        return AuditEvent(
            kind: kind, actor: "alice", principal: "alice", environment: "home", planID: plan,
            result: .object(result))
    }

    /// The summary of a log of these events, whose chain is whole.
    private static func verify(_ events: [AuditEvent]) throws -> AuditSummary {
        var chain = AuditChain()
        var verifier = AuditVerifier()
        try verifier.begin(file: "log")
        for (number, event) in events.enumerated() {
            let record = chain.extend(with: event, at: Timestamp(moment + Double(number)))
            try verifier.feed((record.line + [0x0A])[...])
        }
        return try verifier.finish()
    }

    @Test func `says how many signatures are good`() throws {
        let web = SoftwareToken.p256
        let text = Self.text { $0.decision = "reject" }
        let passkey = SignedApproval(
            text, by: ApprovalKey(.passkey(try web.passkey())),
            .passkey(try web.assertion { $0.challenge = text.challenge }))
        let summary = try Self.verify([
            Self.event(try Self.signed(Self.text()).form), .sample(1),
            Self.event(try Self.signed(Self.text(), isSecurityKey: true).form, assurance: "hardware"),
            Self.event(passkey.form, kind: .reject), Self.event(nil, assurance: "verified"),
        ])
        #expect(summary.signatures == 3)
        #expect(summary.description.contains(", chain whole, 3 signatures good, head 5:"), "\(summary)")
        #expect(try !Self.verify([.sample(1)]).description.contains("signature"))
    }

    @Test(arguments: try bad())
    func `finds a signature that is not one of what its record says`(row: (name: String, event: AuditEvent)) throws {
        let finding = #expect(throws: AuditFinding.self, "\(row.name)") { try Self.verify([.sample(1), row.event]) }
        #expect(
            finding?.line == 2 && finding?.description.contains("signature") == true, "\(String(describing: finding))")
    }

    static func bad() throws -> [(name: String, event: AuditEvent)] {
        let good = try signed(text())
        func other(_ change: (inout ApprovalText) -> Void) throws -> JSON { try signed(text(change)).form }
        func with(_ member: String, _ value: JSON) -> JSON {
            var form = good.form.object ?? [:]
            form[member] = value
            return .object(form)
        }
        return [
            (
                "the record of another hash",
                event(good.form) { $0["plan_hash"] = .string(String(repeating: "0", count: 64)) }
            ),
            ("another reason", event(good.form) { $0["reason"] = "other" }),
            ("no reason", event(good.form) { $0["reason"] = nil }),
            ("a rejection of an approval", event(good.form, kind: .reject)),
            ("more than it is", event(good.form, assurance: "hardware")),
            ("less than it is", event(good.form, assurance: "verified")),
            ("none", event(nil)), ("null", event(.null)), ("rubbish", event(["text": "x"])),
            ("text of another principal", event(try other { $0.principal = "bob" })),
            ("text of another plan", event(try other { $0.plan = "pln_00000000000000000000" })),
            ("a text that was not signed", event(with("text", .string(text { $0.agent = "proxmox-agent/x/2" }.text)))),
            ("another key", event(with("key", .string(SoftwareToken.p256.sshLine(isSecurityKey: false))))),
            ("another signature", event(with("signature", ["ssh": "-----BEGIN SSH SIGNATURE-----"]))),
        ]
    }
}
