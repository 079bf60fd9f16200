import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import Glibc
import HTTPMessage
import HTTPTypes
import MicroHTTPD
import SimulatorTestSupport
import StrictJSON
import Testing
import WireTestSupport

@testable import proxmox_agent

/// Event streams over real sockets: nothing is lost over reconnects, restarts and rotations, and nothing is held up.
@Suite(.timeLimit(.minutes(2)))
struct EventsTests {
    /// Reads events as a client that knows no chunks.
    final class Watcher {
        private let client: RawClient
        private(set) var last: Int?

        init(
            _ address: ListenAddress, _ query: String = "", token: String = Setup.token, after: Int? = nil
        ) async throws {
            client = try RawClient(address)
            last = after
            let heard = after.map { "Last-Event-ID: \($0)\r\n" } ?? ""
            try await client.send(
                "GET /v1/events\(query) HTTP/1.0\r\nAuthorization: Bearer \(token)\r\n\(heard)\r\n")
            let head = try await client.read(through: "\r\n\r\n")
            #expect(head.hasPrefix("HTTP/1.1 200") || head.hasPrefix("HTTP/1.0 200"), "\(head)")
            // The place from which it begins.
            _ = try await block()
        }

        private func block() async throws -> [Substring: String] {
            let lines = try await client.read(through: "\n\n", within: .seconds(10)).split(separator: "\n")
            var fields: [Substring: String] = [:]
            for line in lines {
                let parts = line.split(separator: ": ", maxSplits: 1)
                if parts.count == 2 { fields[parts[0]] = String(parts[1]) }
            }
            if let id = fields["id"].flatMap({ Int($0) }) { last = id }
            return fields
        }

        /// The next event.
        func next() async throws -> JSON {
            while true {
                let fields = try await block()
                if let data = fields["data"] { return try JSON.parse(Array(data.utf8)) }
            }
        }

        /// All ids up to this one, as they come.
        func ids(through end: Int) async throws -> [Int] {
            var ids: [Int] = []
            while last ?? 0 < end {
                _ = try await next()
                ids.append(try #require(last))
            }
            return ids
        }

        func leave() { client.leave() }

        func end() async throws -> RawClient.End { try await client.end(within: .seconds(10)) }
    }

    /// The kinds of records that are events.
    private static let told: Set = ["plan", "approve", "reject", "cancel", "expire", "apply_intent", "apply", "freeze"]

    /// The numbers of records that are events, in order.
    private func expected(_ agent: some AgentUnderTest) throws -> [Int] {
        try agent.records().filter { Self.told.contains($0["kind"]?.string ?? "") }
            .compactMap { $0["seq"]?.integer.map { Int($0) } }
    }

