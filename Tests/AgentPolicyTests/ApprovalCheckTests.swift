import AgentModel
import AgentPolicy
import AgentTestSupport
import Signatures
import Testing

extension Requirement {
    fileprivate static let one = Requirement(approvals: 1, assurance: .declared)
}

struct ApprovalCheckTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var approvedBy: String?
        var planner: String? = "alice"
        var applier: String? = "alice"
        var environment = "simulator://home"
        var declared = false
        var isShared = true
        var needed = 1
        var refusal: ApprovalRefusal?

        var testDescription: String {
            "\(approvedBy ?? "nobody") for \(planner ?? "-"), applied by \(applier ?? "-") at \(environment)"
        }
    }

    @Test(arguments: [
        Case(approvedBy: nil, refusal: .missing(have: 0, need: .one)),
        Case(approvedBy: "bob"),
        Case(approvedBy: "alice", refusal: .selfApproval("alice")),
        Case(approvedBy: "ALICE", refusal: .selfApproval("ALICE")),
        Case(approvedBy: "bob", planner: "alice", applier: "bob", refusal: .selfApproval("bob")),
        Case(approvedBy: "operator", refusal: .selfApproval("operator")),
        Case(approvedBy: "Operator", planner: nil, applier: nil, refusal: .selfApproval("Operator")),
        Case(approvedBy: "bob", planner: nil, applier: nil),
        Case(approvedBy: "proxmox-agent", refusal: .notAnApprover("proxmox-agent")),
        Case(approvedBy: "Anonymous", refusal: .notAnApprover("Anonymous")),
        Case(approvedBy: "bob", environment: "https://pve.lan:8006", refusal: .declaredNotAccepted),
        Case(approvedBy: "bob", environment: "https://pve.lan:8006", declared: true),
        Case(approvedBy: "alice", environment: "https://pve.lan:8006", refusal: .selfApproval("alice")),
        Case(
            approvedBy: nil, environment: "https://pve.lan:8006", declared: true, refusal: .missing(have: 0, need: .one)
        ),
        Case(approvedBy: "bob", isShared: false, refusal: .declaredNotAccepted),
        Case(approvedBy: "dora", refusal: .declaredNotAccepted),
        Case(approvedBy: nil, needed: 0), Case(approvedBy: "alice", needed: 0),
    ])
    func `a declared approval counts where and from whom it may`(given: Case) throws {
        let plan = Plan.sample(
            try .sample(.stopVM, "vm/101"),
            requester: Caller(principal: "operator", label: given.planner, isShared: true),
            approvals: given.needed)
        let settings = EnvironmentSettings(
            name: try #require(EnvironmentName("home")), baseURL: given.environment, tokenID: "agent@pve!home",
            trust: "system", acceptsDeclaredApprovals: given.declared)
        var refusal: ApprovalRefusal?
        do throws(ApprovalRefusal) {
            try ApprovalCheck.declared(
                given.approvedBy, for: plan, needing: Requirement(approvals: given.needed, assurance: .declared),
                appliedBy: Caller(principal: "operator", label: given.applier, isShared: given.isShared), in: settings,
                among: Directory([.shared, Principal(id: "Dora", roles: [.approver])]))
        } catch {
            refusal = error
        }
        #expect(refusal == given.refusal)
    }

    @Test func `a plan that has its approvals needs no more`() throws {
        var plan = Plan.sample(try .sample(.stopVM, "vm/101"), approvals: 1)
        let isTaken = plan.approve(Approval(approver: "bob", assurance: .declared, at: .sample))
        #expect(isTaken)
        let settings = EnvironmentSettings(
            name: try #require(EnvironmentName("home")), baseURL: "https://pve.lan:8006", tokenID: "t@pve!x",
            trust: "system")
        #expect(throws: Never.self) {
            try ApprovalCheck.declared(
                nil, for: plan, needing: .one, appliedBy: plan.requester, in: settings, among: .shared)
        }
    }

    /// A signed approval by a key of that name's, or by none.
    private static func signed(_ key: ApprovalKey, by approver: String = "bob") throws -> Approval {
        let text = ApprovalText(
            agent: "a", plan: "p", planHash: "h", decision: "approve", principal: approver, reason: "")
        return Approval(
            approver: approver, assurance: key.isHardware ? .hardware : .signed, at: .sample,
            signed: SignedApproval(text, by: key, .ssh("not looked at here")))
    }

    @Test(arguments: Assurance.allCases, Assurance.allCases)
    func `an approval counts as long as it is strong enough and its key is the approver's`(
        given: Assurance, needed: Assurance
    ) throws {
        let settings = EnvironmentSettings(
            name: try #require(EnvironmentName("home")), baseURL: "simulator://home", tokenID: "t@pve!x",
            trust: "system")
        let key = try ApprovalKey(line: SoftwareToken.ed25519.sshLine(isSecurityKey: given == .hardware))
        let approval =
            given >= .signed ? try Self.signed(key) : Approval(approver: "bob", assurance: given, at: .sample)
        func counts(_ keys: [ApprovalKey]) -> Bool {
            let directory =
                given == .declared
                ? Directory.shared : Directory([Principal(id: "bob", roles: [.approver], approvalKeys: keys)])
            return ApprovalCheck.stillCounts(
                approval, for: .sample(try! .sample(.stopVM, "vm/101")),
                needing: Requirement(approvals: 1, assurance: needed), in: settings, among: directory)
        }
        #expect(counts([key]) == (given >= needed))
        #expect(!counts([]) || given < .signed, "a key that was taken out signs for nobody")
    }
}
