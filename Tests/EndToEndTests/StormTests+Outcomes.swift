import AgentModel
import AgentTestSupport
import HTTPMessage
import HTTPTypes
import Logging
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Synchronization
import Testing

@testable import AgentService

/// The same for what PVE answers after a change was sent: its tasks, their logs, and what became of the guests.
extension StormTests {
    /// A change that PVE does not carry out, or of which nobody learns that it did.
    struct Mishap: Sendable, CustomTestStringConvertible {
        let wish: PlanRequest
        var testDescription: String { "\(wish.testDescription): \(what)" }
        let what: String
        /// How the operation ends.
        var end = "failed"
        /// What becomes of the answer to the change.
        var answer = Loss.none
        let prepare: ChangeScenario.Step
        /// What happens once the change was sent.
        var then: @Sendable (Simulator) -> Void = { _ in }

        enum Loss: Sendable { case none, answer, request }
    }

    private static func task(_ effect: Fault.Effect, _ method: String, _ path: String) -> ChangeScenario.Step {
        { $0.inject(Fault(effect, method: method, path: path)) }
    }

    private static let start = "/nodes/pve2/qemu/136/status/start"

    static let mishaps: [Mishap] = [
        Mishap(
            wish: PlanRequest("migrate_vm", "vm/103", ["target": "pve1", "online": true]), what: "HA leaves it locked",
            end: "unknown",
            prepare: {
                $0.setHA(103, wanted: "started"); $0.setHAActs(false)
            },
            then: {
                $0.move(103, to: "pve1"); $0.setConfig(103, "lock", "migrate")
            }),
        Mishap(wish: .start, what: "its task fails", prepare: task(.taskError("no"), "POST", start)),
        Mishap(
            wish: .start, what: "its worker dies", end: "unknown",
            prepare: task(.taskError("unexpected status"), "POST", start)),
        Mishap(wish: .start, what: "it gets lost", end: "unknown", answer: .request) { _ in },
        Mishap(
            wish: .start, what: "its answer gets lost, and it fails", answer: .answer,
            prepare: task(.taskError("no"), "POST", start)),
        Mishap(
            wish: PlanRequest("create_vm", "vm/501", ["node": "pve2", "net0": "virtio,bridge=vmbr99", "start": true]),
            what: "it does not start"
        ) { _ in },
        Mishap(wish: PlanRequest("agent_exec", "vm/100", ["command": ["uptime"]]), what: "it fails") {
            $0.setConfig(100, "agent", "1")
            $0.setCommand("uptime", exits: 3, output: "no")
        },
        Mishap(wish: PlanRequest("agent_exec", "vm/100", ["command": ["uptime"]]), what: "a signal ends it") {
            $0.setConfig(100, "agent", "1")
            $0.setCommand("uptime", exits: 0, signal: 9)
        },
        Mishap(wish: PlanRequest("bulk_start", "node/pve2", ["vms": [501, 502]]), what: "one fails") { pve in
            for (id, bridge) in [(501, "vmbr0"), (502, "vmbr99")] {
                pve.addGuest(
                    id, on: "pve2",
                    config: ["memory": "512", "net0": "virtio=BC:24:11:00:05:0\(id % 10),bridge=\(bridge)"])
            }
        },
        Mishap(wish: PlanRequest("bulk_shutdown", "node/pve2", ["vms": [100], "timeout": 0]), what: "it stays on") {
            $0.setAnswersShutdown(100, false)
        },
        Mishap(
            wish: PlanRequest("configure_vm", "vm/100", ["net0": "virtio,bridge=vmbr0,tag=7"]), what: "it stays pending"
        ) { $0.setHotplugProblem(100, "error on hot-unplugging device 'net0' - still busy in guest?") },
        Mishap(
            wish: PlanRequest("configure_container", "lxc/118", ["memory": 96, "net0": "name=eth0,bridge=vmbr99"]),
            what: "a part is refused"
        ) { $0.setRunning(118, false) },
        Mishap(
            wish: PlanRequest("bulk_shutdown", "node/pve2", ["vms": [100]]), what: "HA does not act", end: "unknown"
        ) {
            $0.setHA(100, wanted: "started")
            $0.setHAActs(false)
        },
        Mishap(wish: PlanRequest("stop_vm", "vm/103"), what: "HA does not act", end: "unknown") {
            $0.setHA(103, wanted: "started")
            $0.setHAActs(false)
        },
        Mishap(
            wish: PlanRequest("migrate_vm", "vm/103", ["target": "pve1", "online": true]), what: "HA does not act",
            end: "unknown"
        ) {
            $0.setHA(103, wanted: "started")
            $0.setHAActs(false)
        },
        Mishap(wish: PlanRequest("reboot_vm", "vm/100"), what: "it does not start again") {
            $0.setConfig(100, "net0", "virtio=BC:24:11:00:01:00,bridge=vmbr99")
        },
        Mishap(wish: PlanRequest("reboot_container", "lxc/118"), what: "it does not start again") {
            $0.setConfig(118, "net0", "name=eth0,bridge=vmbr99")
        },
        Mishap(
            wish: PlanRequest("migrate_vm", "vm/100", ["target": "pve1", "online": true]), what: "it fails",
            prepare: task(.taskError("migration aborted"), "POST", "/nodes/pve2/qemu/100/migrate")),
    ]