    @Test func `a client that comes again and again misses nothing`() async throws {
        try await withAgent(Setup(.simulated("cloud"))) { agent in
            var seen: [Int] = []
            var last: Int? = 0
            for round in 0..<10 {
                let watcher = try await Watcher(agent.address, after: last)
                let plan = try await agent.planID(.start)
                if round.isMultiple(of: 3) { _ = try await agent.apply(plan) }
                seen += try await watcher.ids(through: try #require(try expected(agent).last))
                last = watcher.last
                watcher.leave()
                // What happens meanwhile comes with the next.
                _ = try await agent.planID(.stop)
            }
            let watcher = try await Watcher(agent.address, after: last)
            seen += try await watcher.ids(through: try #require(try expected(agent).last))
            #expect(try seen == expected(agent))
        }
    }

    @Test func `a client misses nothing when the agent is restarted or killed`() async throws {
        let agent = try CrashableAgent()
        try await agent.start()
        var watcher = try await Watcher(try #require(agent.address), after: 0)
        var seen: [Int] = []
        for round in 0..<3 {
            _ = try await agent.planID(.start)
            seen += try await watcher.ids(through: try #require(try expected(agent).last))
            _ = try await agent.planID(.start)
            if round == 1 { try await agent.die() } else { try await agent.halt() }
            _ = try await watcher.end()
            try await agent.start()
            watcher = try await Watcher(try #require(agent.address), after: seen.last)
        }
        _ = try await agent.planID(.start)
        seen += try await watcher.ids(through: try #require(try expected(agent).last))
        #expect(try seen == expected(agent))
        try await agent.stop()
    }

    @Test func `a rotated log is gone through, and a log that was moved away is told`() async throws {
        let agent = try CrashableAgent()
        try await agent.start()
        for _ in 0..<3 { _ = try await agent.planID(.start) }
        #expect(rename(agent.auditLog, agent.auditLog + ".1") == 0)
        try await agent.hangUp()
        _ = try await agent.planID(.start)
        let old = try agent.lines(of: agent.auditLog + ".1").compactMap { $0["seq"]?.integer }.last ?? 0
        let watcher = try await Watcher(try #require(agent.address), after: 0)
        let seen = try await watcher.ids(through: Int(old) + 2)
        #expect(seen.count == 4)
        #expect(rename(agent.auditLog + ".1", agent.directory.path + "/elsewhere") == 0)
        let refused = try await agent.get("/v1/events?after=1")
        expectProblem(refused, 409, "events_gone")
        #expect(refused["oldest_id"] == .integer(old + 1), "\(refused)")
        let again = try await Watcher(try #require(agent.address), after: Int(old))
        #expect(try await again.ids(through: Int(old) + 2).count == 1)
        try await agent.stop()
    }

    @Test func `a plan is followed to its end by one stream`() async throws {
        try await withAgent(Setup(.simulated("cloud"))) { agent in
            let plan = try await agent.planID(.stop)
            _ = try await agent.planID(.start)
            let watcher = try await Watcher(agent.address, "?plan=\(plan)&after=0")
            _ = try await agent.apply(plan, approvedBy: "alice")
            var kinds: [String] = []
            while kinds.last != "operation.ended" {
                let event = try await watcher.next()
                #expect(event["plan_id"]?.string == plan)
                kinds.append(event["kind"]?.string ?? "")
            }
            #expect(kinds == ["plan.created", "plan.approved", "operation.started", "operation.ended"])
        }
    }

    @Test func `environments are told as they come and go`() async throws {
        try await withAgent(Setup(.simulated("cloud"), .simulated("home"))) { agent in
            await agent.probe()
            let watcher = try await Watcher(agent.address, "?environment=home&kind=environment")
            try await agent.datacenter.unplug("cloud")
            try await agent.datacenter.unplug("home")
            for _ in 0..<2 { await agent.probe() }
            let down = try await watcher.next()
            #expect(down["kind"] == "environment.down" && down["environment"] == "home")
            #expect(down["error"]?.string?.contains("PVE was not reached") == true)
            try agent.datacenter.plug("home")
            await agent.probe()
            let up = try await watcher.next()
            #expect(up["kind"] == "environment.up" && up["pve_version"] != nil && up["error"] == nil)
        }
    }

    @Test(
        arguments: [
            ("clone_vm", "vm/9000", ["newid": 500, "full": true], "of"),
            ("backup_vm", "vm/100", ["storage": "local"], "of"),
            ("migrate_vm", "vm/100", ["target": "pve1", "online": true], "memory: "),
        ] as [(String, String, JSONObject, String)])
    func `how far a task is is shown by its operation and told by events, without what rules hide`(
        action: String, target: String, params: JSONObject, words: String
    ) async throws {
        let rules: JSON = [
            ["id": "blind", "effect": "deny", "actions": ["read_vm", "read_config"], "principals": ["watcher"]]
        ]
        try await withAgent(TestPrincipals.setup(rules: rules)) { agent in
            try agent.pve().holdTasks()
            let seeing = try await Watcher(
                agent.address, "?kind=operation.progress", token: TestPrincipals.alice.token)
            let blind = try await Watcher(
                agent.address, "?kind=operation.progress", token: TestPrincipals.watcher.token)
            let wish = PlanRequest(action, target, params)
            let plan = try await agent.send(.post, "/v1/actions/plan", wish.json, by: .agent)
            let id = try #require(plan["plan_id"]?.string, "\(plan)")
            if plan["state"] == "awaiting_approval" {
                let word: JSON = ["decision": "approve", "plan_hash": plan["plan_hash"]]
                _ = try await agent.send(.post, "/v1/plans/\(id)/approvals", word, by: .alice)
            }
            let reply = try await agent.send(.post, "/v1/actions/apply", ["plan_id": .string(id)], by: .agent)
            let operation = try #require(reply["operation"]?["operation_id"]?.string, "\(reply)")
            let event = try await seeing.next()
            #expect(
                event["percent"] == 50 && event["operation_id"]?.string == operation && event["plan_id"]?.string == id)
            #expect(event["text"]?.string?.contains(words) == true, "\(event)")
            let hidden = try await blind.next()
            #expect(hidden["percent"] == 50 && hidden["text"] == nil)
            let path = "/v1/operations/\(operation)"
            let shown = try await agent.send(.get, path, by: .alice)
            #expect(shown["progress"]?["percent"] == 50 && shown["progress"]?["text"] == event["text"], "\(shown)")
            let unseen = try await agent.send(.get, path, by: .watcher)
            #expect(unseen["progress"] == ["percent": 50, "text": "hidden by rule:blind"], "\(unseen)")
            try agent.pve().releaseTasks()
            let end = try await agent.send(.get, path + "?wait=20", by: .alice)
            #expect(end["state"] == "succeeded" && end["progress"] == nil, "\(end)")
        }
    }

    @Test func `who does not read is dropped, and the others are served`() async throws {
        try await withAgent(Setup(.simulated("cloud"))) { agent in
            let slow = try await Watcher(agent.address)
            let good = try await Watcher(agent.address, "?kind=plan")
            #expect(agent.agent.server.openStreams == 2)
            let name = try #require(EnvironmentName("cloud"))
            // What the kernels hold comes to some megabytes.
            let text = String(repeating: "no route to host; ", count: 1000)
            let probe = Probe(at: Date(), version: nil, isSimulator: false, error: text)
            for _ in 0..<5000 where agent.agent.server.openStreams == 2 {
                agent.agent.service.events.tell(AgentEvent(name, probe))
                _ = try await agent.get("/healthz")
            }
            #expect(agent.agent.server.openStreams == 1)
            let plan = try await agent.planID(.start)
            #expect(try await good.next()["plan_id"]?.string == plan)
            let again = try await Watcher(agent.address, after: slow.last)
            #expect(try await again.next()["plan_id"]?.string == plan)
        }
    }

    @Test func `a reload ends streams, and only who still has a token comes again`() async throws {
        let agent = try await ServedAgent(TestPrincipals.setup())
        let watcher = try await Watcher(agent.address, token: TestPrincipals.watcher.token)
        let auditor = try await agent.send(.get, "/v1/events", by: .auditor)
        expectProblem(auditor, 403, "forbidden")
        try await agent.reload(
            TestPrincipals.setup(TestPrincipals.allCases.filter { $0 != .watcher }), until: "put in force")
        #expect(try await watcher.end() == .closed([]))
        expectProblem(try await agent.send(.get, "/v1/events", by: .watcher), 401, "unauthenticated")
        let other = try await Watcher(agent.address, token: TestPrincipals.bob.token, after: watcher.last)
        let event = try await other.next()
        #expect(event["kind"] == "policy.replaced" && event["policy_version"] != nil)
        #expect(try await agent.stop().status == 0)
    }

    @Test func `a stop ends streams in order and at once`() async throws {
        let agent = try await ServedAgent(Setup(.simulated("cloud")))
        var watchers: [Watcher] = []
        for _ in 0..<100 { watchers.append(try await Watcher(agent.address)) }
        let begin = ContinuousClock.now
        #expect(try await agent.stop().status == 0)
        #expect(begin.duration(to: .now) < .seconds(5))
        for watcher in watchers {
            // Signs of life may have come meanwhile.
            guard case .closed(let rest) = try await watcher.end() else {
                Issue.record("a stream was reset")
                continue
            }
            #expect(!String(decoding: rest, as: UTF8.self).contains("data"))
        }
    }

    @Test func `streams have places of their own`() async throws {
        let setup = Setup(.simulated("cloud"), settings: ["limits": ["streams_per_caller": 2]])
        try await withAgent(setup) { agent in
            let first = try await Watcher(agent.address)
            let second = try await Watcher(agent.address)
            expectProblem(try await agent.get("/v1/events"), 429, "rate_limited")
            #expect(try await agent.get("/v1/plans").status == 200)
            first.leave()
            let deadline = ContinuousClock.now + .seconds(10)
            while agent.agent.server.openStreams > 1, ContinuousClock.now < deadline {
                _ = try await agent.get("/healthz")
            }
            let third = try await Watcher(agent.address)
            let plan = try await agent.planID(.start)
            for watcher in [second, third] { #expect(try await watcher.next()["plan_id"]?.string == plan) }
        }
    }
}
