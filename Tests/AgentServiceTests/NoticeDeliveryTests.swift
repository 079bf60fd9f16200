import AgentAudit
import AgentModel
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

@testable import AgentService

/// Each destination is asked until it takes a notice or is given up, and none waits for another.
@Suite(.timeLimit(.minutes(1)))
struct NoticeDeliveryTests {
    private let sender = TestSender()
    private let agent = Context.by(TestPrincipals.agent)

    private func world(_ targets: String...) async throws -> TestService {
        let world = try TestService(team: TestPrincipals.rules())
        try await world.service.notices.serve(targets.map { NoticeSubscription(target: $0) }, through: sender)
        return world
    }

    /// The notices of a state, once there are so many.
    private func queued(_ world: TestService, _ state: QueuedNotice.State, _ count: Int) async throws -> [QueuedNotice]
    {
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            let found = try await world.store.read { $0.notices(NoticeFilter(state: state)) }
            if found.count == count { return found.reversed() }
            guard .now < deadline else { throw TestSender.Missed(found: found.count, wanted: count) }
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    /// Waits until so many tries of a notice are stored.
    private func stored(_ attempts: Int, of id: RecordID, in world: TestService) async throws {
        let deadline = ContinuousClock.now + .seconds(10)
        while try await world.store.read({ $0.notice(id)?.attempts }) != attempts {
            guard .now < deadline else { throw TestSender.Missed(found: -1, wanted: attempts) }
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    /// Time passes until the next try of a notice is due.
    private func passTime(_ world: TestService, _ seconds: Double) {
        world.clock.move(by: seconds)
        world.service.notices.ring("a")
    }

    @Test func `a destination that is silent delays no other`() async throws {
        sender.silence("hangs")
        sender.answer(.failed("no"), at: "fails")
        let world = try await world("hangs", "fails", "a")
        for _ in 0..<5 { _ = try await world.plan(.stopVM, "vm/101", as: agent) }
        #expect(try await sender.delivered(5, to: "a").count == 5)
        #expect(sender.sent.filter { $0.target == "fails" }.count == 1)
        let start = ContinuousClock.now
        await world.service.notices.stop()
        #expect(start.duration(to: .now) < .seconds(5))
        // A try that was cut off does not count.
        let waiting = try await queued(world, .waiting, 10)
        #expect(waiting.filter { $0.target == "hangs" }.allSatisfy { $0.attempts == 0 && $0.error == nil })
    }

    @Test func `a notice keeps its id and its place while it is tried again`() async throws {
        let world = try await world("a")
        sender.answer(.failed("answered 503", retryAfter: 1000), at: "a")
        let first = try await world.plan(.stopVM, "vm/101", as: agent)
        _ = try await sender.tries(1, of: "a")
        let second = try await world.plan(.stopVM, "vm/101", as: agent)
        let failed = try await queued(world, .waiting, 2)
        #expect(failed.map(\.attempts) == [1, 0] && failed[0].error == "answered 503")
        #expect(failed[0].nextAt >= world.clock.now.addingTimeInterval(1000))
        passTime(world, 999)
        sender.answer(.delivered, at: "a")
        passTime(world, 2)
        let told = try await sender.delivered(2, to: "a")
        #expect(told.map(\.notice.planID) == [first.id, second.id])
        #expect(sender.sent.count == 3 && sender.sent[0].id == sender.sent[1].id)
        await world.service.notices.stop()
    }

    @Test func `a notice that its destination refuses holds back no other, and is given up after three tries`()
        async throws
    {
        let world = try await world("a")
        sender.answer(.refused("answered 400"), at: "a")
        let first = try await world.plan(.stopVM, "vm/101", as: agent)
        _ = try await sender.tries(1, of: "a")
        let refused = try await queued(world, .waiting, 1)
        sender.answer(.delivered, at: "a")
        let second = try await world.plan(.stopVM, "vm/101", as: agent)
        #expect(try await sender.delivered(1, to: "a").map(\.notice.planID) == [second.id])
        #expect(refused.map(\.notice.planID) == [first.id])
        sender.answer(.refused("answered 400"), at: "a")
        for tries in 3...4 {
            passTime(world, 60)
            _ = try await sender.tries(tries, of: "a")
            try await stored(tries - 1, of: refused[0].id, in: world)
        }
        let dead = try #require(try await queued(world, .dead, 1).first)
        #expect(dead.id == refused.first?.id && dead.attempts == 3 && dead.error == "answered 400")
        await world.service.notices.stop()
        let records = try await world.audit.records(after: 0, limit: .max).filter { $0.event.kind == .notify }
        #expect(records.map { $0.event.result?["status"]?.string } == ["given_up"])
    }

    @Test func `after three days a notice is given up with a record, and can be sent by hand`() async throws {
        let world = try await world("a")
        sender.answer(.failed("cannot be reached"), at: "a")
        _ = try await world.plan(.stopVM, "vm/101", as: agent)
        _ = try await sender.tries(1, of: "a")
        passTime(world, 3 * 24 * 60 * 60 + 1)
        let dead = try #require(try await queued(world, .dead, 1).first)
        #expect(dead.attempts == 2 && dead.error == "cannot be reached" && dead.endedAt == world.clock.now)
        #expect(try await world.store.read { $0.tally().notices["a"]?.dead } == 1)
        sender.answer(.delivered, at: "a")
        let again = try await world.service.notices.retry(dead.id, .by(TestPrincipals.alice))
        #expect(again.state == .waiting && again.id == dead.id)
        #expect(try await sender.delivered(1, to: "a").map(\.id) == [dead.id])
        let kept = try await queued(world, .delivered, 1)
        #expect(kept.first?.error == nil)
        await world.service.notices.stop()
        let records = try await world.audit.records(after: 0, limit: .max).filter { $0.event.kind == .notify }
        #expect(records.map { $0.event.result?["status"]?.string } == ["given_up", "retry"])
        #expect(records.map(\.event.actor) == ["proxmox-agent", "alice"])
    }

    @Test(
        arguments: [(1, 5), (2, 10), (3, 20), (11, 5120), (13, 14_400), (1000, 14_400), (Int.max, 14_400)]
            as [(Int, Double)])
    func `pauses grow from seconds to hours`(attempts: Int, pause: Double) {
        let schedule = RetrySchedule()
        #expect(schedule.pause(after: attempts, jitter: 0.5) == pause)
        #expect(schedule.pause(after: attempts, jitter: 0) == pause * 0.75)
        #expect(schedule.pause(after: attempts, jitter: 1) == pause * 1.25)
    }

    @Test func `the queue of a destination is bounded, and what falls out is seen`() async throws {
        var limits = NoticeLimits()
        (limits.waiting, limits.dead) = (3, 2)
        let world = try TestService(team: TestPrincipals.rules())
        let notices = NoticeService(
            world.service.audited, world.service.access, world.service.events.log, limits)
        sender.answer(.failed("no"), at: "a")
        try await notices.serve([NoticeSubscription(target: "a")], through: sender)
        var plans: [Plan] = []
        for number in 0..<7 {
            plans.append(try await world.plan(.stopVM, "vm/101", as: agent))
            guard number == 0 else { continue }
            try await stored(1, of: try await queued(world, .waiting, 1)[0].id, in: world)
        }
        world.service.audited.watermark.settled()
        let dead = try await queued(world, .dead, 4)
        // The first is what meets the outage, and keeps the others from it.
        #expect(dead.map(\.notice.planID) == plans[1..<5].map(\.id))
        #expect(dead.last?.error == "more than 3 wait for this destination")
        try await notices.check(auditFault: nil)
        #expect(try await queued(world, .dead, 2).map(\.notice.planID) == plans[3..<5].map(\.id))
        let left = [plans[0], plans[5], plans[6]].map(\.id)
        #expect(try await queued(world, .waiting, 3).map(\.notice.planID) == left)
        await notices.stop()
        let records = try await world.audit.records(after: 0, limit: .max).filter { $0.event.kind == .notify }
        #expect(records.map { $0.event.result?["status"]?.string } == ["given_up"])
    }

    private static func notice(_ event: Notice.Event, _ number: UInt64, key: String? = nil) -> QueuedNotice {
        let notice = Notice(event, at: .sample, environment: .sample, title: "title \(number)", facts: [])
        return QueuedNotice(
            id: .sample(number, .notification), target: "a", key: key ?? "\(number):\(event.rawValue)", notice: notice,
            queuedAt: .sample)
    }

    @Test func `the least important falls out of a full queue first`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let events: [Notice.Event] = [
            .auditChainBroken, .approvalWanted, .planExpiring, .freeze, .unknownOutcome, .operationEnded,
        ]
        let dropped = try await world.store.write { records -> [[Notice.Event]] in
            for (index, event) in events.enumerated() {
                _ = records.queue(Self.notice(event, UInt64(index + 1)))
            }
            return (0..<6).reversed().map { limit in
                records.makeRoom(for: "a", limit, at: .sample).map(\.notice.event)
            }
        }
        #expect(
            dropped == [
                [.freeze], [.operationEnded], [.planExpiring], [.approvalWanted], [.auditChainBroken],
                [.unknownOutcome],
            ])
    }

    @Test func `who sets and lifts freezes all the time has one message that waits`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let keys = ["1:freeze:alice", "2:freeze:bob", "3:freeze:alice", "4:freeze:alice"]
        let added = try await world.store.write { records in
            keys.enumerated().map { records.queue(Self.notice(.freeze, UInt64($0.offset + 1), key: $0.element)) }
        }
        #expect(added == [true, true, true, true])
        #expect(try await queued(world, .waiting, 2).map(\.key) == ["2:freeze:bob", "4:freeze:alice"])
    }

