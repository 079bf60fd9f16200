import AgentModel
import AgentPolicy
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

@testable import AgentService

/// People are told what happens: all of it, in order, once it is so, and whatever one destination does.
@Suite(.timeLimit(.minutes(1)))
struct NoticeTests {
    private let sender = TestSender()
    private let agent = Context.by(TestPrincipals.agent)

    private func world(
        _ rules: [PolicyRule] = [], _ subscriptions: NoticeSubscription...
    ) async throws -> TestService {
        let world = try TestService(team: TestPrincipals.rules(rules))
        try await world.service.notices.serve(
            subscriptions.isEmpty ? [NoticeSubscription(target: "a")] : subscriptions, through: sender)
        return world
    }

    private func queued(_ world: TestService, _ state: QueuedNotice.State? = nil) async throws -> [QueuedNotice] {
        try await world.store.read { $0.notices(NoticeFilter(state: state)) }
    }

    /// Waits until a notice of that state is stored.
    private func first(_ state: QueuedNotice.State, in world: TestService) async throws -> QueuedNotice {
        let deadline = ContinuousClock.now + .seconds(10)
        while .now < deadline {
            if let found = try await queued(world, state).first { return found }
            try await Task.sleep(for: .milliseconds(2))
        }
        throw TestSender.Missed(found: 0, wanted: 1)
    }

    // MARK: What is told

    @Test func `a plan that awaits approval is told in words, with who wrote which`() async throws {
        let world = try await world()
        world.pve.put("vm/101", status: "running", name: "web\u{202E}<01>")
        let body: JSONObject = [
            "environment": "home", "action": "stop_vm", "target": "vm/101", "reason": "too\nloud",
        ]
        let plan = try await world.service.workflow.plan(body, agent)
        let notice = try #require(try await sender.delivered(1, to: "a").first).notice
        #expect(notice.event == .approvalWanted && notice.planID == plan.id && notice.environment == .sample)
        #expect(notice.title == "Approval wanted: stop_vm vm/101 on home (medium risk)")
        let facts = Dictionary(notice.facts.map { ($0.name, $0) }) { first, _ in first }
        #expect(facts["Name"] == Notice.Fact("Name", "web\u{202E}<01>", .guest))
        #expect(facts["Name"]?.text == "web\\u{202e}<01>")
        #expect(facts["Reason"] == Notice.Fact("Reason", "too loud", .caller))
        #expect(facts["Asked by"]?.text == "pi-agent" && facts["Approvals"]?.text == "0 of 1")
        #expect(facts["Where"]?.source == .agent && facts["Until"]?.text.hasPrefix(plan.expiresAt.rfc3339) == true)
        await world.service.notices.stop()
    }

