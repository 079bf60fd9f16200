import AgentService
import AgentTestSupport
import FoundationEssentials
import Glibc
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Synchronization
import Testing

/// The agent is killed in the middle of things and started again: no change twice, none lost, every plan in a true state,
/// the chain of records whole. `make crash` does it many times.
@Suite(.serialized)
struct CrashTests {
    /// Rounds of killing under load: `PROXMOX_AGENT_CRASHES`, few unless it says otherwise.
    static let rounds = ProcessInfo.processInfo.environment["PROXMOX_AGENT_CRASHES"].flatMap { Int($0) } ?? 4

    struct Case: Sendable, CustomTestStringConvertible {
        let point: Milestone
        let wish: PlanRequest
        var testDescription: String { "\(wish.action) at \(point.rawValue)" }

        /// How many calls that change something PVE must have seen.
        var executed: Int {
            switch point {
            case .intentRecording, .intentRecorded, .consuming, .consumed, .sending, .sent, .gatePassed: 0
            case .answered, .answerStored, .taskEnded, .outcomeRecording, .outcomeRecorded, .outcomeStored: 1
            }
        }

        /// What the plan must be after the restart.
        var state: String {
            switch point {
            case .intentRecording, .intentRecorded, .consuming: "approved"
            case .consumed, .sending: "failed"
            case .sent, .gatePassed: "unknown"
            // A task is found at PVE; what a call that is no task did, nobody can tell.
            case .answered: wish.action == "storage_edit" ? "unknown" : "applied"
            case .answerStored, .taskEnded, .outcomeRecording, .outcomeRecorded, .outcomeStored: "applied"
            }
        }
    }

    static let cases = [PlanRequest.start, .addStorage].flatMap { wish in
        Milestone.allCases.filter { $0 != .taskEnded || wish.action == "start_vm" }.map { Case(point: $0, wish: wish) }
    }

    @Test(.timeLimit(.minutes(2)), arguments: cases)
    func `killed at any point it comes to a true end, and PVE sees one call at most`(given: Case) async throws {
        let agent = try CrashableAgent()
        try await agent.start(dying: given.point.rawValue)
        let id = try await agent.planID(given.wish)
        _ = try? await agent.apply(id, approvedBy: given.wish.needsApproval ? "alice" : nil)
        try await agent.die(bySelf: true)
        try await agent.start()
        let plan = try #require(try await agent.settled()[id])
        #expect(plan["state"]?.string == given.state)
        #expect(agent.executed.count == given.executed)
        let kinds = try agent.kinds(of: id)
        #expect(kinds.count { $0 == "apply" } == 1, "one outcome: \(kinds)")
        let traces = try agent.lines().filter {
            $0["plan_id"]?.string == id && ["apply_intent", "apply"].contains($0["kind"])
        }.map { $0["trace_id"]?.string }
        #expect(Set(traces).count == 1 && traces[0] != nil, "the outcome is of the request's trace: \(traces)")

        // A second apply does what the first did not, or nothing.
        let again = try await agent.apply(id)
        if given.state == "approved" {
            #expect(again["result"]?["status"] == "succeeded", "\(again)")
            #expect(agent.executed.count == 1)
        } else {
            expectProblem(again, 409, "plan_consumed")
            #expect(agent.executed.count == given.executed)
        }
        try await agent.stop()
    }

    /// What the clients of a round were told, and what they asked for.
    private final class Promises: Sendable {
        struct State {
            /// Plans that were answered with 200, by the name of the snapshot that each would take.
            var plans: [String: String] = [:]
            /// Operations that were answered with 200 or 202.
            var operations: Set<String> = []
        }

        private let state = Mutex(State())
        var all: State { state.withLock { $0 } }
        func plan(_ id: String, _ name: String) { state.withLock { $0.plans[name] = id } }
        func operation(_ id: String) { _ = state.withLock { $0.operations.insert(id) } }
    }

    struct Counts: CustomStringConvertible {
        var kills = 0, plans = 0, executed = 0, applied = 0, unknown = 0, failed = 0, unapplied = 0, doubled = 0,
            lost = 0
        var description: String {
            "\(kills) kills, \(plans) plans: \(applied) applied, \(unknown) unknown, \(failed) failed, "
                + "\(unapplied) not applied; \(executed) calls at PVE; \(doubled) doubled, \(lost) lost"
        }
    }

