import AgentModel
import AgentService
import AgentTestSupport
import StrictJSON
import Synchronization
import Testing

/// What PVE says about a task is shown without the secrets that its call carried, also when nobody knows them any more.
@Suite(.timeLimit(.minutes(1)))
struct TaskSecretsTests {
    private static let word = "correct-horse-battery"
    private static let upid = TestService.upid.replacing("qmstart:101", with: "qmconfig:102")

    private func applied(_ end: TaskExit, log: [String]) async throws -> (world: TestService, operation: Operation) {
        let upid = try #require(UPID(Self.upid))
        let world = try TestService { _ in .task(upid) }
        world.pve.taskLog = log
        world.pve.taskStatus = .stopped(end)
        let configure = try #require(Action(rawValue: "configure_vm"))
        let plan = try await world.plan(configure, "vm/102", ["cipassword": .string(Self.word)])
        let operation = try await world.apply(plan, approvedBy: "carol")
        #expect(try await world.store.read { $0.plan(plan.id)?.request.secrets.isEmpty } == true)
        return (world, operation)
    }

    @Test(arguments: [TaskExit.ok, .failed("cannot set \(word)"), .warnings(1)])
    func `the log of a task is redacted when its plan has ended`(end: TaskExit) async throws {
        let (world, operation) = try await applied(end, log: ["starting", "cipassword: \(Self.word)", "TASK OK"])
        let log = try await world.service.operations.log(of: operation.id, from: 0, limit: 50, TestService.alice)
        #expect(log.lines == ["starting", "cipassword: <redacted>", "TASK OK"])
        #expect(log.total == 3)
        let part = try await world.service.operations.log(of: operation.id, from: 1, limit: 1, TestService.alice)
        #expect(part.lines == ["cipassword: <redacted>"] && part.total == 3)
        let next = try await world.restarted()
        #expect(
            try await next.service.operations.log(of: operation.id, from: 0, limit: 50, TestService.alice).lines
                == log.lines)
    }

    @Test func `a log is kept as far as there is room for it`() async throws {
        let line = String(repeating: "x", count: 1023)
        let (world, operation) = try await applied(.ok, log: Array(repeating: line, count: 100))
        #expect(
            try await world.service.operations.log(of: operation.id, from: 0, limit: 500, TestService.alice).lines.count
                == 64)
        #expect(operation.keptLog.count == 64)
    }

    private func data(_ world: TestService, _ action: String, _ target: String) async throws -> JSON {
        let target = try #require(Target(target))
        let request = ActionRequest(
            reading: try #require(Action(rawValue: action)), on: target, in: world.settings.name)
        guard case .json(let data) = try await world.service.reads.read(request, TestService.alice).result.content
        else {
            return .null
        }
        return data
    }

    @Test func `reads of the task show no more`() async throws {
        let (world, _) = try await applied(.failed("cannot set \(Self.word)"), log: ["cipassword: \(Self.word)"])
        let path = ["nodes", "pve1", "tasks", Self.upid]
        world.pve.put(
            [["n": 1, "t": .string("cipassword: \(Self.word)")]], at: path[0], path[1], path[2], path[3], "log")
        world.pve.put(
            ["upid": .string(Self.upid), "exitstatus": .string("cannot set \(Self.word)")], at: path[0], path[1],
            path[2],
            path[3], "status")
        world.pve.put(
            [
                ["upid": .string(Self.upid), "status": .string("cannot set \(Self.word)")],
                ["upid": "x", "status": "OK"],
            ],
            at: "cluster", "tasks")
        let task = "task/\(Self.upid)"
        #expect(try await data(world, "read_task_log", task) == [["n": 1, "t": "cipassword: <redacted>"]])
        #expect(try await data(world, "read_task_status", task)["exitstatus"] == "cannot set <redacted>")
        let rows = try await data(world, "read_tasks", "tasks/all")
        #expect(rows.array?.map { $0["status"] } == ["cannot set <redacted>", "OK"])

        // Of what is not kept any more nobody knows what it carried.
        let other = try TestService()
        other.pve.put([["n": 1, "t": .string(Self.word)]], at: path[0], path[1], path[2], path[3], "log")
        #expect(try await data(other, "read_task_log", task) == [])
        let foreign = Self.upid.replacing("agent@pve!home", with: "root@pam")
        other.pve.put([["n": 1, "t": "as it is"]], at: path[0], path[1], path[2], foreign, "log")
        #expect(try await data(other, "read_task_log", "task/\(foreign)") == [["n": 1, "t": "as it is"]])
    }

    @Test func `reads show no secret of a configuration`() async throws {
        let world = try TestService()
        world.pve.put(
            ["hostname": "web", "env": "TOKEN=\(Self.word)", "description": "see https://u:\(Self.word)@host/"],
            at: "nodes",
            "pve1", "lxc", "103", "config")
        world.pve.put("lxc/103")
        let read = try await data(world, "read_container", "lxc/103")
        #expect(!read.text.contains(Self.word) && read.text.contains("web"), "\(read.text)")
    }

    @Test func `the environment of a container is hidden in a preview, and never a change back`() async throws {
        let world = try TestService()
        world.pve.put(
            ["hostname": "web", "env": "TOKEN=\(Self.word)", "digest": "d1"], at: "nodes", "pve1", "lxc", "103",
            "config")
        world.pve.put("lxc/103")
        let configure = try #require(Action(rawValue: "configure_container"))
        let plan = try await world.plan(configure, "lxc/103", ["env": .string("TOKEN=\(Self.word)")])
        #expect(plan.preview.changes == [Change("env", from: .null, to: "<redacted>")])
        #expect(!plan.preview.noop)
        #expect(plan.preview.undo == nil)
        let removal = try await world.plan(configure, "lxc/103", ["delete": ["env"]])
        #expect(removal.preview.changes == [Change("env", from: .null, to: .null)])
        #expect(!removal.preview.noop && removal.preview.undo == nil)
        for shown in [plan, removal] {
            #expect(!"\(shown.preview) \(shown.request)".contains(Self.word), "\(shown)")
        }
    }
}
