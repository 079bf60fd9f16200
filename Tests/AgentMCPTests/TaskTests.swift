import AgentModel
import AgentService
import AgentTestSupport
import StrictJSON
import Testing

/// An applied plan is a task, for clients that declare the extension.
struct TaskTests {
    private static let upid = "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:102:agent@pve!home:"

    /// A hypervisor whose task runs until a test says otherwise.
    private static func desk() throws -> Desk {
        let task = try #require(UPID(upid))
        let desk = try Desk { _ in .task(task) }
        desk.pve.taskStatus = .running
        return desk
    }

    private static func started(_ desk: Desk) async throws -> String {
        let plan = try await desk.plan("start_vm", on: "vm/102")
        let answer = await desk.call("plan_apply", ["plan_id": .string(plan)], withTasks: true)
        let task = answer.result
        #expect(task["resultType"] == "task" && task["status"] == "working" && task["content"] == nil, "\(answer)")
        for key in ["createdAt", "lastUpdatedAt", "statusMessage"] { #expect(task[key]?.string?.isEmpty == false) }
        #expect(task["ttlMs"] == 60_000 && task["pollIntervalMs"] == 1000)
        let id = try #require(task["taskId"]?.string)
        // Until PVE has accepted it: what a test does to the guest before that would make the plan stale.
        var asked = 0
        while await get(desk, id).result["statusMessage"]?.string?.contains("runs on") != true {
            asked += 1
            try #require(asked < 10_000)
            await Task.yield()
        }
        return id
    }

    private static func get(_ desk: Desk, _ task: String, as caller: String = "operator") async -> Desk.Answer {
        await desk.ask("tasks/get", ["taskId": .string(task)], as: caller, withTasks: true)
    }

    @Test func `a task works, and ends as the whole result of the call`() async throws {
        let desk = try Self.desk()
        let task = try await Self.started(desk)
        #expect(task.hasPrefix("op_"))
        let working = await Self.get(desk, task)
        #expect(working.result["status"] == "working" && working.result["resultType"] == "complete", "\(working)")
        #expect(working.result["result"] == nil && working.result["taskId"]?.string == task)
        desk.pve.put("vm/102", status: "running")
        desk.pve.taskStatus = .stopped(.ok)
        _ = await desk.call("operation_get", ["operation_id": .string(task), "wait": 30])
        let done = await Self.get(desk, task)
        #expect(done.result["status"] == "completed" && done.result["resultType"] == "complete", "\(done)")
        let result = try #require(done.result["result"])
        #expect(result["isError"] == false && result["resultType"] == "complete", "\(done)")
        #expect(result["structuredContent"]?["status"] == "succeeded" && result["content"]?.array?.count == 1)
    }

    @Test func `a task that failed at PVE is completed with an error in its result`() async throws {
        let desk = try Self.desk()
        let task = try await Self.started(desk)
        desk.pve.taskStatus = .stopped(.failed("start failed"))
        _ = await desk.call("operation_get", ["operation_id": .string(task), "wait": 30])
        let done = await Self.get(desk, task)
        #expect(done.result["status"] == "completed" && done.result["error"] == nil, "\(done)")
        #expect(done.result["result"]?["isError"] == true && done.result["result"]?["structuredContent"] == nil)
    }

    @Test func `cancelling is asked for, and an end stays as it is`() async throws {
        let desk = try Self.desk()
        let task = try await Self.started(desk)
        let asked = await desk.ask("tasks/cancel", ["taskId": .string(task)], withTasks: true)
        #expect(asked.status == 200 && asked.result["resultType"] == "complete", "\(asked)")
        #expect(desk.pve.stopped.map(\.description) == [Self.upid])
        desk.pve.taskStatus = .stopped(.failed("interrupted by signal"))
        _ = await desk.call("operation_get", ["operation_id": .string(task), "wait": 30])
        #expect(await Self.get(desk, task).result["status"] == "cancelled")
        let late = await desk.ask("tasks/cancel", ["taskId": .string(task)], withTasks: true)
        #expect(late.status == 200 && desk.pve.stopped.count == 1, "\(late)")
        #expect(await desk.ask("tasks/update", ["taskId": .string(task)], withTasks: true).status == 200)
    }

    @Test(arguments: ["tasks/get", "tasks/cancel", "tasks/update"])
    func `a task is seen by its owner alone, with the extension and the right header`(method: String) async throws {
        let desk = try Self.desk()
        let task = try await Self.started(desk)
        for (id, caller) in [(task, "other"), ("op_00000000000000000000", "operator"), ("nonsense", "operator")] {
            let answer = await desk.ask(method, ["taskId": .string(id)], as: caller, withTasks: true)
            #expect(answer.status == 400 && answer.code == -32602, "\(answer)")
        }
        let plain = await desk.ask(method, ["taskId": .string(task)])
        #expect(plain.status == 400 && plain.code == -32021, "\(plain)")
        #expect(plain.error?["data"]?["requiredCapabilities"]?["extensions"]?[Desk.tasks] == [:], "\(plain)")
        let body = Desk.body(method, ["taskId": .string(task)], declaring: [Desk.tasks: [:]])
        for name in [nil, "op_00000000000000000000"] {
            let answer = await desk.send(body.bytes, Desk.fields(method, name))
            #expect(answer.status == 400 && answer.code == -32020, "\(answer)")
        }
        #expect(desk.pve.stopped.isEmpty)
    }

    @Test func `nothing that starts no operation becomes a task`() async throws {
        let desk = try Self.desk()
        let plan = try await desk.plan("stop_vm", on: "vm/101")
        let refused = await desk.call("plan_apply", ["plan_id": .string(plan)], withTasks: true)
        #expect(refused.isError == true && refused.result["resultType"] == "complete", "\(refused)")
        let read = await desk.call("inventory", [:], withTasks: true)
        #expect(read.isError == false && read.result["resultType"] == "complete")
        let started = try await desk.plan("start_vm", on: "vm/102")
        let plain = await desk.call("plan_apply", ["plan_id": .string(started)])
        #expect(plain.result["resultType"] == "complete" && plain.content["status"] == "running", "\(plain)")
        desk.pve.taskStatus = .stopped(.ok)
    }
}
