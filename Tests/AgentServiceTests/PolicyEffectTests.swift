import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

/// What rules do to plans on their way: windows, limits, approvers, and what a request must bring.
@Suite(.timeLimit(.minutes(1)))
struct PolicyEffectTests {
    private static func world(
        _ rules: String..., groups: String = "{}", change: @escaping FakeHypervisor.Change = { _ in .done(.null) }
    ) throws -> TestService {
        let policy = try Policy(text: "{\"groups\": \(groups), \"rules\": [\(rules.joined(separator: ","))]}")
        return try TestService(
            team: Rules(directory: Directory(TestPrincipals.all), policy: policy), change: change)
    }

    private static let agent = Context.by(TestPrincipals.agent)

    // MARK: Windows

    /// Open for ten minutes, an hour from now.
    private static func later() -> String {
        let from = Date.sample.addingTimeInterval(3600)
        func text(_ date: Date) -> String { String(date.rfc3339.prefix(16)) }
        return """
            {"id": "later", "effect": {"windows": {"zone": "UTC",
                "open": [{"from": "\(text(from))", "to": "\(text(from.addingTimeInterval(600)))"}]}}}
            """
    }

    @Test func `outside a change window a plan is made and says when it opens, and nothing is applied`() async throws {
        let world = try Self.world(Self.later())
        let plan = try await world.plan(.startVM, "vm/102", as: Self.agent)
        #expect(plan.decision.allowed && plan.state == .approved)
        let opens = try #require(plan.decision.window?.opensAt)
        #expect(plan.decision.window?.rules == ["later"])
        let refused = await world.refusal { () async throws(ServiceError) in
            try await world.apply(plan, as: Self.agent)
        }
        #expect(refused?.code == .windowClosed && refused?.detail.contains(opens.rfc3339) == true)
        #expect(refused?.retryAfter == Int(opens.timeIntervalSince(.sample).rounded(.up)))
        #expect(world.pve.changes.isEmpty)
        #expect(try await world.state(of: plan) == .approved)
        world.clock.move(by: opens.timeIntervalSince(.sample) + 1)
        let fresh = try await world.plan(.startVM, "vm/102", as: Self.agent)
        #expect(fresh.decision.window == nil)
        try await world.apply(fresh, as: Self.agent)
        #expect(world.pve.changes.count == 1)
    }

    private func waiting(_ world: TestService, _ action: Action, _ target: String) async throws -> Plan {
        var request = JSONObject.request(action, target, [:])
        request["apply_at"] = "window"
        return try await world.service.workflow.plan(request, Self.agent)
    }