    @Test func `a flood of freezes leaves what wants approval in the queue`() async throws {
        var limits = NoticeLimits()
        limits.waiting = 2
        let world = try TestService(team: TestPrincipals.rules())
        let notices = NoticeService(world.service.audited, world.service.access, world.service.events.log, limits)
        sender.answer(.failed("no"), at: "a")
        try await notices.serve([NoticeSubscription(target: "a")], through: sender)
        let plan = try await world.plan(.stopVM, "vm/101", as: agent)
        try await stored(1, of: try await queued(world, .waiting, 1)[0].id, in: world)
        let alice = Context.by(TestPrincipals.alice)
        for _ in 0..<5 { _ = try await world.service.freezes.freeze(FreezeRequest(reason: "drill"), alice) }
        let waiting = try await queued(world, .waiting, 2)
        #expect(waiting.map(\.notice.event) == [.approvalWanted, .freeze] && waiting[0].notice.planID == plan.id)
        #expect(try await queued(world, .dead, 0).isEmpty)
        await notices.stop()
    }

    @Test func `what waits for a destination that is gone is given up, and told when it is back`() async throws {
        let world = try await world("a")
        sender.answer(.failed("no"), at: "a")
        _ = try await world.plan(.stopVM, "vm/101", as: agent)
        _ = try await sender.tries(1, of: "a")
        try await world.service.notices.serve([NoticeSubscription(target: "b")], through: sender)
        let dead = try #require(try await queued(world, .dead, 1).first)
        let alice = Context.by(TestPrincipals.alice)
        let refused = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.notices.retry(dead.id, alice)
        }
        #expect(refused?.code == .notFound && refused?.detail == "there is no destination \"a\"; there are: b")
        sender.answer(.delivered, at: "a")
        try await world.service.notices.serve(
            [NoticeSubscription(target: "a"), NoticeSubscription(target: "b")], through: sender)
        _ = try await world.service.notices.retry(dead.id, alice)
        #expect(try await sender.delivered(1, to: "a").map(\.id) == [dead.id])
        await world.service.notices.stop()
    }

    // MARK: Who asks

    @Test func `approvers see and retry what is about their environments, and nobody else's`() async throws {
        let world = try await world("a")
        sender.answer(.failed("no"), at: "a")
        _ = try await world.plan(.stopVM, "vm/101", as: agent)
        _ = try await world.service.freezes.freeze(FreezeRequest(reason: "drill"), .by(TestPrincipals.alice))
        let waiting = try await queued(world, .waiting, 2)
        let stranger = Context.by(TestPrincipals.stranger)
        #expect(try await world.service.notices.notices(NoticeFilter(), .by(TestPrincipals.alice)).count == 2)
        #expect(try await world.service.notices.notices(NoticeFilter(), stranger).isEmpty)
        let local = Context.by(Principal(id: "local", roles: [.approver], environments: [.sample]))
        #expect(try await world.service.notices.notices(NoticeFilter(), local).map(\.id) == [waiting[0].id])
        for (id, context) in [(waiting[0].id, stranger), (waiting[1].id, local)] {
            let refused = await world.refusal { () async throws(ServiceError) in
                _ = try await world.service.notices.retry(id, context)
            }
            #expect(refused?.code == .notFound)
        }
        await world.service.notices.stop()
    }

    @Test func `a test goes past what waits, and says what became of it`() async throws {
        let world = try await world("a")
        sender.answer(.failed("answered 404"), at: "a")
        _ = try await world.plan(.stopVM, "vm/101", as: agent)
        _ = try await sender.tries(1, of: "a")
        let alice = Context.by(TestPrincipals.alice)
        #expect(try await world.service.notices.test("a", alice) == .failed("answered 404"))
        sender.answer(.delivered, at: "a")
        #expect(try await world.service.notices.test("a", alice) == .delivered)
        #expect(sender.sent.map(\.notice.event) == [.approvalWanted, .test, .test])
        let refused = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.notices.test("b", alice)
        }
        #expect(refused?.code == .notFound)
        await world.service.notices.stop()
    }

    @Test func `a destination is tested by those who may approve all that it is told`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        try await world.service.notices.serve(
            [
                NoticeSubscription(target: "all"), NoticeSubscription(target: "home", environments: [.sample]),
                NoticeSubscription(target: "other", environments: [try #require(EnvironmentName("other"))]),
            ], through: sender)
        let local = Context.by(Principal(id: "local", roles: [.approver], environments: [.sample]))
        #expect(try await world.service.notices.test("home", local) == .delivered)
        for target in ["all", "other"] {
            let refused = await world.refusal { () async throws(ServiceError) in
                _ = try await world.service.notices.test(target, local)
            }
            #expect(refused?.code == .forbidden && refused?.detail.contains("may not test \(target)") == true)
        }
        #expect(sender.sent.map(\.target) == ["home"])
        await world.service.notices.stop()
    }

    @Test func `a destination is tested once at a time`() async throws {
        let world = try await world("a", "b")
        sender.silence("a")
        let alice = Context.by(TestPrincipals.alice)
        let notices = world.service.notices
        let first = Task { try await notices.test("a", alice) }
        while try await world.audit.records(after: 0, limit: .max).allSatisfy({ $0.event.kind != .notify }) {
            try await Task.sleep(for: .milliseconds(2))
        }
        let refused = await world.refusal { () async throws(ServiceError) in _ = try await notices.test("a", alice) }
        #expect(refused?.code == .rateLimited)
        #expect(try await notices.test("b", alice) == .delivered)
        first.cancel()
        #expect(try await first.value == .stopped)
        sender.speak("a")
        #expect(try await notices.test("a", alice) == .delivered)
        await notices.stop()
    }

    @Test(arguments: [
        ("plain text", "plain text"), ("two\nlines\tand", "two lines and"), ("\u{1B}[31m", "\\u{1b}[31m"),
        ("a\u{202E}b\u{2066}", "a\\u{202e}b\\u{2066}"), ("zero\u{200B}width\u{FEFF}", "zero\\u{200b}width\\u{feff}"),
        ("tag\u{E0041}", "tag\\u{e0041}"), ("\u{2028}\u{85}", "\\u{2028}\\u{85}"), ("Grüße 東京 👍", "Grüße 東京 👍"),
        ("12345678901234567890123456789012345678901", "1234567890123456789012345678901234567890…"),
    ])
    func `foreign text is one visible line`(text: String, shown: String) {
        #expect(text.visibleLine(upTo: 40) == shown)
    }
}
