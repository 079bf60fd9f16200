import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import StrictJSON
import Testing

/// Settings that a rule keeps from a caller, in what is stored and listed.
@Suite(.timeLimit(.minutes(1)))
struct HidingTests {
    private static func blind(_ target: String) -> PolicyRule {
        var scope = PolicyRule.Scope()
        scope.actions = [.readVM]
        scope.targets = TargetPattern(target).map { [$0] }
        scope.principals = [TestPrincipals.watcher.id]
        return PolicyRule(id: "blind", effect: .deny, scope: scope)
    }

    private func summary(_ world: TestService, _ plan: Plan, for principal: Principal) async throws -> Plan {
        let page = try await world.service.workflow.plans(PlanFilter(), .by(principal))
        return try #require(page.rows.first { $0.plan.id == plan.id }).plan
    }

    private func isHidden(_ plan: Plan) -> Bool {
        plan.preview.checks.contains { $0.detail == "hidden by rule:blind" }
            && plan.preview.observed.shown["name"] == nil && !"\(plan.preview)".contains("payroll")
            && !plan.decision.reason.contains("payroll")
    }

    @Test func `a list of plans shows no setting that a rule keeps from its reader`() async throws {
        let world = try TestService(team: TestPrincipals.rules([Self.blind("vm/102")]))
        world.pve.put("vm/102", status: "stopped", lock: "payroll", name: "payroll")
        let plan = try await world.plan(.startVM, "vm/102", as: .by(TestPrincipals.agent))
        #expect(plan.state == .denied && plan.decision.reason.contains("payroll"), "\(plan.decision.reason)")
        let seen = try await summary(world, plan, for: TestPrincipals.watcher)
        #expect(isHidden(seen), "\(seen.preview) \(seen.decision.reason)")
        let open = try await summary(world, plan, for: TestPrincipals.agent)
        #expect(!isHidden(open) && open.preview.observed.shown["name"] == "payroll")
    }

    @Test func `of a stored dry run all is hidden that might be about what is to be hidden`() async throws {
        let world = try TestService(team: TestPrincipals.rules([Self.blind("vm/102")]))
        world.pve.put("vm/101", status: "running", lock: "payroll", name: "payroll")
        // What is hidden is no longer among what the outline says that it reaches.
        let shutdown = try #require(Action(rawValue: "bulk_shutdown"))
        let made = try await world.service.workflow.plan(
            .request(shutdown, "cluster", ["vms": [101, 102]], dryRun: true), .by(TestPrincipals.agent))
        let stored = try await world.service.workflow.plan(made.id, .by(TestPrincipals.watcher))
        #expect(stored.preview.calls.isEmpty && !stored.preview.reach.subjects.contains { "\($0.name)" == "vm/102" })
        let seen = world.service.workflow.shown(stored, to: Caller(principal: TestPrincipals.watcher.id, label: nil))
        #expect(isHidden(seen), "\(seen.preview)")
        let open = world.service.workflow.shown(stored, to: Caller(principal: TestPrincipals.agent.id, label: nil))
        #expect(!isHidden(open))
    }
}
