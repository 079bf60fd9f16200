import AgentAudit
import AgentModel
import AgentPolicy
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Synchronization
import Testing

@testable import AgentService

/// Events are what the audit log says: no more than that, no less, and nothing that is not so.
@Suite(.timeLimit(.minutes(1)))
struct EventTests {
    /// All events so far.
    private func events(_ world: TestService, after seq: UInt64 = 0) async throws -> [AgentEvent] {
        var (found, last): ([AgentEvent], UInt64) = ([], seq)
        while true {
            let page = try await world.service.events.page(after: last)
            found += page.events
            last = page.last
            if page.isEnd { return found }
        }
    }

    /// `2 plan.created approved`
    private func lines(_ events: [AgentEvent]) -> [String] {
        events.map { event in
            let words = ["state", "plan_state", "code"].compactMap { event.details[$0]?.string }
            return ([event.id.map { "\($0)" } ?? "-", event.kind.rawValue] + words).joined(separator: " ")
        }
    }

    // MARK: What is told

    @Test func `a change is told from plan to end`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let plan = try await world.plan(.stopVM, "vm/101", as: .by(TestPrincipals.agent))
        _ = try await world.decide(plan, .approve, by: TestPrincipals.alice)
        let operation = try await world.apply(plan, as: .by(TestPrincipals.agent))
        let told = try await events(world)
        #expect(
            lines(told) == [
                "1 plan.created awaiting_approval", "2 plan.approved approved", "3 operation.started running",
                "4 operation.ended succeeded applied",
            ])
        #expect(told.allSatisfy { $0.planID == plan.id.description && $0.environment == "home" })
        #expect(told.map(\.operationID) == [nil, nil, operation.id.description, operation.id.description])
        #expect(told.map(\.actor) == ["pi-agent", "alice", "pi-agent", "pi-agent"])
        #expect(told[1].details["approvals"] == 1 && told[1].details["approvals_needed"] == 1)
        #expect(told[0].details["action"] == "stop_vm" && told[0].details["target"] == "vm/101")
    }

    @Test func `each end of a plan is told`() async throws {
        let world = try TestService(team: TestPrincipals.rules())
        let context = Context.by(TestPrincipals.agent)
        let rejected = try await world.plan(.stopVM, "vm/101", as: context)
        _ = try await world.decide(rejected, .reject, by: TestPrincipals.alice)
        let cancelled = try await world.plan(.startVM, "vm/102", as: context)
        _ = try await world.service.workflow.cancelPlan(cancelled.id, context)
        let stale = try await world.plan(.startVM, "vm/102", as: context)
        world.pve.put("vm/102", status: "running")
        _ = try? await world.apply(stale, as: context)
        let expired = try await world.plan(.stopVM, "vm/101", as: context)
        world.clock.move(by: 7200)
        try await world.service.workflow.expireDue()
        let told = try await events(world)
        #expect(
            lines(told.filter { $0.planID == rejected.id.description }) == [
                "1 plan.created awaiting_approval", "2 plan.rejected rejected",
            ])
        #expect(
            lines(told.filter { $0.planID == cancelled.id.description }) == [
                "3 plan.created approved", "4 plan.cancelled cancelled",
            ])
        #expect(
            lines(told.filter { $0.planID == stale.id.description }) == [
                "5 plan.created approved", "6 operation.ended failed stale plan_stale",
            ])
        #expect(
            lines(told.filter { $0.planID == expired.id.description }) == [
                "7 plan.created awaiting_approval", "8 plan.expired expired",
            ])
    }

    @Test func `freezes are told, and refusals that change nothing are not`() async throws {
        let world = try TestService()
        let freeze = try await world.service.freezes.freeze(
            FreezeRequest(environment: "home", reason: "works", ttl: 60), TestService.alice)
        _ = await world.refusal { () async throws(ServiceError) in
            _ = try await world.apply(try await world.plan(.startVM, "vm/102"))
        }
        _ = try await world.service.freezes.unfreeze(
            FreezeChoice(id: freeze.id?.description), TestService.alice)
        let told = try await events(world)
        #expect(lines(told) == ["1 freeze.set", "2 plan.created approved", "4 freeze.lifted"])
        #expect(told[0].details["reason"] == "works" && told[0].details["ends_at"] != nil)
        #expect(told[0].details["freeze_id"] == told[2].details["freeze_id"])
        #expect(told[0].environment == "home" && told[0].actor == "alice")
    }

    @Test func `what waits in the queue is told, and how it leaves it`() async throws {
        let gate = Gate()
        let entered = Gate()
        let world = try TestService { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        let first = try await world.plan(.startVM, "vm/101")
        let waiting = try await world.plan(.startVM, "vm/101")
        _ = try await world.apply(first, wait: .zero)
        await entered.wait()
        let queued = try await world.apply(waiting, wait: nil)
        _ = try await world.service.operations.cancel(queued.id, TestService.alice)
        let told = try await events(world, after: 2)
        #expect(
            lines(told) == [
                "3 operation.started running", "4 operation.queued queued", "5 operation.ended cancelled cancelled",
            ])
        gate.open()
    }

    @Test func `nothing is told that rules may hide`() async throws {
        // Every kind of record, with everything in it that a record may have.
        let secret: JSON = ["s3cret": "s3cret"]
        let known: Set = [
            "state", "plan_state", "code", "action", "target", "approvals", "approvals_needed", "ahead", "freeze_id",
            "reason", "ends_at", "policy_version", "windows", "limits", "freezes", "verdict", "comment",
        ]
        var chain = AuditChain()
        for kind in AuditKind.allCases {
            let event = AuditEvent(
                kind: kind, actor: "a", principal: "a", environment: "home", planID: "p", operationID: "o",
                request: ["action": "start_vm", "target": "vm/1", "params": secret, "reason": "s3cret"],
                decision: ["reason": "s3cret"],
                result: [
                    "status": "failed", "state": "stale", "message": "s3cret", "cause": secret, "left": secret,
                    "undo": secret, "steps": secret, "moved": ["s3cret"], "log_tail": ["s3cret"], "calls": secret,
                    "upstream": secret, "approvals": "1/2", "cancel_requested_by": "s3cret",
                ])
            guard let told = AgentEvent(chain.extend(with: event, at: Timestamp(.sample)), numbered: 1) else {
                continue
            }
            #expect(Set(told.details.keys).isSubset(of: known), "\(kind)")
            #expect(!JSON.object(told.details).text.contains("s3cret"), "\(kind)")
        }
    }

    // MARK: What is not told

    @Test(arguments: [("in_force", true), ("refused", false)])
    func `a configuration that was refused is not told`(status: String, isTold: Bool) {
        var chain = AuditChain()
        let event = AuditEvent(
            kind: .config, actor: "admin", principal: "admin",
            result: ["status": .string(status), "policy_version": "base@1"])
        #expect((AgentEvent(chain.extend(with: event, at: Timestamp(.sample)), numbered: 1) != nil) == isTold)
    }

    @Test func `a record whose transition was not stored is not told, now or later`() async throws {
        let world = try TestService()
        let fails = Mutex(false)
        world.store.failWrites { fails.withLock { $0 } }
        _ = try await world.plan(.startVM, "vm/102")
        fails.withLock { $0 = true }
        _ = await world.refusal { () async throws(ServiceError) in _ = try await world.plan(.startVM, "vm/102") }
        fails.withLock { $0 = false }
        _ = try await world.plan(.startVM, "vm/102")
        #expect(world.audit.kinds == [.plan, .plan, .void, .refuse, .plan])
        let expected = ["1 plan.created approved", "5 plan.created approved"]
        #expect(lines(try await events(world)) == expected)
        // From the middle too, and by a process that has seen nothing of it.
        #expect(lines(try await events(world, after: 1)) == [expected[1]])
        let next = try await world.restarted()
        #expect(lines(try await events(next, after: 1)) == [expected[1]])
        #expect(lines(try await events(next)) == expected)
    }

    @Test func `a record that could not be voided holds back what follows until it is`() async throws {
        let world = try TestService()
        let fails = Mutex(false)
        world.store.failWrites { fails.withLock { $0 } }
        world.audit.refuse { event, _ in event.kind == .void && fails.withLock { $0 } }
        _ = try await world.plan(.startVM, "vm/102")
        fails.withLock { $0 = true }
        _ = await world.refusal { () async throws(ServiceError) in _ = try await world.plan(.startVM, "vm/102") }
        fails.withLock { $0 = false }
        _ = try await world.plan(.startVM, "vm/102")
        #expect(lines(try await events(world)) == ["1 plan.created approved"])
        try await world.service.voidOrphans()
        #expect(lines(try await events(world)) == ["1 plan.created approved", "4 plan.created approved"])
    }

    @Test func `the history of several agents has each record once, and knows which are void`() async throws {
        let world = try TestService()
        let fails = Mutex(false)
        world.store.failWrites { fails.withLock { $0 } }
        let history = SharedHistory(world.service.audited, world.service.events.log, world.limits)
        let feed = EventFeed(world.service.events.log, history, world.service.access)
        _ = try await world.plan(.startVM, "vm/102")
        try await history.copy()
        fails.withLock { $0 = true }
        _ = await world.refusal { () async throws(ServiceError) in _ = try await world.plan(.startVM, "vm/102") }
        let refused = await world.refusal { () async throws(ServiceError) in try await history.copy() }
        #expect(refused?.code == .storeUnavailable, "what cannot be stored is told")
        fails.withLock { $0 = false }
        _ = try await world.plan(.startVM, "vm/102")
        for _ in 0..<2 { try await history.copy() }
        let all = try await history.page(after: 0, limit: .max)
        #expect(all.records.map(\.record.event.kind) == [.plan, .plan, .void, .refuse, .plan])
        #expect(all.records.map(\.isVoid) == [false, true, false, false, false] && all.numbers == 1...5)
        let told = try await feed.page(after: 0)
        #expect(lines(told.events) == ["1 plan.created approved", "5 plan.created approved"])
        #expect(told.isEnd && told.last == 5)
        // What was removed from it is gone for those who resume.
        var last = try #require(all.records.last)
        while last.record.time == all.records[0].record.time {
            _ = try await world.plan(.startVM, "vm/102")
            try await history.copy()
            last = try #require(try await history.page(after: 0, limit: .max).records.last)
        }
        try await world.service.audited.write { [at = last.record.time.date] in
            $0.pruneHistory(before: at, atMost: .max)
        }
        let first = try #require(try await history.numbers()?.lowerBound)
        #expect(first > 1)
        let gone = await world.refusal { () async throws(ServiceError) in _ = try await feed.page(after: first - 2) }
        #expect(gone?.code == .eventsGone && gone?.oldestID == first)
        #expect(try await feed.page(after: first - 1).events.last?.id == last.number)
    }

    @Test func `an event is told only once its transition is stored`() async throws {
        let world = try TestService()
        let seen = Mutex<[UInt64]>([])
        world.store.failWrites { [events = world.service.events] in
            seen.withLock { $0.append(events.log.newest) }
            return false
        }
        _ = try await world.plan(.startVM, "vm/102")
        #expect(seen.withLock { $0 } == [0], "while it is stored its record is not told")
        #expect(world.service.events.log.newest == 1)
    }

    @Test func `who follows is told of every change`() async throws {
        final class Follower: EventFollower {
            let calls = Atomic(0)
            let happenings = Mutex<[AgentEvent]>([])
            func recordsSettled() { calls.add(1, ordering: .relaxed) }
            func happened(_ event: AgentEvent) { happenings.withLock { $0.append(event) } }
        }
        let world = try TestService()
        let follower = Follower()
        world.service.events.follow(by: follower)
        _ = try await world.plan(.startVM, "vm/102")
        #expect(follower.calls.load(ordering: .relaxed) >= 1)
        let probe = Probe(at: .sample, version: nil, isSimulator: false, error: "no route to host")
        world.service.events.tell(AgentEvent(.sample, probe))
        #expect(lines(follower.happenings.withLock { $0 }) == ["- environment.down"])
    }

    // MARK: Who is told

    @Test(
        arguments: [
            ("home", nil, nil, nil, ["plan.created", "freeze.set", "policy.replaced"]),
            ("home", "home", nil, nil, ["plan.created", "freeze.set", "policy.replaced"]),
            ("home", "cloud", nil, nil, ["freeze.set", "policy.replaced"]),
            ("*", nil, nil, nil, ["plan.created", "operation.ended", "freeze.set", "policy.replaced"]),
            ("*", "cloud", nil, nil, ["operation.ended", "freeze.set", "policy.replaced"]),
            ("*", nil, "plan.created", nil, ["plan.created"]), ("*", nil, nil, 2, ["operation.ended"]),
            ("*", "home", nil, 2, []), ("", nil, nil, nil, ["freeze.set", "policy.replaced"]),
        ] as [(String, String?, String?, Int?, [String])])
    func `callers get what their lists show, and of that what they ask for`(
        visible: String, environment: String?, kind: String?, plan: Int?, expected: [String]
    ) throws {
        var chain = AuditChain()
        func event(_ kind: AuditKind, _ environment: String?, plan: Int?) throws -> AgentEvent {
            let record = chain.extend(
                with: AuditEvent(
                    kind: kind, actor: "a", principal: "a", environment: environment,
                    planID: plan.map { RecordID.sample(UInt64($0)).description }), at: Timestamp(.sample))
            return try #require(AgentEvent(record, numbered: record.seq))
        }
        let all = [
            try event(.plan, "home", plan: 1), try event(.apply, "cloud", plan: 2), try event(.freeze, nil, plan: nil),
            try event(.config, nil, plan: nil),
        ]
        let filter = EventFilter(
            visible: visible == "*" ? nil : Set([EnvironmentName(visible)].compactMap(\.self)),
            environment: environment.flatMap(EnvironmentName.init),
            kinds: kind.flatMap(AgentEvent.Kind.init).map { [$0] }, plan: plan.map { .sample(UInt64($0)) })
        #expect(all.filter(filter.matches).map(\.kind.rawValue) == expected)
    }
}