    @Test(.timeLimit(.minutes(60)))
    func `killed at random under load, nothing is lost and nothing doubled`() async throws {
        var counts = Counts()
        var generator = RandomJSON.Generator(seed: UInt64(Date().timeIntervalSince1970))
        for round in 0..<Self.rounds { try await self.round(round, &generator, &counts) }
        print("crashes: \(counts)")
        #expect(counts.doubled == 0 && counts.lost == 0)
        #expect(counts.kills == Self.rounds)
    }

    private func round(
        _ round: Int, _ generator: inout RandomJSON.Generator, _ counts: inout Counts
    ) async throws {
        var setup = Setup()
        setup.taskDuration = .milliseconds(round % 3 * 40)
        let agent = try CrashableAgent(setup)
        let bySelf = round % 2 == 0
        let pass = Int.random(in: 1...60, using: &generator)
        let pause = Duration.milliseconds(Int.random(in: 30...500, using: &generator))
        try await agent.start(dying: bySelf ? "*#\(pass)" : nil)
        let promises = Promises()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in 0..<6 { group.addTask { await self.load(agent, promises, "r\(round)c\(client)") } }
            if !bySelf {
                group.addTask {
                    try await ContinuousClock().sleep(for: pause)
                    try await agent.die()
                }
            }
            try await group.waitForAll()
        }
        if bySelf { try await agent.die(bySelf: true) }
        counts.kills += 1
        try await agent.start()
        let plans = try await agent.settled()
        try await judge(agent, promises.all, plans, &counts)
        try await agent.stop()
    }

    /// Takes snapshots of several machines, one after the other, until nobody answers any more.
    private func load(_ agent: CrashableAgent, _ promises: Promises, _ name: String) async {
        for number in 0..<200 {
            let snapshot = "\(name)n\(number)"
            let wish = PlanRequest("snapshot_vm", "vm/\(100 + number % 3)", ["snapname": .string(snapshot)])
            guard let plan = try? await agent.plan(wish), plan.status == 200, let id = plan["plan_id"]?.string else {
                return
            }
            promises.plan(id, snapshot)
            guard let reply = try? await agent.apply(id, wait: number % 2 == 0 ? 5 : nil) else { return }
            if let operation = reply["operation"]?["operation_id"]?.string { promises.operation(operation) }
        }
    }

    /// Holds what the agent says now against what it promised and what PVE saw.
    private func judge(
        _ agent: CrashableAgent, _ promises: Promises.State, _ plans: [String: JSON], _ counts: inout Counts
    ) async throws {
        let calls = agent.executed.filter { $0.method == "POST" && $0.path.hasSuffix("/snapshot") }
        let seen = Dictionary(grouping: calls) { $0.parameters["snapname"] ?? "" }.mapValues(\.count)
        let records = try agent.records()
        counts.executed += calls.count
        counts.doubled += seen.values.count { $0 > 1 }
        for (name, id) in promises.plans {
            counts.plans += 1
            guard let state = plans[id]?["state"]?.string else {
                counts.lost += 1
                Issue.record("\(id) was promised and is gone")
                continue
            }
            let outcomes = records.count {
                $0["plan_id"]?.string == id && $0["kind"] == "apply" && $0["result"]?["code"] != "not_executed"
            }
            let sent = seen[name] ?? 0
            switch state {
            case "applied":
                counts.applied += 1
                #expect(sent == 1 && outcomes == 1, "\(id) is applied, PVE saw \(sent), \(outcomes) outcomes")
            case "unknown":
                counts.unknown += 1
                #expect(outcomes == 1, "\(id) is unknown with \(outcomes) outcomes")
            case "failed": counts.failed += 1
            default:
                counts.unapplied += 1
                #expect(sent == 0 && outcomes == 0, "\(id) is \(state), PVE saw \(sent)")
            }
        }
        for operation in promises.operations {
            let reply = try await agent.get("/v1/operations/\(operation)")
            if reply.status != 200 { counts.lost += 1 }
            #expect(reply["ended_at"]?.string != nil, "\(operation): \(reply)")
        }
    }
}