    @Test func `a plan that waits for its window lives until then, and the agent applies it once it opens`()
        async throws
    {
        let world = try Self.world(Self.later())
        let plan = try await waiting(world, .startVM, "vm/102")
        let opens = try #require(plan.decision.window?.opensAt)
        #expect(plan.expiresAt == opens.addingTimeInterval(Double(world.limits.planSeconds)))
        await world.service.applies.applyScheduled()
        #expect(world.pve.changes.isEmpty)
        world.clock.move(by: opens.timeIntervalSince(.sample) + 1)
        await world.service.applies.applyScheduled()
        let operation = try #require(try await world.store.read { $0.plan(plan.id)?.operationID })
        _ = try await world.service.applies.outcome(
            of: try #require(try await world.store.read { $0.operation(operation) }), Self.agent)
        await world.service.drain(within: .seconds(10))
        #expect(try await world.state(of: plan) == .applied)
        #expect(world.pve.changes.count == 1)
        await world.service.applies.applyScheduled()
        #expect(world.pve.changes.count == 1)
    }

    @Test func `a plan that waits is not applied without its approval, nor for who lost the right`() async throws {
        let world = try Self.world(Self.later())
        let unapproved = try await waiting(world, .stopVM, "vm/101")
        let plan = try await waiting(world, .startVM, "vm/102")
        world.clock.move(by: try #require(plan.decision.window?.opensAt).timeIntervalSince(.sample) + 1)
        world.service.access.replace(
            Rules(
                directory: Directory([Principal(id: "pi-agent", roles: [.viewer])]),
                policy: world.rules.policy))
        await world.service.applies.applyScheduled()
        await world.service.drain(within: .seconds(10))
        #expect(world.pve.changes.isEmpty)
        #expect(try await world.state(of: unapproved) == .awaitingApproval)
        #expect(try await world.state(of: plan) == .approved)
    }

    // MARK: Limits

    private static let tenAnHour = """
        {"id": "ten", "match": {"actions": ["start_vm"]},
         "effect": {"limits": [{"count": "operations", "most": 10, "per": "1h"}]}}
        """

    @Test func `of a hundred applies at once a limit of ten lets ten through, and no more after a restart`()
        async throws
    {
        let world = try Self.world(Self.tenAnHour)
        var plans: [Plan] = []
        for id in 200..<300 {
            world.pve.put("vm/\(id)", status: "stopped")
            plans.append(try await world.plan(.startVM, "vm/\(id)", as: Self.agent))
        }
        let codes = await withTaskGroup(of: ErrorCode?.self) { group in
            for plan in plans {
                group.addTask {
                    do throws(ServiceError) { try await world.apply(plan, as: Self.agent) } catch { return error.code }
                    return nil
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(codes.count { $0 == nil } == 10 && codes.count { $0 == .limitReached } == 90)
        #expect(world.pve.changes.count == 10)
        let next = try await world.restarted()
        let refused = plans.indices.filter { codes[$0] != nil }
        let code = await next.refusal { () async throws(ServiceError) in
            for plan in plans where (try? await next.state(of: plan)) == .approved {
                try await next.apply(plan, as: Self.agent)
            }
        }
        #expect(code?.code == .limitReached && code?.retryAfter == 3600 && !refused.isEmpty)
        // Each is free again an hour after it was taken.
        next.clock.move(by: 3601)
        let plan = try await next.plan(.startVM, "vm/250", as: Self.agent)
        #expect(plan.preview.checks.allSatisfy { $0.id != "limit" })
    }

    @Test(arguments: [true, false])
    func `a state from before, or a new one, knows from the log what was taken`(isNew: Bool) async throws {
        let world = try Self.world(
            #"{"id": "two", "effect": {"limits": [{"count": "operations", "most": 2, "per": "1h", "by": "principal"},"#
                + #"{"count": "concurrent", "most": 1}]}}"#)
        for id in 200..<203 { world.pve.put("vm/\(id)", status: "stopped") }
        let backup = try await world.backup()
        for id in 200..<202 {
            try await world.apply(try await world.plan(.startVM, "vm/\(id)", as: Self.agent), as: Self.agent)
        }
        let none = TestService.Backup(plans: [], operations: [], freezes: [], mark: nil)
        let next = try await world.restored(isNew ? none : backup, isMarked: !isNew)
        let plan = try await next.plan(.startVM, "vm/202", as: Self.agent)
        let refused = await next.refusal { () async throws(ServiceError) in try await next.apply(plan, as: Self.agent) }
        #expect(refused?.code == .limitReached && refused?.detail.contains("operations") == true, "\(refused as Any)")
        // Records have the time of the machine.
        next.clock.move(by: Date().timeIntervalSince(next.clock.now) + 3601)
        try await next.apply(try await next.plan(.startVM, "vm/202", as: Self.agent), as: Self.agent)
        #expect(world.pve.changes.count == 3)
    }

    @Test func `what a limit has no room for, the plan warns of`() async throws {
        let world = try Self.world(
            #"{"id": "none", "effect": {"limits": [{"count": "guests", "most": 0, "per": "1h"}]}}"#)
        let plan = try await world.plan(.startVM, "vm/102", as: Self.agent)
        let check = try #require(plan.preview.checks.first { $0.id == "limit" })
        #expect(check.level == .warn && check.detail.contains("it never fits"))
        let refused = await world.refusal { () async throws(ServiceError) in
            try await world.apply(plan, as: Self.agent)
        }
        #expect(refused?.code == .limitReached && refused?.retryAfter == nil)
    }

    @Test func `what was taken comes back when nothing was sent`() async throws {
        let world = try Self.world(
            #"{"id": "one", "effect": {"limits": [{"count": "operations", "most": 1, "per": "1h"}]}}"#)
        let plan = try await world.plan(.startVM, "vm/102", as: Self.agent)
        // It is not what was planned any more, which is found out after the limit was taken.
        world.pve.put("vm/102", status: "running")
        let refused = await world.refusal { () async throws(ServiceError) in
            try await world.apply(plan, as: Self.agent)
        }
        #expect(refused?.code == .planStale)
        world.pve.put("vm/102", status: "stopped")
        try await world.apply(try await world.plan(.startVM, "vm/102", as: Self.agent), as: Self.agent)
        #expect(world.pve.changes.count == 1)
        let limits = try await world.service.reads.limitUses(Self.agent)
        #expect(limits.first?.uses.map(\.used) == [1] && limits.first?.uses.map(\.left) == [0])
    }

    // MARK: Who approves

    private static let leads = #"{"leads": ["bob"], "team": ["pi-agent", "alice"]}"#

    @Test func `only those count whom the rule names`() async throws {
        let world = try Self.world(
            #"{"id": "leads", "effect": {"require": {"approvals": 1, "approvers": {"groups": ["leads"]}}}}"#,
            groups: Self.leads)
        let plan = try await world.plan(.startVM, "vm/102", as: Self.agent)
        #expect(plan.requires.clauses.map(\.phrase) == ["1 by group leads"])
        #expect(await world.code(plan, by: TestPrincipals.alice) == .forbidden)
        #expect(await world.code(plan, by: TestPrincipals.bob) == nil)
        try await world.apply(plan, as: Self.agent)
    }

    @Test func `an approver of the requester's own group does not count where another is asked for`() async throws {
        let world = try Self.world(
            #"{"id": "others", "effect": {"require": {"distinct_from": "group"}}}"#, groups: Self.leads)
        let plan = try await world.plan(.startVM, "vm/102", as: Self.agent)
        #expect(await world.code(plan, by: TestPrincipals.alice) == .forbidden)
        #expect(await world.code(plan, by: TestPrincipals.bob) == nil)
    }

    @Test func `two approvals with one of a group are enough only with one of that group`() async throws {
        let world = try Self.world(
            #"{"id": "a", "effect": {"require": {"approvals": 1, "approvers": {"principals": ["bob"]}}}}"#,
            #"{"id": "b", "effect": "require_approval", "approvals": 2}"#)
        let plan = try await world.plan(.startVM, "vm/102", as: Self.agent)
        #expect(await world.code(plan, by: TestPrincipals.alice) == nil)
        #expect(await world.code(plan, by: TestPrincipals.chief) == nil)
        #expect(try await world.state(of: plan) == .awaitingApproval)
        #expect(await world.code(plan, by: TestPrincipals.bob) == nil)
        #expect(try await world.state(of: plan) == .approved)
    }

    // MARK: What a request must bring

    @Test(arguments: [
        (#"{"reason": true}"#, #"{"reason": "it is late"}"#, "say why in reason"),
        (#"{"ticket": "OPS-*"}"#, #"{"approval_ticket": "OPS-7"}"#, "name it in approval_ticket"),
    ])
    func `without what a rule requires of it a request is denied, with the cure`(
        row: (requires: String, bring: String, cure: String)
    ) async throws {
        let world = try Self.world(#"{"id": "bring", "effect": {"require": \#(row.requires)}}"#)
        let plan = try await world.plan(.startVM, "vm/102", as: Self.agent)
        #expect(plan.state == .denied && plan.decision.reason.contains(row.cure))
        var request = JSONObject.request(.startVM, "vm/102", [:])
        for member in try JSON.parse(Array(row.bring.utf8)).object?.members ?? [] { request[member.key] = member.value }
        #expect(try await world.service.workflow.plan(request, Self.agent).state == .approved)
    }

    @Test func `a backup that is required must be one that a storage lists`() async throws {
        let world = try Self.world(#"{"id": "saved", "effect": {"require": {"backup_within": "24h"}}}"#)
        let plan = try await world.plan(.startVM, "vm/102", as: Self.agent)
        #expect(plan.state == .denied && plan.decision.reason.contains("a backup of vm/102 from the last"))
    }

    @Test func `a rule that allows drops the catalogue's approval, and is named for it`() async throws {
        let world = try Self.world(
            #"{"id": "free", "match": {"actions": ["stop_vm"]}, "effect": {"allow": {"override_base": true}}}"#)
        let plan = try await world.plan(.stopVM, "vm/101", as: Self.agent)
        #expect(plan.state == .approved && plan.decision.rules.contains("override:free"))
        try await world.apply(plan, as: Self.agent)
    }
}