    /// What stands where PVE sent a value. Where the first few change nothing of the end, the others are not tried.
    private static let outcomes: [JSON] = ["nonsense"] + nonsense + [most, .object([:]), .array([])]

    @Test(arguments: mishaps)
    func `nothing that PVE sends by mistake makes an operation succeed that did not`(mishap: Mishap) async throws {
        let calm = try await Change(mishap)
        let end = try await calm.end()
        #expect(end.state == mishap.end)
        let kinds = calm.way.kinds.sorted()
        // The short form takes some kinds, in each mishap others, with a value each.
        let taken = kinds.indices.filter { Self.isFull || $0 % 32 == kinds.count % 32 }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, index) in taken.enumerated() {
                // Each has a PVE of its own.
                if number >= 4 { try await group.next() }
                let kind = kinds[index]
                let values = Self.isFull ? Self.outcomes : [Self.outcomes[index / 32 % Self.outcomes.count]]
                group.addTask {
                    var isTold = false
                    for (number, value) in values.enumerated() where isTold || number < 3 {
                        let change = try await Change(mishap)
                        change.way.replace(kind, value)
                        let other = try await change.end()
                        #expect(!other.state.hasPrefix("succeeded"), "\(kind): \(value.text)")
                        isTold = isTold || other != end
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

/// One change by a service of its own, at a PVE of its own.
private struct Change {
    let way: MishapWay
    private let service: ControlPlane
    private let wish: PlanRequest

    init(_ mishap: StormTests.Mishap) async throws {
        let pve = StormyWay.simulator()
        try await mishap.prepare(pve)
        way = MishapWay(pve, mishap)
        var log = Logger(label: "storm")
        log.logLevel = .critical
        var limits = Limits()
        // Nothing takes time: each is looked at once.
        limits.followSeconds = 0
        limits.highAvailabilitySeconds = 0
        limits.startSeconds = 0
        limits.commandSeconds = 0
        limits.traceLooks = 1
        limits.lateSeconds = 0
        service = ControlPlane(
            managedEnvironments: [try .stormy(way)],
            ports: Ports(audit: MemoryAuditSink(), store: MemoryPlanStore(), log: log),
            key: .sample, limits: limits)
        wish = mishap.wish
    }

    /// How the operation ended.
    func end() async throws -> End {
        let context = Context(caller: .labelled("agent"), principal: .shared, requestID: "req_1")
        let plan = try await service.workflow.plan(try #require(wish.json.object), context)
        #expect(plan.decision.allowed, "\(plan.decision.reason)")
        let body = ApplyRequest(planID: plan.id, approvedBy: "alice")
        let outcome = try await service.applies.apply(body, context, wait: .seconds(60))
        guard case .operation(let operation) = outcome.kind else { throw NoOperation() }
        #expect(operation.state != .running && operation.state != .queued, "\(operation.state)")
        return End(state: operation.state.rawValue, message: operation.message)
    }

    struct End: Hashable {
        let state: String
        let message: String
    }

    struct NoOperation: Error {}
}

/// The way to a simulated PVE, on which one kind of value is replaced once a change was sent.
private final class MishapWay: HTTPTransport {
    private struct State {
        var isSent = false
        var kinds: Set<String> = []
        var replaced: (kind: String, value: JSON)?
    }

    private let pve: Simulator
    private let mishap: StormTests.Mishap
    private let state = Mutex(State())

    init(_ pve: Simulator, _ mishap: StormTests.Mishap) {
        self.pve = pve
        self.mishap = mishap
    }

    /// What was answered since the change was sent.
    var kinds: Set<String> { state.withLock { $0.kinds } }

    func replace(_ kind: String, _ value: JSON) { state.withLock { $0.replaced = (kind, value) } }

    func send(_ request: OutgoingRequest) async throws(TransportError) -> IncomingResponse {
        let isChange = request.method != .get
        if isChange {
            state.withLock { $0.isSent = true }
            if mishap.answer == .request { throw .broken("the connection was closed", sent: true) }
        }
        var answer = await pve.answer(to: request)
        if isChange {
            mishap.then(pve)
            if mishap.answer == .answer { throw .broken("the connection was closed", sent: true) }
        }
        guard state.withLock({ $0.isSent }), answer.status == 200, let value = try? JSON.parse(answer.body) else {
            return answer
        }
        let path = request.target.split(separator: "?")[0].split(separator: "/").map {
            $0.hasPrefix("UPID") ? "UPID" : String($0)
        }
        var found: [StormyWay.Place: JSON] = [:]
        let place = StormyWay.Place(request: "\(request.method) /" + path.joined(separator: "/"), steps: [])
        StormyWay.note(value, place, in: &found, texts: true)
        let replaced = state.withLock { state in
            state.kinds.formUnion(found.keys.map(\.kind))
            return state.replaced
        }
        guard let replaced else { return answer }
        var changed = value
        for place in found.keys where place.kind == replaced.kind {
            changed = StormyWay.put(replaced.value, in: changed, at: place.steps[...])
        }
        answer.body = changed.bytes
        return answer
    }

    func finishWriting() async {}
}
