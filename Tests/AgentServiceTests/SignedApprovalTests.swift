import AgentAudit
import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import Signatures
import StrictJSON
import Testing

/// Which signature counts, for what, and for how long.
@Suite(.timeLimit(.minutes(1)))
struct SignedApprovalTests {
    private static let soft = SoftwareToken.ed25519
    private static let hard = SoftwareToken.p256
    private static let web = SoftwareToken.newP256()
    private static let bobs = SoftwareToken.newEd25519()

    private static func key(_ token: SoftwareToken, isSecurityKey: Bool = false) throws -> ApprovalKey {
        try ApprovalKey(line: token.sshLine(isSecurityKey: isSecurityKey))
    }

    /// Alice with a key of each kind, or these; Bob with one; Carol without any.
    private static func team(_ rules: [PolicyRule], keys: [ApprovalKey]? = nil) throws -> Rules {
        let all = [try key(soft), try key(hard, isSecurityKey: true), ApprovalKey(.passkey(try web.passkey()))]
        return Rules(
            directory: Directory([
                TestPrincipals.agent, Principal(id: "alice", roles: [.approver], approvalKeys: keys ?? all),
                Principal(id: "bob", roles: [.approver], approvalKeys: [try key(bobs)]),
                Principal(id: "carol", roles: [.approver]),
            ]), policy: Policy(rules: rules))
    }

    private static func rule(_ assurance: Assurance?, approvals: Int = 1) -> PolicyRule {
        PolicyRule(id: "sign", effect: .requireApproval, approvals: approvals, assurance: assurance)
    }

    /// What is signed, and by what.
    struct Signing: Sendable {
        enum Means: Sendable { case soft, hard, web, bobs, armour(String) }
        var means = Means.soft
        var change: @Sendable (inout ApprovalText) -> Void = { _ in }
        var ssh: @Sendable (inout SoftwareToken.SSHRequest) -> Void = { _ in }
        var web: @Sendable (inout SoftwareToken.Asked) -> Void = { _ in }

        func callAsFunction(_ plan: Plan, _ verdict: ApprovalRequest.Verdict) throws -> ApprovalSignature {
            var text = ApprovalText(
                agent: TestService.installation.origin, plan: "\(plan.id)", planHash: plan.planHash,
                decision: verdict.rawValue, principal: "alice", reason: "looked at it")
            change(&text)
            func signed(_ token: SoftwareToken, _ isSecurityKey: Bool) throws -> ApprovalSignature {
                .ssh(
                    SoftwareToken.armour(
                        try token.sshSignature(of: text.bytes) {
                            $0.isSecurityKey = isSecurityKey
                            ssh(&$0)
                        }))
            }
            switch means {
            case .soft: return try signed(soft, false)
            case .hard: return try signed(hard, true)
            case .bobs: return try signed(bobs, false)
            case .armour(let armour): return .ssh(armour)
            case .web:
                return .passkey(
                    try SignedApprovalTests.web.assertion {
                        $0.challenge = text.challenge
                        web(&$0)
                    })
            }
        }
    }

    private func decide(
        _ world: TestService, _ plan: Plan, _ signing: Signing?, _ verdict: ApprovalRequest.Verdict = .approve,
        by name: String = "alice", reason: String = "looked at it"
    ) async throws -> Plan {
        let caller = Caller(principal: name, label: nil)
        let principal = try #require(world.rules.directory.principal(of: caller))
        let approval = ApprovalRequest(
            verdict, planHash: plan.planHash, reason: reason, signature: try signing?(plan, verdict))
        return try await world.service.approvals.decide(plan.id, approval, .by(principal))
    }

    private func refusal(
        _ world: TestService, _ plan: Plan, by name: String = "alice", _ signing: Signing?
    ) async throws -> ServiceError {
        let before = world.audit.kinds.count
        do {
            _ = try await decide(world, plan, signing, by: name)
        } catch let error as ServiceError {
            #expect(world.audit.kinds.dropFirst(before) == [.refuse], "one record, of the refusal")
            return error
        }
        throw Unexpected()
    }

    private struct Unexpected: Error {}

