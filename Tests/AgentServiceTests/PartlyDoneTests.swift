import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Synchronization
import Testing

/// A change of several calls that stops between them says what was done, never that nothing was.
@Suite(.timeLimit(.minutes(1)))
struct PartlyDoneTests {
    /// Something that happens right after PVE has carried out a call, and what PVE answers.
    struct Turn: Sendable, CustomTestStringConvertible {
        typealias Act = @Sendable (_ call: Int, _ pve: FakeHypervisor) throws(HypervisorError) -> Accepted

        let testDescription: String
        let code: String?
        var states = ["done", "not_sent"]
        var isGone = false
        let act: Act

        init(
            _ name: String, _ code: String?, states: [String] = ["done", "not_sent"], isGone: Bool = false,
            act: @escaping Act
        ) {
            testDescription = name
            self.code = code
            self.states = states
            self.isGone = isGone
            self.act = act
        }

        static let all = [
            Turn("it is renamed", "plan_stale") { _, pve in
                pve.put("vm/102", digest: "d2", name: "another")
                return .done(.null)
            },
            Turn("it is started", "plan_stale") { _, pve in
                pve.put("vm/102", status: "running", digest: "d2")
                return .done(.null)
            },
            Turn("it is gone", "plan_stale", isGone: true) { _, pve in
                pve.remove("vm/102")
                return .done(.null)
            },
            Turn("PVE cannot be looked at", "upstream_unreachable") { _, pve in
                pve.failure = .unreachable("no route")
                return .done(.null)
            },
            Turn("PVE refuses the second", "upstream_refused", states: ["done", "failed"]) {
                call, _ throws(HypervisorError) in
                if call == 2 { throw .refused(PVERejection(status: 500, reason: "no space")) }
                return .done(.null)
            },
            Turn("PVE is not reached for the second", "upstream_unreachable") { call, _ throws(HypervisorError) in
                if call == 2 { throw .unreachable("no route") }
                return .done(.null)
            },
            Turn("the second one's task fails", nil, states: ["done", "failed"]) { call, pve in
                guard call == 2, let upid = UPID(TestService.upid) else { return .done(.null) }
                pve.taskStatus = .stopped(.failed("no space left"))
                return .task(upid)
            },
        ]
    }

    private final class Watched: Sendable {
        private let state = Mutex<(calls: Int, pve: FakeHypervisor?)>((0, nil))
        func watch(_ pve: FakeHypervisor) { state.withLock { $0.pve = pve } }
        func next(_ act: Turn.Act) throws(HypervisorError) -> Accepted {
            let (count, pve) = state.withLock { state in
                state.calls += 1
                return (state.calls, state.pve)
            }
            guard let pve else { return .done(.null) }
            return try act(count, pve)
        }
    }

    private func world(_ act: @escaping Turn.Act) throws -> TestService {
        let watched = Watched()
        let world = try TestService { _ throws(HypervisorError) in try watched.next(act) }
        watched.watch(world.pve)
        return world
    }

