import AgentModel
import AgentPolicy
import AgentTestSupport
import Testing

struct ApprovalCheckTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var approvedBy: String?
        var planner: String? = "alice"
        var applier: String? = "alice"
        var environment = "simulator://home"
        var declared = false
        var needed = 1
        var refusal: ApprovalRefusal?

        var testDescription: String {
            "\(approvedBy ?? "nobody") for \(planner ?? "-"), applied by \(applier ?? "-") at \(environment)"
        }
    }

    @Test(arguments: [
        Case(approvedBy: nil, refusal: .missing(have: 0, need: 1)),
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
        Case(approvedBy: nil, environment: "https://pve.lan:8006", declared: true, refusal: .missing(have: 0, need: 1)),
        Case(approvedBy: nil, needed: 0), Case(approvedBy: "alice", needed: 0),
    ])
    func `a declared approval counts where and from whom it may`(given: Case) throws {
        let plan = Plan.sample(
            try .sample(.stopVM, "vm/101"), requester: Caller(principal: "operator", label: given.planner),
            approvals: given.needed)
        let settings = EnvironmentSettings(
            name: try #require(EnvironmentName("home")), baseURL: given.environment, tokenID: "agent@pve!home",
            trust: "system", acceptsDeclaredApprovals: given.declared)
        var refusal: ApprovalRefusal?
        do throws(ApprovalRefusal) {
            try ApprovalCheck.declared(
                given.approvedBy, for: plan, needing: given.needed,
                appliedBy: Caller(principal: "operator", label: given.applier), in: settings)
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
            try ApprovalCheck.declared(nil, for: plan, needing: 1, appliedBy: plan.requester, in: settings)
        }
    }
}
