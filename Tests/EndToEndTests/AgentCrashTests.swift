import AgentTestSupport
import FoundationEssentials
import Glibc
import PVESimulator
import PostgreSQLTestSupport
import SimulatorTestSupport
import StrictJSON
import Synchronization
import Testing

@testable import proxmox_agent

/// Three agents on one state, one after the other of which is killed, stopped or cut off from the database while clients
/// ask all of them: nothing twice, nothing lost. `make crash-ha` does it many times, and cuts the network itself.
@Suite(.serialized, .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct AgentCrashTests {
    /// How many faults: `PROXMOX_AGENT_HA_CRASHES`, few unless it says otherwise.
    static let faults = ProcessInfo.processInfo.environment["PROXMOX_AGENT_HA_CRASHES"].flatMap { Int($0) } ?? 3

    /// Whether everything is to be tried, however long it takes.
    static let isThorough = ProcessInfo.processInfo.environment["PROXMOX_AGENT_HA_CRASHES"] != nil

    enum Fault: CaseIterable { case kill, stop, cut }

    /// What clients were told, and what they asked for.
    private final class Promises: Sendable {
        struct State {
            /// Plans that were answered with 200, by the name of the snapshot that each would take.
            var plans: [String: String] = [:]
            var operations: Set<String> = []
            /// Who must answer without an error.
            var healthy: Set<String> = []
            var reads = 0
            var failures: [String] = []
            var isOver = false
        }

        let state = Mutex(State())
        var isOver: Bool { state.withLock { $0.isOver } }
    }

    @Test(.timeLimit(.minutes(90)))
    func `with one fault after the other under load, nothing is lost, nothing doubled, and readers see no error`()
        async throws
    {
        let cluster = try AgentCluster(
            ["anna", "bert", "carl"], environments: ["cloud", "home"], isApart: ServerNetwork.isPossible)
        try await cluster.start()
        try await cluster.settle(by: "anna") { $0.values.reduce(0) { $0 + $1.count } == 2 }
        let promises = Promises()
        promises.state.withLock { $0.healthy = Set(cluster.names) }
        var times: [Duration] = []
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in 0..<4 { group.addTask { await load(cluster, promises, client) } }
            for name in cluster.names { group.addTask { try await read(cluster, promises, name) } }
            var generator = RandomJSON.Generator(seed: UInt64(Date().timeIntervalSince1970))
            for number in 0..<Self.faults {
                let fault = Fault.allCases[number % 3]
                times.append(try await strike(fault, cluster, promises, &generator))
            }
            promises.state.withLock { $0.isOver = true }
            try await group.waitForAll()
        }
        try await judge(cluster, promises.state.withLock { $0 }, times.sorted())
        try await cluster.stop()
    }

    /// Lets an agent that leads somewhere fail, waits until others lead there, and lets it come back. Returns how long the
    /// hand-over took.
    private func strike(
        _ fault: Fault, _ cluster: AgentCluster, _ promises: Promises, _ generator: inout RandomJSON.Generator
    ) async throws -> Duration {
        let all = try await cluster.settle(by: cluster.names.randomElement() ?? "anna") { all in
            all.values.reduce(0) { $0 + $1.count } == 2
        }
        let victim = try #require(all.filter { !$0.value.isEmpty }.keys.sorted().randomElement(using: &generator))
        let witness = try #require(cluster.names.filter { $0 != victim }.randomElement(using: &generator))
        let agent = try cluster.agent(victim)
        try await ContinuousClock().sleep(for: .milliseconds(Int.random(in: 200...1500, using: &generator)))
        _ = promises.state.withLock { $0.healthy.remove(victim) }
        let begin = ContinuousClock.now
        switch fault {
        case .kill: try await agent.die()
        case .stop: try agent.pause()
        case .cut: try cluster.cut(victim, true)
        }
        try await cluster.settle(by: witness) { $0[victim] == [] && $0.values.reduce(0) { $0 + $1.count } == 2 }
        let time = begin.duration(to: .now)
        switch fault {
        case .kill: try await agent.start()
        case .stop: try agent.proceed()
        case .cut: try cluster.cut(victim, false)
        }
        // It answers again.
        var reply = try? await agent.get("/v1/plans?limit=1")
        while reply?.status != 200 { reply = try? await agent.get("/v1/plans?limit=1") }
        _ = promises.state.withLock { $0.healthy.insert(victim) }
        return time
    }

    /// Takes snapshots, planned at one agent and applied at another, whoever answers.
    private func load(_ cluster: AgentCluster, _ promises: Promises, _ client: Int) async {
        for number in 0... {
            guard !promises.isOver else { return }
            let snapshot = "c\(client)n\(number)"
            let environment = number % 2 == 0 ? "cloud" : "home"
            // Each client has machines of its own, so that no plan is stale for the sake of another's.
            let guests = environment == "cloud" ? [100, 101, 102, 136] : [100, 101, 102]
            guard client < guests.count else { continue }
            let wish = PlanRequest(
                "snapshot_vm", "vm/\(guests[client])", ["snapname": .string(snapshot)], in: environment)
            let (here, there) = (cluster.agents[(client + number) % 3], cluster.agents[(client + number / 3) % 3])
            if let plan = try? await here.plan(wish), plan.status == 200, let id = plan["plan_id"]?.string {
                promises.state.withLock { $0.plans[snapshot] = id }
                if let reply = try? await there.apply(id, wait: number % 2 == 0 ? 5 : nil),
                    let operation = reply["operation"]?["operation_id"]?.string
                {
                    _ = promises.state.withLock { $0.operations.insert(operation) }
                }
            }
            try? await ContinuousClock().sleep(for: .milliseconds(150))
        }
    }

    /// Reads at one agent all the time. While that one is well, each read works.
    private func read(_ cluster: AgentCluster, _ promises: Promises, _ name: String) async throws {
        let agent = try cluster.agent(name)
        while !promises.isOver {
            let wasWell = promises.state.withLock { $0.healthy.contains(name) }
            let reply = try? await agent.get("/v1/operations?limit=1")
            promises.state.withLock { state in
                state.reads += 1
                // One that fails while it answers is the connection that broke.
                if wasWell, state.healthy.contains(name), reply?.status != 200 {
                    state.failures.append("\(name): \(reply.map { "\($0)" } ?? "no answer")")
                }
            }
            try? await ContinuousClock().sleep(for: .milliseconds(50))
        }
    }

    /// Holds what the agents say now against what they promised and what PVE saw.
    private func judge(_ cluster: AgentCluster, _ promises: Promises.State, _ times: [Duration]) async throws {
        let plans = try await cluster.agents[0].settled()
        let calls = cluster.executed.filter { $0.method == "POST" && $0.path.hasSuffix("/snapshot") }
        let seen = Dictionary(grouping: calls) { $0.parameters["snapname"] ?? "" }.mapValues(\.count)
        var counts: [String: Int] = [:]
        let outcomes = try cluster.agents.flatMap { try $0.outcomes() }
        let ended = Dictionary(grouping: outcomes) { $0 }.mapValues(\.count)
        for (name, id) in promises.plans {
            let state = try #require(plans[id]?["state"]?.string, "\(id) was promised and is gone")
            counts[state, default: 0] += 1
            let (sent, outcomes) = (seen[name] ?? 0, ended[id] ?? 0)
            #expect(sent <= 1, "\(id): PVE saw \(sent)")
            switch state {
            case "applied":
                #expect(sent == 1 && outcomes == 1, "\(id) is applied, PVE saw \(sent), \(outcomes) outcomes")
            case "unknown": #expect(outcomes == 1, "\(id) is unknown with \(outcomes) outcomes")
            case "failed": break
            default: #expect(sent == 0, "\(id) is \(state), PVE saw \(sent)")
            }
        }
        for operation in promises.operations {
            let reply = try await cluster.agents[1].get("/v1/operations/\(operation)")
            #expect(reply["ended_at"]?.string != nil, "\(operation): \(reply)")
        }
        let median = times[times.count / 2]
        print(
            "agents, \(ServerNetwork.isPossible ? "in network namespaces" : "with proxies"): \(times.count) faults, \(promises.plans.count) plans: \(counts); \(calls.count) calls at PVE; "
                + "\(promises.reads) reads, \(promises.failures.count) failed; hand-over \(median) (median), \(times.last ?? .zero) at most"
        )
        #expect(promises.failures.isEmpty, "\(promises.failures.prefix(3))")
        #expect(median < .seconds(15))
    }
}