    private func cloudInit() throws -> Action { try #require(Action(rawValue: "cloud_init_vm")) }

    private func states(_ operation: Operation) -> [String] {
        operation.calls.indices.map { operation.state(ofCall: $0).rawValue }
    }

    @Test(arguments: Turn.all)
    func `what stops between two calls ends as partly applied, with what was done`(turn: Turn) async throws {
        let world = try world(turn.act)
        let plan = try await world.plan(try cloudInit(), "vm/102", ["ciuser": "admin"])
        #expect(plan.preview.calls.count == 2)
        let operation = try await world.apply(plan, approvedBy: "carol")
        #expect(operation.state == .failed)
        #expect(operation.code == "partially_applied")
        #expect(operation.partial?.code == turn.code)
        #expect(states(operation) == turn.states)
        #expect(operation.calls.map(\.path) == plan.preview.calls.map(\.shownPath))
        #expect(operation.message.contains("POST /nodes/pve1/qemu/102/config"), "\(operation.message)")
        #expect(plan.preview.undo != nil)
        #expect(operation.partial?.undo == (turn.isGone ? nil : plan.preview.undo), "what is gone has no way back")
        #expect(try await world.state(of: plan) == .failed)

        let outcome = try #require(world.audit.events.last)
        #expect(outcome.kind == .apply)
        #expect(outcome.result?["code"] == "partially_applied")
        #expect(outcome.result?["steps"]?.array?.map { $0["state"]?.string } == turn.states)
        #expect(outcome.result?["cause"]?["code"]?.string == turn.code)
        #expect(outcome.result?["undo"]?["action"]?.string == operation.partial?.undo?.action)
        let again = await world.refusal { () async throws(ServiceError) in
            try await world.apply(plan, approvedBy: "carol")
        }
        #expect(again?.code == .planConsumed)
    }

    @Test func `there is no way back for a guest whose place another one has taken`() async throws {
        let world = try world { _, pve in
            pve.put(
                ["name": "vm/102", "smbios1": "uuid=other", "digest": "d2"], at: "nodes", "pve1", "qemu", "102",
                "config")
            return .done(.null)
        }
        let operation = try await world.apply(
            try await world.plan(try cloudInit(), "vm/102", ["ciuser": "admin"]), approvedBy: "carol")
        #expect(operation.code == "partially_applied")
        #expect(operation.partial?.undo == nil)
    }

    @Test func `a safety snapshot that was taken first is named, and can be deleted`() async throws {
        let world = try world { _, pve in
            pve.put("vm/102", digest: "d2", name: "another")
            return .done(.null)
        }
        let plan = try await world.plan(
            try #require(Action(rawValue: "configure_vm")), "vm/102", ["memory": 2048, "safety_snapshot": true])
        let name = try #require(plan.preview.calls.first?["snapname"])
        let operation = try await world.apply(plan, approvedBy: "carol")
        #expect(operation.code == "partially_applied")
        #expect(states(operation) == ["done", "not_sent"])
        #expect(operation.message.contains("the safety snapshot \(name)"), "\(operation.message)")
        #expect(operation.partial?.undo?.action == "delete_snapshot")
        #expect(operation.partial?.undo?.params == ["snapname": .string(name)])
    }

    @Test func `a first call that fails leaves nothing behind and keeps its code`() async throws {
        let world = try world { _, _ throws(HypervisorError) in throw .refused(PVERejection(status: 500, reason: "no"))
        }
        let plan = try await world.plan(try cloudInit(), "vm/102", ["ciuser": "admin"])
        let refused = await world.refusal { () async throws(ServiceError) in
            try await world.apply(plan, approvedBy: "carol")
        }
        #expect(refused?.code == .upstreamRefused)
        #expect(states(try #require(refused?.operation)) == ["failed", "not_sent"])
    }

    @Test func `a second call without an answer is unknown, and the first one done`() async throws {
        let world = try world { call, _ throws(HypervisorError) in
            if call == 2 { throw .timeout(sent: true) }
            return .done(.null)
        }
        let operation = try await world.apply(
            try await world.plan(try cloudInit(), "vm/102", ["ciuser": "admin"]), approvedBy: "carol")
        #expect(operation.state == .unknown)
        #expect(states(operation) == ["done", "unknown"])
    }

    @Test func `a second call that somebody stops is cancelled, and says what the first one did`() async throws {
        let upid = try #require(UPID(TestService.upid))
        let world = try world { call, pve in
            guard call == 2 else { return .done(.null) }
            pve.taskStatus = .running
            return .task(upid)
        }
        let plan = try await world.plan(try cloudInit(), "vm/102", ["ciuser": "admin"])
        let started = try await world.apply(plan, approvedBy: "carol", wait: nil)
        #expect(started.upid == upid)
        _ = try await world.service.operations.cancel(started.id, TestService.alice)
        world.pve.taskStatus = .stopped(.failed("received interrupt"))
        let ended = try await world.service.operations.operation(started.id, TestService.alice, wait: .seconds(30))
        #expect(ended.state == .cancelled)
        #expect(ended.code == "partially_applied")
        #expect(states(ended) == ["done", "failed"])
        #expect(ended.partial?.undo == plan.preview.undo)
    }

    // MARK: After a crash

    private func interrupted(_ world: TestService, _ steps: [Step]) async throws -> (plan: Plan, operation: RecordID) {
        let plan = try await world.plan(try cloudInit(), "vm/102", ["ciuser": "admin"])
        let id = RecordID.sample(7, .operation)
        try await world.interrupt(plan, id, steps)
        return (plan, id)
    }

    @Test func `a restart between two calls shows the one that was done and the one that was not sent`() async throws {
        let world = try TestService()
        let (_, id) = try await interrupted(world, [Step(sentAt: .sample, state: .done)])
        let next = try await world.restarted()
        let ended = try await next.service.operations.operation(id, TestService.alice, wait: .seconds(30))
        #expect(ended.state == .unknown)
        #expect(states(ended) == ["done", "not_sent"])
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `a restart that finds the second task failed says what the first one did`() async throws {
        let world = try TestService()
        let (plan, id) = try await interrupted(
            world, [Step(sentAt: .sample, state: .done), Step(sentAt: .sample, upid: UPID(TestService.upid))])
        world.pve.taskStatus = .stopped(.failed("no space left"))
        let next = try await world.restarted()
        let ended = try await next.service.operations.operation(id, TestService.alice, wait: .seconds(30))
        #expect(ended.code == "partially_applied")
        #expect(states(ended) == ["done", "failed"])
        #expect(ended.partial?.undo == plan.preview.undo)
    }

    @Test func `an outcome that only the log has is taken over with its steps`() async throws {
        let turn = try #require(Turn.all.first)
        let world = try world(turn.act)
        world.store.failWrites { world.audit.kinds.last == .apply }
        let plan = try await world.plan(try cloudInit(), "vm/102", ["ciuser": "admin"])
        let started = try await world.apply(plan, approvedBy: "carol", wait: .zero)
        while world.audit.kinds.last != .apply { await Task.yield() }
        await world.service.drain(within: .zero)
        world.store.failWrites { false }
        let next = try await world.restarted()
        let ended = try await next.service.operations.operation(started.id, TestService.alice, wait: .seconds(30))
        #expect(ended.code == "partially_applied")
        #expect(states(ended) == ["done", "not_sent"])
        #expect(ended.partial?.detail == world.audit.events.last?.result?["cause"]?["detail"]?.string)
        #expect(ended.partial?.undo == plan.preview.undo)
    }
}
