import FoundationEssentials
import Glibc
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// Secrets go to PVE and nowhere else.
@Suite(.timeLimit(.minutes(1)))
struct SecretTests {
    private static let password = "hunter2-Zq8;=&%"
    private static let share = PlanRequest(
        "storage_edit", "storage/share",
        [
            "endpoint": "/storage", "method": "POST",
            "params": [
                "storage": "share", "type": "cifs", "server": "192.0.2.9", "share": "data", "username": "agent",
                "password": .string(password),
            ],
        ])

    @Test(arguments: [
        nil, Fault.Effect.status(500, reason: "no"), .status(500, reason: "bad password '\(password)'"),
        .executeThenReset,
    ])
    func `a password reaches PVE whole, and no answer, record or log line`(effect: Fault.Effect?) async throws {
        try await withAgent { agent in
            var replies: [Reply] = []
            let planned = try await agent.plan(Self.share)
            let id = try #require(planned["plan_id"]?.string)
            #expect(planned["preview"]?["calls"]?.array?.first?["params"]?["password"] == "<redacted>")
            replies.append(planned)
            replies.append(try await agent.post("/v1/actions/apply", Self.share.with("dry_run", true).json))
            if let effect { try agent.pve().inject(Fault(effect, method: "POST", path: "/storage")) }
            let whole = Self.share.with("approved_by", "alice").json
            replies.append(try await agent.post("/v1/actions/apply", whole, wait: 15))
            #expect(replies.last?["plan_id"]?.string == id, "the whole request, password and all, is the planned one")
            let executed = try agent.pve().executed
            #expect(executed.allSatisfy { $0.parameters["password"] == Self.password })
            if effect == nil { #expect(executed.count == 1) }
            for path in ["/v1/plans/\(id)", "/v1/plans", "/v1/operations", "/v1/environments", "/readyz"] {
                replies.append(try await agent.get(path))
            }
            for reply in replies { #expect(!Self.leaks(reply.text), "\(reply)") }
            for record in try agent.records() { #expect(!Self.leaks(record.text)) }
            for line in agent.log.lines { #expect(!Self.leaks(line), "\(line)") }
        }
    }

    @Test(arguments: [
        (PlanRequest("agent_exec", "vm/100", ["command": ["uptime"], "input-data": .string(password)]), "input-data"),
        (PlanRequest("configure_container", "lxc/118", ["env": .string("TOKEN=\(password)")]), "env"),
        (
            PlanRequest("configure_vm", "vm/136", ["cipassword": .string(password), "safety_snapshot": true]),
            "cipassword"
        ),
    ])
    func `what may hold a secret reaches PVE whole, and is shown nowhere before or afterwards`(
        wish: PlanRequest, name: String
    ) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            var replies = [try await agent.plan(wish)]
            let id = try #require(replies[0]["plan_id"]?.string, "\(replies[0])")
            replies.append(try await agent.apply(id, approvedBy: "alice"))
            #expect(replies[1]["result"]?["status"] == "succeeded", "\(replies[1])")
            let sent = try agent.pve().executed.compactMap { $0.parameters[name] }
            #expect(sent.count == 1 && sent.allSatisfy { Self.leaks($0) })
            let operation = try #require(replies[1]["operation"]?["operation_id"]?.string)
            for path in [
                "/v1/plans/\(id)", "/v1/plans", "/v1/operations/\(operation)", "/v1/operations/\(operation)/log",
            ] {
                replies.append(try await agent.get(path))
            }
            let kind = wish.target.hasPrefix("lxc") ? "container" : "vm"
            replies.append(try await agent.post("/v1/actions/apply", PlanRequest("read_\(kind)", wish.target).json))
            replies.append(try await agent.post("/v1/actions/apply", PlanRequest("read_tasks", "tasks/all").json))
            if let upid = replies[1]["operation"]?["upid"]?.string {
                let read = PlanRequest("read_task_log", "task/\(upid)")
                replies.append(try await agent.post("/v1/actions/apply", read.json))
                // PVE itself hides the password of cloud-init.
                let shown = name == "cipassword" ? "<hidden>" : "<redacted>"
                #expect(replies.last?.text.contains(shown) == true, "\(replies)")
            }
            for reply in replies { #expect(reply.status == 200 && !Self.leaks(reply.text), "\(reply)") }
            for record in try agent.records() { #expect(!Self.leaks(record.text)) }
            for line in agent.log.lines { #expect(!Self.leaks(line), "\(line)") }
        }
    }

    @Test func `no file of the agent holds a secret in clear, before, while and after it is used`() async throws {
        let agent = try await ServedAgent()
        let directory = agent.auditLog.replacing("/audit.log", with: "")
        func check() throws {
            for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name != "config.json" {
                let bytes = try readFile("\(directory)/\(name)", limit: 64 << 20)
                #expect(!Self.leaks(String(decoding: bytes, as: UTF8.self)), "\(name)")
            }
        }
        let id = try await agent.planID(Self.share)
        try check()
        let whole = Self.share.with("plan_id", .string(id)).with("approved_by", "alice")
        let reply = try await agent.post("/v1/actions/apply", whole.json, wait: 15)
        #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
        #expect(try agent.pve().executed.first?.parameters["password"] == Self.password)
        try check()
        _ = try await agent.planID(Self.share)
        agent.program.signal(SIGKILL)
        _ = try await agent.program.end()
        try check()
        await agent.datacenter.stop()
    }

    @Test func `a plan that waited over a crash sends the secret that it was made with`() async throws {
        let agent = try CrashableAgent()
        try await agent.start()
        let id = try await agent.planID(Self.share)
        try await agent.die()
        try await agent.start()
        let whole = Self.share.with("plan_id", .string(id)).with("approved_by", "alice")
        let reply = try await agent.post("/v1/actions/apply", whole.json, wait: 15)
        #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
        #expect(agent.executed.map { $0.parameters["password"] } == [Self.password])
        try await agent.stop()
    }

    @Test func `a crash leaves no core, where another program's would`() async throws {
        var before = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &before)
        var open = rlimit(rlim_cur: before.rlim_max, rlim_max: before.rlim_max)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &open)
        defer { setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &before) }
        let agent = try await ServedAgent()
        let limits = String(decoding: try readProc("\(agent.program.pid)/limits"), as: UTF8.self)
        let line = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") })
        #expect(line.split(separator: " ").dropFirst(4).prefix(2) == ["0", "0"], "\(line)")
        agent.program.signal(SIGSYS)
        let end = try await agent.program.end()
        #expect(end.status == -SIGSYS)
        #expect(!end.dumpedCore)
        await agent.datacenter.stop()
    }

    /// A file of `/proc`, which knows no size beforehand.
    private func readProc(_ path: String) throws -> [UInt8] {
        let descriptor = open("/proc/\(path)", O_RDONLY)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 16_384)
        let count = read(descriptor, &bytes, bytes.count)
        return Array(bytes.prefix(max(0, count)))
    }

    @Test func `another password is another request`() async throws {
        try await withAgent { agent in
            let one = try await agent.plan(Self.share)
            let same = try await agent.plan(Self.share)
            var other = Self.share
            var params = try #require(other.params["params"]?.object)
            params["password"] = "another"
            other.params["params"] = .object(params)
            let two = try await agent.plan(other)
            #expect(one["request_hash"] == same["request_hash"])
            #expect(one["request_hash"] != two["request_hash"])
            let mixed = other.with("plan_id", try #require(one["plan_id"])).with("approved_by", "alice")
            expectProblem(try await agent.post("/v1/actions/apply", mixed.json), 409, "request_hash_mismatch")
        }
    }

    @Test(arguments: [
        PlanRequest("start_vm", "vm/136", ["cipassword": .string(password)]),
        PlanRequest("start_vm", "vm/136", ["timeout": .string(password)]),
        PlanRequest(
            "storage_edit", "storage/xy", ["endpoint": "/storage", "method": "POST", "params": .string(password)]),
        PlanRequest(
            "storage_edit", "storage/xy",
            ["endpoint": "/storage", "method": "POST", "params": ["storage": "y", "password": .string(password)]]),
        PlanRequest(
            "storage_edit", "storage/xy",
            ["endpoint": "/storage", "method": "POST", "params": ["storage": "xy", "password": [.string(password)]]]),
        PlanRequest(
            "storage_edit", "storage/xy",
            [
                "endpoint": "/storage", "method": "POST",
                "params": ["storage": "xy", "password": .string("\u{1}" + password)],
            ]
        ),
    ])
    func `a refused request's values are not recorded or logged`(wish: PlanRequest) async throws {
        try await withAgent { agent in
            expectProblem(try await agent.plan(wish), 400, "invalid_request")
            for record in try agent.records() { #expect(!Self.leaks(record.text)) }
            for line in agent.log.lines { #expect(!Self.leaks(line), "\(line)") }
        }
    }

    private static func leaks(_ text: String) -> Bool {
        ["hunter2", Setup.secret(of: "cloud"), Setup.token].contains { text.contains($0) }
    }
}