    @Test func `under the shared token the names of callers are their own words`() async throws {
        let world = try TestService()
        let topics = Set(NoticeSubscription.Topic.all)
        try await world.service.notices.serve([NoticeSubscription(target: "a", topics: topics)], through: sender)
        func context(_ label: String?) -> Context {
            Context(
                caller: Caller(principal: Principal.shared.id, label: label, isShared: true), principal: .shared,
                requestID: "req_1")
        }
        _ = try await world.plan(.stopVM, "vm/101", as: context("https://evil.example/asked"))
        let freeze = FreezeRequest(reason: "drill")
        _ = try await world.service.freezes.freeze(freeze, context("https://evil.example/set"))
        _ = try await sender.delivered(2, to: "a")
        _ = try await world.service.freezes.freeze(freeze, context(nil))
        _ = try await sender.delivered(3, to: "a")
        _ = try await world.service.notices.test("a", context("https://evil.example/test"))
        let who = try await sender.delivered(4, to: "a").flatMap(\.notice.facts).filter { $0.name.hasSuffix(" by") }
        #expect(
            who == [
                Notice.Fact("Asked by", "https://evil.example/asked", .caller),
                Notice.Fact("Set by", "https://evil.example/set", .caller),
                Notice.Fact("Set by", Principal.shared.id),
                Notice.Fact("Asked by", "https://evil.example/test", .caller),
            ])
        await world.service.notices.stop()
    }

    @Test func `what happens is told in order, and only what was asked for`() async throws {
        let world = try await world(
            [], NoticeSubscription(target: "all", topics: Set(NoticeSubscription.Topic.all)),
            NoticeSubscription(target: "failures", topics: [.init(.operationEnded, .failed)]),
            NoticeSubscription(target: "elsewhere", environments: []))
        let plan = try await world.plan(.stopVM, "vm/101", as: agent)
        _ = try await sender.delivered(1, to: "all")
        _ = try await world.decide(plan, .approve, by: TestPrincipals.alice)
        try await world.apply(plan, as: agent)
        _ = try await world.service.freezes.freeze(FreezeRequest(reason: "drill"), .by(TestPrincipals.alice))
        let told = try await sender.delivered(3, to: "all")
        #expect(told.map(\.notice.event) == [.approvalWanted, .operationEnded, .freeze])
        #expect(told[1].notice.title == "stop_vm vm/101 on home: succeeded" && told[1].notice.outcome == .succeeded)
        #expect(told[2].notice.title == "Frozen: everything; no change starts")
        #expect(Set(told.map(\.id)).count == 3)
        #expect(sender.sent.allSatisfy { $0.target == "all" || $0.notice.event == .freeze })
        #expect(!sender.sent.contains { $0.target == "failures" })
        await world.service.notices.stop()
    }

    @Test func `a plan that was decided before anybody could be told is not told`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        try await world.service.notices.serve([NoticeSubscription(target: "a")], through: sender)
        await world.service.notices.stop()
        let decided = try await world.plan(.stopVM, "vm/101", as: agent)
        _ = try await world.decide(decided, .reject, by: TestPrincipals.alice)
        let open = try await world.plan(.stopVM, "vm/101", as: agent)
        try await world.service.notices.serve([NoticeSubscription(target: "a")], through: sender)
        #expect(try await sender.delivered(1, to: "a").map(\.notice.planID) == [open.id])
        await world.service.notices.stop()
    }

    @Test func `where rules hide settings from anybody, no text of Proxmox VE leaves`() async throws {
        var scope = PolicyRule.Scope()
        (scope.actions, scope.principals) = ([.readVM], ["pi-agent"])
        let world = try await world([PolicyRule(id: "no-settings", effect: .deny, scope: scope)])
        world.pve.put("vm/101", status: "running", name: "secret-project")
        _ = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.chief))
        let notice = try #require(try await sender.delivered(1, to: "a").first).notice
        #expect(!notice.facts.contains { $0.source == .guest })
        await world.service.notices.stop()
    }

    @Test func `a plan about to expire is told once, in its last quarter`() async throws {
        let world = try await world()
        let plan = try await world.plan(.stopVM, "vm/101", as: agent)
        _ = try await sender.delivered(1, to: "a")
        let life = plan.expiresAt.timeIntervalSince(plan.createdAt)
        world.clock.move(by: life * 0.7)
        try await world.service.notices.check(auditFault: nil)
        #expect(sender.sent.count == 1)
        world.clock.move(by: life * 0.1)
        for _ in 0..<3 { try await world.service.notices.check(auditFault: nil) }
        let told = try await sender.delivered(2, to: "a")
        #expect(told.map(\.notice.event) == [.approvalWanted, .planExpiring] && told[1].notice.planID == plan.id)
        let next = try await world.restarted()
        try await next.service.notices.serve([NoticeSubscription(target: "a")], through: sender)
        try await next.service.notices.check(auditFault: nil)
        #expect(try await queued(world).count == 2)
        await world.service.notices.stop()
        await next.service.notices.stop()
    }

    @Test func `an environment that stays away is told, and its return`() async throws {
        let world = try await world()
        let managed = try #require(world.service.access.managedEnvironments.first)
        func look(after seconds: Double) async throws {
            world.clock.move(by: seconds)
            _ = await managed.look { world.clock.now }
            try await world.service.notices.check(auditFault: nil)
        }
        world.pve.failure = .timeout(sent: false)
        try await look(after: 1)
        world.pve.failure = nil
        try await look(after: 20)
        world.pve.failure = .timeout(sent: false)
        for _ in 0..<4 { try await look(after: 30) }
        world.pve.failure = nil
        try await look(after: 30)
        let told = try await sender.delivered(2, to: "a").map(\.notice)
        #expect(told.map(\.title) == ["home does not answer", "home answers again"])
        #expect(sender.sent.count == 2)
        await world.service.notices.stop()
    }

    @Test func `a broken audit log is told once, though nothing can be recorded`() async throws {
        let world = try await world()
        world.audit.refuse { _, _ in true }
        for _ in 0..<3 { try await world.service.notices.check(auditFault: "record 7 does not follow record 6") }
        let told = try await sender.delivered(1, to: "a")
        #expect(told.map(\.notice.event) == [.auditChainBroken])
        #expect(told.first?.notice.facts.first?.text == "record 7 does not follow record 6")
        #expect(try await queued(world).count == 1)
        await world.service.notices.stop()
    }

    // MARK: Nothing is lost

    @Test func `what happened while nobody told it is told after the next start, once`() async throws {
        let world = try await world()
        await world.service.notices.stop()
        let plan = try await world.plan(.stopVM, "vm/101", as: agent)
        for _ in 0..<3 {
            let next = try await world.restarted()
            try await next.service.notices.serve([NoticeSubscription(target: "a")], through: sender)
            _ = try await sender.delivered(1, to: "a")
            try await next.service.notices.check(auditFault: nil)
            await next.service.notices.stop()
        }
        #expect(sender.sent.map(\.notice.planID) == [plan.id])
    }

    @Test func `a store that fails delays, and loses nothing`() async throws {
        let world = try await world()
        let plan = try await world.plan(.stopVM, "vm/101", as: agent)
        _ = try await first(.delivered, in: world)
        world.store.failWrites { true }
        _ = try? await world.plan(.startVM, "vm/102", as: agent)
        world.store.failWrites { false }
        try await world.service.voidOrphans()
        _ = try await world.decide(plan, .approve, by: TestPrincipals.alice)
        let other = try await world.plan(.stopVM, "vm/101", as: agent)
        let told = try await sender.delivered(2, to: "a")
        #expect(told.map(\.notice.planID) == [plan.id, other.id])
        await world.service.notices.stop()
    }

    @Test func `a new destination hears nothing of the past`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        _ = try await world.plan(.stopVM, "vm/101", as: agent)
        try await world.service.notices.serve([NoticeSubscription(target: "a")], through: sender)
        let later = try await world.plan(.stopVM, "vm/101", as: agent)
        #expect(try await sender.delivered(1, to: "a").map(\.notice.planID) == [later.id])
        await world.service.notices.stop()
    }
}