    @Test(arguments: [(Signing.Means.soft, Assurance.signed), (.hard, .hardware), (.web, .signed)])
    func `a signed approval counts, and its record can be checked by anybody`(
        means: Signing.Means, assurance: Assurance
    ) async throws {
        let world = try TestService(rules: try Self.team([Self.rule(.signed)]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        #expect(plan.requires == Requirement(approvals: 1, assurance: .signed))
        let approved = try await decide(world, plan, Signing(means: means))
        let approval = try #require(approved.approvals.first)
        #expect(approved.state == .approved && approval.assurance == assurance)

        let event = try #require(world.audit.events.last { $0.kind == .approve })
        let signed = try SignedApproval(form: try #require(event.result?["signed"]))
        #expect(signed == approval.signed && event.result?["assurance"]?.string == assurance.rawValue)
        _ = try signed.check()
        #expect(await world.applyCode(plan) == nil)
    }

    @Test func `where a rule asks for a signature, an approval without one is refused with the cure`() async throws {
        let world = try TestService(rules: try Self.team([Self.rule(.signed)]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        let withKeys = try await refusal(world, plan, nil)
        #expect(withKeys.code == .signatureRequired && withKeys.detail.contains("approve \(plan.id) --sign"))
        let without = try await refusal(world, plan, by: "carol", nil)
        #expect(without.code == .signatureRequired && without.detail.contains("carol has no approval_keys"))
        let signed = try await refusal(world, plan, by: "carol", Signing())
        #expect(signed.code == .signatureInvalid && signed.detail.contains("carol has no approval_keys"))
        #expect(try await world.state(of: plan) == .awaitingApproval)
    }

    @Test(arguments: [Signing.Means.soft, .web])
    func `for a rule about hardware only a security key will do`(means: Signing.Means) async throws {
        let world = try TestService(rules: try Self.team([Self.rule(.signed), Self.rule(.hardware)]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        let weak = try await refusal(world, plan, Signing(means: means))
        #expect(weak.code == .signatureRequired && weak.detail.contains("signed with a security key"))
        #expect(try await decide(world, plan, Signing(means: .hard)).state == .approved)
    }

    @Test func `without such a rule an approval may be signed, and then the signature must be good`() async throws {
        let world = try TestService(rules: try Self.team([Self.rule(nil)]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        let wrong = try await refusal(world, plan, Signing(change: { $0.reason = "another" }))
        #expect(wrong.code == .signatureInvalid)
        #expect(try await decide(world, plan, Signing()).approvals.first?.assurance == .signed)
    }

    @Test(arguments: [
        (
            "another plan", Signing(change: { $0.plan = "pln_00000000000000000000" }),
            "is not one of the approval's text"
        ),
        ("another hash", Signing(change: { $0.planHash = String(repeating: "0", count: 64) }), "is not one of"),
        ("a rejection", Signing(change: { $0.decision = "reject" }), "is not one of"),
        ("another agent", Signing(change: { $0.agent = "proxmox-agent/test/2" }), "agent proxmox-agent/test/1"),
        ("another principal", Signing(change: { $0.principal = "bob" }), "is not one of"),
        ("another reason", Signing(change: { $0.reason = "looked at it " }), "is not one of"),
        ("another namespace", Signing(ssh: { $0.namespace = "git" }), "namespace “git”"),
        ("somebody else's key", Signing(means: .bobs), "not among the approval_keys of alice"),
        ("nobody there", Signing(means: .hard, ssh: { $0.flags = 0 }), "did not ask for a touch"),
        ("rubbish", Signing(means: .armour("rubbish")), "must stand between the lines"),
        ("another text", Signing(means: .web, change: { $0.reason = "" }), "is not one of"),
        ("another origin", Signing(means: .web, web: { $0.origin = "https://evil.example" }), "https://evil.example"),
        ("another party", Signing(means: .web, web: { $0.rpID = "example" }), "another relying party"),
        ("nobody at the browser", Signing(means: .web, web: { $0.flags = 0b100 }), "did not ask for a touch"),
        ("nobody known", Signing(means: .web, web: { $0.flags = 0b001 }), "did not verify its user"),
        ("another credential", Signing(means: .web, web: { $0.credentialID = [1, 2] }), "not among the approval_keys"),
    ])
    func `a signature that is not of this approval is refused and recorded`(
        row: (name: String, signing: Signing, says: String)
    ) async throws {
        let world = try TestService(rules: try Self.team([Self.rule(.signed)]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        let refused = try await refusal(world, plan, row.signing)
        #expect(
            refused.code == .signatureInvalid && refused.detail.contains(row.says), "\(row.name): \(refused.detail)")
        #expect(try await world.state(of: plan) == .awaitingApproval)
        #expect(await world.applyCode(plan) == .approvalRequired)
    }

    @Test func `a passkey's counter may not go back, not even after a restart`() async throws {
        var world = try TestService(rules: try Self.team([Self.rule(.signed)]))
        func plan() async throws -> Plan {
            try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        }
        #expect(try await decide(world, plan(), Signing(means: .web, web: { $0.counter = 5 })).state == .approved)
        world = try await world.restarted()
        for counter in [5, 4, 0] as [UInt32] {
            let back = try await refusal(world, plan(), Signing(means: .web, web: { $0.counter = counter }))
            #expect(back.code == .signatureInvalid && back.detail.contains("counter went back"), "\(counter)")
        }
        #expect(try await decide(world, plan(), Signing(means: .web, web: { $0.counter = 6 })).state == .approved)
        let count = SignatureCount(key: ApprovalKey(.passkey(try Self.web.passkey())).fingerprint, number: 6)
        await #expect(throws: ServiceError.self) { try await world.service.passkeys.take(count) }
    }

    @Test func `an authenticator that does not count is taken as often as it signs`() async throws {
        let world = try TestService(rules: try Self.team([Self.rule(.signed)]))
        for _ in 0..<2 {
            let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
            #expect(try await decide(world, plan, Signing(means: .web, web: { $0.counter = 0 })).state == .approved)
        }
    }

    @Test func `an approval by a key that was taken out no longer counts`() async throws {
        let world = try TestService(rules: try Self.team([Self.rule(.signed)]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        _ = try await decide(world, plan, Signing())
        world.service.access.replace(
            try Self.team([Self.rule(.signed)], keys: [try Self.key(Self.hard, isSecurityKey: true)]))
        #expect(await world.applyCode(plan) == .approvalRequired)
        #expect(try await world.state(of: plan) == .awaitingApproval)
        #expect(world.pve.changes.isEmpty)
        #expect(try await decide(world, plan, Signing(means: .hard)).state == .approved)
        #expect(await world.applyCode(plan) == nil)
    }

    @Test func `an approval that was given before a rule asked for a signature counts no longer`() async throws {
        let world = try TestService(rules: try Self.team([Self.rule(nil)]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        #expect(try await decide(world, plan, nil).state == .approved)
        world.service.access.replace(try Self.team([Self.rule(.signed)]))
        let lack = await world.refusal { () async throws(ServiceError) in
            try await world.apply(plan, as: .by(TestPrincipals.agent))
        }
        #expect(lack?.code == .approvalRequired && lack?.detail.contains("needs 1 signed approval by") == true)
        #expect(try await decide(world, plan, Signing()).state == .approved)
    }

    @Test func `a rejection may be signed too, and needs no signature`() async throws {
        let world = try TestService(rules: try Self.team([Self.rule(.hardware)]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        let rejected = try await decide(world, plan, Signing(), .reject)
        #expect(rejected.state == .rejected && rejected.standing.rejection?.signed != nil)
        let other = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        #expect(try await decide(world, other, nil, .reject).state == .rejected)
    }

    @Test func `each of several approvers signs their own text`() async throws {
        let world = try TestService(rules: try Self.team([Self.rule(.signed, approvals: 2)]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        _ = try await decide(world, plan, Signing())
        // Alice's text by Bob's key, then Bob's own.
        let borrowed = try await refusal(world, plan, by: "bob", Signing(means: .bobs))
        #expect(borrowed.code == .signatureInvalid)
        let own = Signing(means: .bobs, change: { $0.principal = "bob" })
        #expect(try await decide(world, plan, own, by: "bob").state == .approved)
    }

    @Test func `the text that is asked for is the text that is signed`() async throws {
        let world = try TestService(rules: try Self.team([Self.rule(.signed)]))
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        let alice = Principal(id: "alice", roles: [.approver])
        let text = try await world.service.approvals.text(of: .approve, on: plan.id, reason: "a\nb", .by(alice))
        #expect(
            text.text == """
                proxmox-agent approval v1
                agent proxmox-agent/test/1
                plan \(plan.id)
                plan_hash \(plan.planHash)
                decision approve
                principal alice
                reason "a\\nb"

                """)
        await #expect(throws: ServiceError.self) {
            _ = try await world.service.approvals.text(
                of: .approve, on: plan.id, reason: nil, .by(TestPrincipals.agent))
        }
    }
}
