import AgentService
import AgentTestSupport
import FoundationEssentials
import Glibc
import HTTPMessage
import HTTPTypes
import PostgreSQLTestSupport
import SimulatorTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// Several agents on one state: each environment has one that carries out what all of them take.
@Suite(.serialized, .timeLimit(.minutes(3)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct AgentsTests {
    @Test func `environments are spread, and an apply anywhere is carried out by the one that leads`() async throws {
        let cluster = try AgentCluster(environments: ["cloud", "home"])
        try await cluster.start()
        try await cluster.settle(by: "anna") { $0["anna"]?.count == 1 && $0["bert"]?.count == 1 }
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        // A holder begins once nobody before it can send anything any more.
        let deadline = ContinuousClock.now + .seconds(30)
        var leads: [String] = []
        while leads.count < 2, ContinuousClock.now < deadline {
            leads = []
            for agent in cluster.agents {
                let lines = try await agent.get("/metrics").text.split(separator: "\n").map(String.init)
                #expect(lines.contains("proxmox_agent_idle 0"))
                leads += lines.filter { $0.hasPrefix("proxmox_agent_leads{") && $0.hasSuffix(" 1") }
            }
        }
        #expect(leads.sorted() == ["cloud", "home"].map { "proxmox_agent_leads{environment=\"\($0)\"} 1" })
        let id = try await anna.planID(.stop)
        let reply = try await bert.apply(id, approvedBy: "alice")
        #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
        let other = try await bert.planID(.start)
        #expect(try await anna.apply(other)["result"]?["status"] == "succeeded")
        // One of both was asked elsewhere; each record has the trace of its request all the same.
        for agent in [anna, bert] {
            let ends = try agent.lines().filter { $0["kind"] == "apply" }
            #expect(ends.allSatisfy { $0["trace_id"]?.string?.utf8.count == 32 }, "\(ends)")
        }
        #expect(try await anna.planState(id) == "applied")
        #expect(cluster.executed.count == 2)
        expectProblem(try await anna.apply(id, approvedBy: "alice"), 409, "plan_consumed")
        try await cluster.stop()
    }

    @Test func `of two applies of one plan at two agents one gets it`() async throws {
        let cluster = try AgentCluster()
        try await cluster.start()
        _ = try await cluster.leader(by: "anna")
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        for round in 0..<5 {
            let id = try await anna.planID(PlanRequest("snapshot_vm", "vm/100", ["snapname": .string("s\(round)")]))
            async let first = anna.apply(id)
            async let second = bert.apply(id)
            let codes = try await [first, second].map(\.status).sorted()
            #expect(codes == [200, 409])
        }
        #expect(cluster.executed.count == 5)
        try await cluster.stop()
    }

    @Test func `a caller's live plans are bounded over all agents`() async throws {
        let cluster = try AgentCluster { _, setup in setup.settings["plans"] = ["live_per_caller": 4] }
        try await cluster.start()
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<16 {
                group.addTask { try await cluster.agents[number % 2].plan(number % 4 < 2 ? .start : .stop).status }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses.count { $0 == 200 } == 4 && statuses.count { $0 == 429 } == 12, "\(statuses)")
        for agent in cluster.agents {
            let live = try await agent.get("/v1/plans?limit=100")
            #expect(live["plans"]?.array?.count == 4, "\(live)")
        }
        try await cluster.stop()
    }

    @Test func `an idempotency key is one over all agents`() async throws {
        let cluster = try AgentCluster()
        try await cluster.start()
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        let fields = HTTPFields([HTTPField(name: .name("Idempotency-Key"), value: "one")])
        let first = try await anna.send(.post, "/v1/actions/plan", body: PlanRequest.start.json.bytes, fields: fields)
        let second = try await bert.send(
            .post, "/v1/actions/plan", body: PlanRequest.start.json.bytes, fields: fields)
        #expect(first.status == 200 && second["plan_id"] == first["plan_id"], "\(first) \(second)")
        try await cluster.stop()
    }

    @Test func `events and audit records of all agents are one history at each of them`() async throws {
        let cluster = try AgentCluster()
        try await cluster.start()
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        let watchers = [
            try await EventsTests.Watcher(try #require(anna.address)),
            try await EventsTests.Watcher(try #require(bert.address)),
        ]
        var plans: [String] = []
        for agent in [anna, bert, anna] { plans.append(try await agent.planID(.start)) }
        _ = try await anna.apply(plans[1])
        var seen: [[JSON]] = [[], []]
        for (index, watcher) in watchers.enumerated() {
            while seen[index].last?["kind"] != "operation.ended" { seen[index].append(try await watcher.next()) }
        }
        #expect(seen[0] == seen[1], "all are told the same, in the same order")
        #expect(seen[0].filter { $0["kind"] == "plan.created" }.count == 3)
        #expect(watchers[0].last == watchers[1].last)
        // A watcher of the one goes on at the other.
        let end = try #require(watchers[0].last)
        let again = try await EventsTests.Watcher(try #require(bert.address), after: 0)
        #expect(
            try await again.ids(through: end)
                == (try await EventsTests.Watcher(
                    try #require(anna.address), after: 0
                ).ids(through: end)))
        for agent in [anna, bert] {
            let page = try await agent.get("/v1/audit?plan_id=\(plans[1])&limit=1000")
            let kinds = (page["records"]?.array ?? []).compactMap { $0["kind"]?.string }
            #expect(Set(kinds).isSuperset(of: ["plan", "apply_intent", "apply"]), "\(kinds)")
            let own = try await agent.get("/v1/audit?agent=anna&limit=1000")
            let records = own["records"]?.array ?? []
            #expect(records.compactMap { $0["seq"]?.integer } == (1...Int64(records.count)).map(\.self))
            #expect(records.allSatisfy { $0["agent"] == "anna" } && !records.isEmpty)
        }
        // What an agent could not tell while it was away is told when it is back, and nothing twice.
        try await bert.halt()
        let plan = try await anna.planID(.stop)
        try await bert.start()
        let page = try await bert.get("/v1/audit?plan_id=\(plan)")
        #expect(page["records"]?.array?.count == 1 && page["numbers"]?.array?.count == 1, "\(page)")
        let all = try await bert.get("/v1/audit?limit=1000")
        let hashes = (all["records"]?.array ?? []).compactMap { $0["hash"]?.string }
        #expect(Set(hashes).count == hashes.count && all["newest"] == all["numbers"]?.array?.last, "\(all)")
        try await cluster.stop()
    }

    @Test func `streams that begin at once miss nothing but records that only a newer version can read`() async throws {
        let cluster = try AgentCluster()
        try await cluster.start()
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        let plans = [try await anna.planID(.start), try await anna.planID(.stop), try await bert.planID(.start)]
        let watcher = try await EventsTests.Watcher(try #require(bert.address), "?kind=plan", after: 0)
        for plan in plans { #expect(try await watcher.next()["plan_id"] == .string(plan)) }
        try cluster.server.sql(
            "UPDATE history SET line = '{\"kind\":\"of tomorrow\"}' WHERE line LIKE '%\"plan_id\":\"\(plans[1])\"%'",
            in: cluster.database)
        let address = try #require(bert.address)
        let seen = try await withThrowingTaskGroup(of: [JSON?].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let watcher = try await EventsTests.Watcher(address, "?kind=plan", after: 0)
                    return [try await watcher.next()["plan_id"], try await watcher.next()["plan_id"]]
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(seen == Array(repeating: [.string(plans[0]), .string(plans[2])], count: 8))
        let page = try await anna.get("/v1/audit?kind=plan&limit=1000")
        #expect(page["records"]?.array?.map { $0["plan_id"] } == [.string(plans[0]), .string(plans[2])], "\(page)")
        try await cluster.stop()
    }

    @Test func `an agent with another name goes on with its log, and nothing of it is told twice`() async throws {
        let cluster = try AgentCluster()
        try await cluster.start()
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        let first = try await bert.planID(.start)
        try await bert.halt()
        try bert.configure { $0["agent_name"] = "bertha" }
        try await bert.start()
        let second = try await bert.planID(.stop)
        let watcher = try await EventsTests.Watcher(try #require(anna.address), "?kind=plan", after: 0)
        for plan in [first, second] { #expect(try await watcher.next()["plan_id"] == .string(plan)) }
        for (name, plan) in [("bert", first), ("bertha", second)] {
            let page = try await anna.get("/v1/audit?agent=\(name)&kind=plan&limit=1000")
            #expect(page["records"]?.array?.map { $0["plan_id"] } == [.string(plan)], "\(page)")
        }
        #expect(try await anna.get("/v1/plans/\(first)").status == 200)
        try await cluster.settle(by: "anna") { $0["bert"] == [] && $0.values.reduce(0) { $0 + $1.count } == 1 }
        try await cluster.stop()
    }

    @Test func `an event stream outlasts the database, and a clean stop tells the others all`() async throws {
        let cluster = try AgentCluster { name, setup in
            setup.environments[0].settings["prefer_agent"] = "anna"
        }
        try await cluster.start()
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        try await cluster.settle(by: "bert") { $0["anna"] == ["cloud"] }
        let cutter = try #require(cluster.cutters["anna"])
        let watcher = try await EventsTests.Watcher(try #require(anna.address), "?kind=plan")
        cutter.hold(true)
        try await cluster.settle(by: "bert") { $0["bert"] == ["cloud"] }
        let first = try await bert.planID(.start)
        cutter.hold(false)
        #expect(try await watcher.next()["plan_id"] == .string(first))
        let last = try await bert.planID(.stop)
        try await bert.halt()
        #expect(try await watcher.next()["plan_id"] == .string(last))
        let page = try await anna.get("/v1/audit?agent=bert&limit=1000")
        let newest = (page["records"]?.array ?? []).compactMap { $0["seq"]?.integer }.max()
        #expect(newest == (try bert.lines().compactMap { $0["seq"]?.integer }.max()), "\(page)")
        try await bert.start()
        try await cluster.stop()
    }

    @Test func `a rate holds over all agents, and how far a task is shows at each of them`() async throws {
        let cluster = try AgentCluster { name, setup in
            setup.environments[0].settings["prefer_agent"] = "anna"
            setup.settings["limits"] = ["requests_per_minute": 600]
        }
        try await cluster.start()
        try await cluster.settle(by: "bert") { $0["anna"] == ["cloud"] }
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        let watcher = try await EventsTests.Watcher(try #require(bert.address), "?kind=operation.progress")
        let world = try #require(cluster.datacenter.worlds["cloud"])
        world.holdTasks()
        let plan = try await bert.planID(PlanRequest("clone_vm", "vm/9000", ["newid": 500, "full": true]))
        let reply = try await bert.apply(plan, wait: 0)
        let event = try await watcher.next()
        #expect(event["percent"] == 50 && event["plan_id"] == .string(plan), "\(event)")
        let id = try #require(reply["operation"]?["operation_id"]?.string, "\(reply)")
        let shown = try await bert.get("/v1/operations/\(id)")
        #expect(shown["progress"]?["percent"] == 50, "\(shown)")
        world.releaseTasks()
        let end = try await bert.get("/v1/operations/\(id)?wait=20")
        #expect(end["state"] == "succeeded" && end["progress"] == nil, "\(end)")
        /// `"requests";r=599;t=1, …`
        func left(at agent: CrashableAgent) async throws -> Int? {
            let text = try await agent.get("/v1/plans?limit=1").fields[.name("RateLimit")] ?? ""
            return text.firstMatch(of: /r=([0-9]+)/).flatMap { Int($0.1) }
        }
        while let tokens = try await left(at: anna), tokens > 0 {}
        // The other one knows a second later.
        let deadline = ContinuousClock.now + .seconds(10)
        var tokens = 600
        while tokens > 300, ContinuousClock.now < deadline {
            tokens = try await left(at: bert) ?? 600
            try await ContinuousClock().sleep(for: .milliseconds(50))
        }
        #expect(tokens <= 300)
        try await cluster.stop()
    }

    @Test func `a clean stop hands over at once, and the next start takes its share again`() async throws {
        let cluster = try AgentCluster(environments: ["cloud", "home"])
        try await cluster.start()
        try await cluster.settle(by: "anna") { $0["anna"]?.count == 1 && $0["bert"]?.count == 1 }
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        try await bert.halt()
        // At once, and for good.
        try await cluster.settle(by: "anna", within: .seconds(4)) { $0["anna"]?.count == 2 }
        let epochs = try cluster.server.sql("SELECT sum(epoch) FROM leases", in: cluster.database)
        try await cluster.settle(by: "anna") { $0["bert"] == [] }
        #expect(try cluster.server.sql("SELECT sum(epoch) FROM leases", in: cluster.database) == epochs)
        #expect(try await anna.apply(try await anna.planID(.start))["result"]?["status"] == "succeeded")
        try await bert.start()
        try await cluster.settle(by: "anna") { $0["anna"]?.count == 1 && $0["bert"]?.count == 1 }
        try await cluster.stop()
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let point: Milestone
        /// What the plan must be in the end.
        let state: String
        let isStopped: Bool
        var testDescription: String { "\(isStopped ? "stopped" : "killed") at \(point.rawValue)" }
    }

    /// Where the agent is killed, or stopped for longer than its lease; all of it with `make crash-ha`.
    static let cases = [false, true].flatMap { isStopped in
        [
            (Milestone.intentRecorded, "applied"), (.consumed, "failed"), (.sent, "unknown"), (.gatePassed, "unknown"),
            (.answered, "applied"), (.answerStored, "applied"), (.taskEnded, "applied"), (.outcomeRecorded, "applied"),
        ].map { Case(point: $0.0, state: $0.1, isStopped: isStopped) }
    }.filter { given in
        AgentCrashTests.isThorough
            || (given.isStopped
                ? [.gatePassed, .taskEnded].contains(given.point)
                : [.intentRecorded, .consumed, .answered, .outcomeRecorded].contains(given.point))
    }

    @Test(arguments: cases)
    func `the agent that leads is killed or stopped, and another one settles what it left`(
        given: Case
    ) async throws {
        let cluster = try AgentCluster { name, setup in
            setup.environments[0].settings["prefer_agent"] = "anna"
        }
        try await cluster.start(dying: ["anna": (given.isStopped ? "stop:" : "") + given.point.rawValue])
        try await cluster.settle(by: "bert") { $0["anna"] == ["cloud"] }
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        let id = try await bert.planID(.start)
        let begin = ContinuousClock.now
        let reply = try await bert.apply(id, wait: 30)
        #expect(reply["operation"]?["ended_at"]?.string != nil, "\(reply)")
        let state = try await bert.planState(id)
        #expect(state == given.state, "\(reply)")
        #expect(begin.duration(to: .now) < .seconds(25))
        let count = cluster.executed.count
        #expect(count == (["sent.after", "gate.after", "consume.after"].contains(given.point.rawValue) ? 0 : 1))
        if given.isStopped {
            try anna.proceed()
            // It learns that it has lost, and what it had before it sends nothing.
            try await cluster.settle(by: "bert", within: .seconds(60)) { $0["anna"] == ["cloud"] }
        } else {
            try await anna.die(bySelf: true)
            try await anna.start()
        }
        #expect(try await anna.planState(id) == state)
        #expect(cluster.executed.count == count)
        let kinds = try cluster.names.flatMap { try cluster.agent($0).kinds(of: id) }
        let voided = try cluster.names.flatMap { try cluster.agent($0).voids(of: id) }
        #expect(kinds.count { $0 == "apply" } - voided.count { $0 == "apply" } == 1, "one outcome: \(kinds) \(voided)")
        try await cluster.stop()
    }

    @Test func `an agent that is cut off from the database sends nothing, and another one takes over`() async throws {
        let cluster = try AgentCluster { name, setup in
            setup.environments[0].settings["prefer_agent"] = "anna"
        }
        try await cluster.start()
        try await cluster.settle(by: "bert") { $0["anna"] == ["cloud"] }
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        let cutter = try #require(cluster.cutters["anna"])
        cutter.hold(true)
        try await cluster.settle(by: "bert") { $0["bert"] == ["cloud"] }
        let id = try await bert.planID(.start)
        #expect(try await bert.apply(id, wait: 30)["result"]?["status"] == "succeeded")
        cutter.hold(false)
        try await cluster.settle(by: "bert", within: .seconds(60)) { $0["anna"] == ["cloud"] }
        #expect(try await anna.planState(id) == "applied")
        #expect(cluster.executed.count == 1)
        try await cluster.stop()
    }

    @Test func `a freeze is answered when the agent that leads honours it`() async throws {
        let cluster = try AgentCluster { name, setup in
            setup.environments[0].settings["prefer_agent"] = "anna"
        }
        try await cluster.start()
        try await cluster.settle(by: "bert") { $0["anna"] == ["cloud"] }
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        let id = try await anna.planID(.start)
        let begin = ContinuousClock.now
        let freeze = try await bert.post("/v1/freeze", ["reason": "moving house"])
        #expect(freeze.status == 200 && begin.duration(to: .now) < .seconds(2), "\(freeze)")
        expectProblem(try await anna.apply(id), 503, "frozen")
        #expect(cluster.executed.isEmpty)
        #expect(try await bert.send(.delete, "/v1/freeze").status == 200)
        var reply = try await anna.apply(id)
        while reply["code"] == "frozen" { reply = try await anna.apply(id) }
        #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
        try await cluster.stop()
    }

    @Test func `a freeze waits for an agent that does not answer, until that one cannot send anything`() async throws {
        let cluster = try AgentCluster { name, setup in
            setup.environments[0].settings["prefer_agent"] = "anna"
        }
        try await cluster.start(dying: ["anna": "stop:sent.after"])
        try await cluster.settle(by: "bert") { $0["anna"] == ["cloud"] }
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        let id = try await bert.planID(.start)
        let applied = Task { try await bert.apply(id, wait: 40) }
        _ = try await bert.operation(of: id)
        try anna.waitUntilStopped()
        let begin = ContinuousClock.now
        let freeze = try await bert.post("/v1/freeze", ["reason": "moving house"])
        #expect(freeze.status == 200 && begin.duration(to: .now) < .seconds(14), "\(freeze)")
        try anna.proceed()
        _ = try await applied.value
        #expect(cluster.executed.isEmpty)
        try await cluster.stop()
    }

    @Test func `an operation is cancelled at an agent that does not carry it out`() async throws {
        let cluster = try AgentCluster(taskDuration: .seconds(600)) { name, setup in
            setup.environments[0].settings["prefer_agent"] = "anna"
        }
        try await cluster.start()
        try await cluster.settle(by: "bert") { $0["anna"] == ["cloud"] }
        let bert = try cluster.agent("bert")
        let running = try await bert.apply(try await bert.planID(.start), wait: nil)
        let waiting = try await bert.apply(
            try await bert.planID(PlanRequest("configure_vm", "vm/136", ["memory": 2048])), approvedBy: "alice",
            wait: nil)
        let ids = try [running, waiting].map { try #require($0["operation"]?["operation_id"]?.string, "\($0)") }
        #expect(try await bert.post("/v1/operations/\(ids[1])/cancel", [:]).status == 200)
        #expect(try await bert.post("/v1/operations/\(ids[0])/cancel", [:]).status == 202)
        let end = try await bert.get("/v1/operations/\(ids[0])?wait=20")
        #expect(end["state"] == "cancelled", "\(end)")
        try await cluster.stop()
    }

    @Test func `an agent with another configuration serves reads and nothing else`() async throws {
        let cluster = try AgentCluster { name, setup in
            if name == "bert" { setup.environments[0].settings["read_only"] = true }
        }
        try await cluster.agent("anna").start()
        try await cluster.settle(by: "anna") { $0["anna"] == ["cloud"] }
        try await cluster.agent("bert").start()
        let bert = try cluster.agent("bert")
        var ready = try await bert.get("/readyz")
        while ready.status == 200 { ready = try await bert.get("/readyz") }
        #expect("\(ready)".contains("agents_disagree"), "\(ready)")
        expectProblem(try await bert.plan(.start), 503, "agents_disagree")
        #expect(try await bert.get("/v1/plans").status == 200)
        let signIn: JSON = ["token": .string(Setup.token)]
        expectProblem(
            try await bert.send(
                .post, "/v1/session", body: signIn.bytes, as: nil, token: nil,
                fields: [.name("Sec-Fetch-Site"): "same-origin"]), 503, "agents_disagree")
        // The other one is gone: then this one's configuration counts.
        try await cluster.agent("anna").halt()
        try await cluster.settle(by: "bert") { $0["bert"] == ["cloud"] }
        while try await bert.get("/readyz").status != 200 {}
        try await cluster.stop()
    }

    @Test func `a drained agent gives its environments back until that is taken back`() async throws {
        let cluster = try AgentCluster(environments: ["cloud", "home"])
        try await cluster.start()
        try await cluster.settle(by: "anna") { $0["anna"]?.count == 1 && $0["bert"]?.count == 1 }
        let anna = try cluster.agent("anna")
        #expect(try await anna.post("/v1/agents/bert/drain", [:]).status == 200)
        try await cluster.settle(by: "anna") { $0["anna"]?.count == 2 }
        #expect(try await anna.send(.delete, "/v1/agents/bert/drain").status == 200)
        try await cluster.settle(by: "anna") { $0["anna"]?.count == 1 && $0["bert"]?.count == 1 }
        expectProblem(try await anna.post("/v1/agents/nobody/drain", [:]), 404, "not_found")
        try await cluster.stop()
    }

    @Test func `a tail that is cut off one log shows against the other's`() async throws {
        let cluster = try AgentCluster()
        try await cluster.start()
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        _ = try await cluster.leader(by: "bert")
        _ = try await bert.planID(.start)
        // Soon after its start it tells where the other log ends.
        try await anna.halt()
        try await anna.start()
        let deadline = ContinuousClock.now + .seconds(30)
        while try anna.lines().allSatisfy({ $0["result"]?["heads"]?["bert"] == nil }), .now < deadline {
            await Task.yield()
        }
        let page = try await anna.get("/v1/audit?kind=log&agent=anna")
        #expect(page["records"]?.array?.allSatisfy { $0["agent"] == "anna" } == true, "\(page)")
        try await cluster.stop()
        for agent in [anna, bert] {
            let names = Set(try agent.lines().map { $0["agent"]?.string })
            #expect(names == [agent === anna ? "anna" : "bert"])
        }

        let told = try await Program.run("audit", "verify", anna.auditLog)
        #expect(told.status == 0 && told.out.contains(" of bert not checked: give its log by --with"), "\(told)")
        let whole = try await Program.run("audit", "verify", anna.auditLog, "--with", bert.auditLog)
        #expect(whole.status == 0 && whole.out.contains(" that these logs tell of each other checked"), "\(whole)")
        #expect(whole.out.hasPrefix("anna: ") && whole.out.contains("\nbert: "), "\(whole)")
        let first = String(decoding: try readFile(bert.auditLog, limit: 1 << 20).prefix { $0 != 0x0A }, as: UTF8.self)
        try write(first + "\n", to: bert.auditLog)
        #expect(try await Program.run("audit", "verify", bert.auditLog).status == 0, "its own chain is whole")
        let cut = try await Program.run("audit", "verify", anna.auditLog, "--with", bert.auditLog)
        #expect(cut.status == 1 && cut.out.isEmpty, "\(cut)")
        #expect(cut.err.contains("tells that agent bert had record ") && cut.err.contains("at record 1: cut"), "\(cut)")
    }

    @Test func `commands about a log know which agent of several it belongs to`() async throws {
        let cluster = try AgentCluster { _, setup in setup.settings["audit_checkpoint_seconds"] = 1 }
        try await cluster.start()
        let (anna, bert) = (try cluster.agent("anna"), try cluster.agent("bert"))
        _ = try await cluster.leader(by: "anna")
        _ = try await anna.planID(.start)
        var checkpoint = try await anna.get("/v1/audit/checkpoint")
        while checkpoint.status == 404 { checkpoint = try await anna.get("/v1/audit/checkpoint") }
        let origin = try #require(checkpoint.text.split(separator: "\n").first)
        let key = try await Program.run("audit", "key", "--config", anna.config, variables: Setup().variables())
        #expect(key.out.hasPrefix("\(origin)+") && origin.contains("anna"), "\(key) \(origin)")

        try await anna.halt()
        let lines = String(decoding: try readFile(anna.auditLog, limit: 1 << 20), as: UTF8.self).split(separator: "\n")
        try write(lines.prefix(1).joined() + "\n", to: anna.auditLog)
        let hash = try #require(try anna.lines().last?["hash"]?.string)
        let accepted = try await Program.run(
            "audit", "accept", "--config", anna.config, "--head", "1:\(hash)", variables: Setup().variables())
        #expect(accepted.status == 0, "\(accepted)")
        try await anna.start()
        let record = try #require(try anna.lines().first { $0["result"]?["event"] == "accepted" })
        #expect(record["agent"] == "anna" && record["result"]?["state_head"]?.string != "none", "\(record)")
        _ = try await bert.planID(.start)
        try await cluster.stop()
    }

    @Test func `an agent that cannot write is left out, and takes no share`() async throws {
        let cluster = try AgentCluster(environments: ["cloud", "home"]) { name, setup in
            if name == "bert" { setup.settings["limits"] = ["min_free_bytes": 1_000_000_000_000] }
        }
        try await cluster.start()
        try await cluster.settle(by: "anna") { $0["anna"]?.count == 2 }
        let anna = try cluster.agent("anna")
        // Longer than it takes until one is given back for the sake of balance.
        let end = ContinuousClock.now + .seconds(16)
        while ContinuousClock.now < end {
            let rows = try await anna.get("/v1/agents")["agents"]?.array ?? []
            let bert = rows.first { $0["name"] == "bert" }
            #expect(try await cluster.overview(by: "anna")["anna"]?.count == 2)
            if ContinuousClock.now > end - .seconds(8) { #expect(bert?["state"] == "unable", "\(rows)") }
        }
        try await cluster.stop()
    }

    @Test func `two agents of one name are refused`() async throws {
        let cluster = try AgentCluster { _, setup in setup.settings["agent_name"] = "same" }
        try await cluster.agent("anna").start()
        let bert = try cluster.agent("bert")
        let second = try await Program.run("serve", "--config", bert.config, variables: Setup().variables())
        #expect(second.status == 75 && second.err.contains("agent_name"), "\(second)")
        #expect(second.err.split(separator: "\n").count == 1, "\(second)")
        try await cluster.agent("anna").halt()
    }
}
