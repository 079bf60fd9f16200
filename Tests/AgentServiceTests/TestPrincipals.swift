import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import StrictJSON

/// Principals of a team, and what they say to a world.
enum TestPrincipals {
    static let agent = Principal(id: "pi-agent", roles: [.operator])
    static let alice = Principal(id: "alice", roles: [.approver])
    static let bob = Principal(id: "bob", roles: [.approver])
    /// May ask for changes and approve those of others.
    static let chief = Principal(id: "chief", roles: [.operator, .approver])
    static let watcher = Principal(id: "watcher", roles: [.viewer])
    static let auditor = Principal(id: "auditor", roles: [.auditor])
    static let stranger = Principal(id: "stranger", roles: [.approver], environments: [])

    static let all = [agent, alice, bob, chief, watcher, auditor, stranger]

    static func rules(_ rules: [PolicyRule] = [], without gone: Principal? = nil) -> Rules {
        Rules(directory: Directory(all.filter { $0.id != gone?.id }), policy: Policy(rules: rules))
    }
}

extension Context {
    /// A request of that principal's.
    static func by(_ principal: Principal, label: String? = nil) -> Context {
        Context(
            caller: Caller(principal: principal.id, label: label), principal: principal,
            requestID: "req_\(principal.id)")
    }
}

extension TestService {
    /// A world whose callers have tokens of their own.
    init(team rules: Rules, change: @escaping FakeHypervisor.Change = { _ in .done(.null) }) throws {
        try self.init(rules: rules, change: change)
    }

    func decide(
        _ plan: Plan, _ verdict: ApprovalRequest.Verdict, by principal: Principal, hash: String? = nil
    ) async throws(ServiceError) -> Plan {
        let approval = ApprovalRequest(verdict, planHash: hash ?? plan.planHash, reason: "looked at it")
        return try await service.approvals.decide(plan.id, approval, .by(principal))
    }

    /// The code that a word is turned away with; `nil` when it is taken.
    func code(
        _ plan: Plan, _ verdict: ApprovalRequest.Verdict = .approve, by principal: Principal, hash: String? = nil
    ) async -> ErrorCode? {
        do throws(ServiceError) { _ = try await decide(plan, verdict, by: principal, hash: hash) } catch {
            return error.code
        }
        return nil
    }

    /// The code that applying is turned away with; `nil` when it went through.
    func applyCode(
        _ plan: Plan, by principal: Principal = TestPrincipals.agent, approvedBy: String? = nil
    ) async -> ErrorCode? {
        do throws(ServiceError) { try await apply(plan, approvedBy: approvedBy, as: .by(principal)) } catch {
            return error.code
        }
        return nil
    }
}
