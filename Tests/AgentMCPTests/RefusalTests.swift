import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import StrictJSON
import Testing

/// What a tool answers when something is wrong.
struct RefusalTests {
    @Test(
        arguments: [
            ("guest_get", [:], "invalid_request", "/arguments/environment"),
            ("guest_get", ["environment": "home"], "invalid_request", "/arguments/guest"),
            ("guest_get", ["environment": "home", "guest": "101"], "invalid_request", "/arguments/guest"),
            ("guest_get", ["environment": "home", "guest": "vm/101", "detail": "all"], "invalid_request", "detail"),
            ("guest_get", ["environment": "nowhere", "guest": "vm/101"], "unknown_environment", "nowhere"),
            ("inventory", ["environment": "nowhere"], "unknown_environment", "nowhere"),
            ("inventory", ["cursor": "5"], "invalid_request", "/arguments/cursor"),
            ("inventory", ["node": 5], "invalid_request", "/arguments/node"),
            ("node_list", ["environment": "home", "cursor": "-1"], "invalid_request", "/arguments/cursor"),
            ("task_log", ["environment": "home", "upid": "x"], "invalid_request", "/arguments/upid"),
            ("action_catalog", ["action": "explode_vm"], "unknown_action", "explode_vm"),
            ("plan_create", [:], "invalid_request", "environment"),
            (
                "plan_create", ["environment": "home", "action": "explode_vm", "target": "vm/101"], "unknown_action",
                "explode_vm"
            ),
            (
                "plan_create", ["environment": "home", "action": "start_vm", "target": "node/pve1"], "invalid_target",
                "node/pve1"
            ),
            (
                "plan_create",
                ["environment": "home", "action": "start_vm", "target": "vm/102", "params": ["bogus": 1]],
                "invalid_request", "/params/bogus"
            ),
            ("plan_get", ["plan_id": "x"], "invalid_request", "/arguments/plan_id"),
            ("plan_get", ["plan_id": "pln_00000000000000000000"], "plan_not_found", "pln_0"),
            ("plan_apply", [:], "invalid_request", "/arguments/plan_id"),
            ("plan_apply", ["plan_id": "pln_00000000000000000000"], "plan_not_found", "pln_0"),
            ("plan_apply", ["plan_id": "pln_00000000000000000000", "wait": 31], "invalid_request", "/arguments/wait"),
            ("plan_cancel", ["plan_id": "pln_00000000000000000000"], "plan_not_found", "pln_0"),
            ("operation_get", ["operation_id": "op_00000000000000000000"], "operation_not_found", "op_0"),
        ] as [(String, JSONObject, String, String)])
    func `bad arguments are results that say what is wrong and what comes next`(
        tool: String, arguments: JSONObject, code: String, word: String
    ) async throws {
        let answer = await (try Desk()).call(tool, arguments)
        #expect(answer.status == 200 && answer.isError == true, "\(answer)")
        #expect(answer.content["code"]?.string == code, "\(answer)")
        #expect(answer.content["detail"]?.string?.contains(word) == true, "\(answer)")
        #expect(answer.content["next"]?.string?.isEmpty == false && answer.result["structuredContent"] == nil)
    }

    @Test(arguments: ["inventory", "guest_get", "node_list", "storage_list", "plan_create"])
    func `a PVE that does not answer is a result, not an error of the protocol`(tool: String) async throws {
        let desk = try Desk()
        desk.pve.failure = .unreachable("connection refused")
        for arguments in [ToolTests.samples[tool] ?? [:], tool == "inventory" ? [:] : ToolTests.samples[tool] ?? [:]] {
            let answer = await desk.call(tool, arguments)
            #expect(answer.status == 200 && answer.isError == true, "\(answer)")
            #expect(answer.content["code"] == "upstream_unreachable", "\(answer)")
        }
    }

    @Test func `PVE's refusal of a change says what PVE said and where the operation is`() async throws {
        let desk = try Desk { _ throws(HypervisorError) in
            throw .refused(PVERejection(status: 500, reason: "no space left"))
        }
        let plan = try await desk.plan("start_vm", on: "vm/102")
        let answer = await desk.call("plan_apply", ["plan_id": .string(plan), "wait": 20])
        #expect(answer.status == 200 && answer.isError == true, "\(answer)")
        #expect(answer.content["operation"]?["state"] == "failed" && answer.content["status"] == "failed")
        #expect(answer.content["operation"]?["upstream"]?["reason"] == "no space left", "\(answer)")
        let operation = try #require(answer.content["operation"]?["operation_id"])
        let again = await desk.call("operation_get", ["operation_id": operation])
        #expect(again.isError == false && again.content["operation"]?["state"] == "failed", "\(again)")
    }

    @Test func `a denial by policy is a result with the rule`() async throws {
        let rule = PolicyRule(id: "no-starts", effect: .deny, reason: "not in December")
        let desk = try Desk(rules: [rule])
        let answer = await desk.call(
            "plan_create", ["environment": "home", "action": "start_vm", "target": "vm/102"])
        #expect(answer.isError == true && answer.content["state"] == "denied", "\(answer)")
        #expect(answer.content["decision"]?["rules"]?.array?.contains("rule:no-starts") == true, "\(answer)")
        let plan = try #require(answer.content["plan_id"])
        let applied = await desk.call("plan_apply", ["plan_id": plan])
        #expect(applied.isError == true && applied.content["code"] == "policy_denied", "\(applied)")
        #expect(desk.pve.changes.isEmpty)
    }

    @Test func `high risk waits for another principal, over REST, and nothing else helps`() async throws {
        let desk = try Desk()
        let plan = try await desk.plan("stop_vm", on: "vm/101")
        let refused = await desk.call("plan_apply", ["plan_id": .string(plan)])
        #expect(refused.isError == true && refused.content["code"] == "approval_required", "\(refused)")
        #expect(refused.content["plan_id"]?.string == plan && refused.content["plan_hash"]?.string?.utf8.count == 64)
        let next = try #require(refused.content["next"]?.string)
        #expect(next.contains("/v1/plans/\(plan)/approvals") && next.contains("proxmox-agent approve \(plan)"))
        let sly = await desk.call("plan_apply", ["plan_id": .string(plan), "approved_by": "alice"])
        #expect(sly.isError == true && sly.content["code"] == "invalid_request" && desk.pve.changes.isEmpty)
        try await desk.approve(plan)
        let shown = await desk.call("plan_get", ["plan_id": .string(plan)])
        #expect(shown.content["state"] == "approved" && shown.content["next"]?.string?.contains("plan_apply") == true)
        let applied = await desk.call("plan_apply", ["plan_id": .string(plan), "wait": 20])
        #expect(applied.isError == false && applied.content["status"] == "succeeded", "\(applied)")
        let again = await desk.call("plan_apply", ["plan_id": .string(plan)])
        #expect(again.isError == true && again.content["code"] == "plan_consumed" && desk.pve.changes.count == 1)
        #expect(again.content["operation_id"] == applied.content["operation"]?["operation_id"])
    }

    @Test func `a plan of somebody else is theirs to apply and to cancel`() async throws {
        let desk = try Desk()
        let plan = JSON.string(try await desk.plan("start_vm", on: "vm/102"))
        for tool in ["plan_apply", "plan_cancel"] {
            let answer = await desk.call(tool, ["plan_id": plan], as: "other")
            #expect(answer.status == 200 && answer.content["code"] == "forbidden", "\(answer)")
        }
        let cancelled = await desk.call("plan_cancel", ["plan_id": plan])
        #expect(cancelled.isError == false && cancelled.content["state"] == "cancelled", "\(cancelled)")
        #expect(await desk.call("plan_apply", ["plan_id": plan]).content["code"] == "plan_cancelled")
        #expect(desk.pve.changes.isEmpty)
    }

    @Test func `a dry run shows its preview and changes nothing`() async throws {
        let desk = try Desk()
        let plan = await desk.call(
            "plan_create",
            ["environment": "home", "action": "stop_vm", "target": "vm/101", "dry_run": true], as: "viewer")
        let answer = await desk.call("plan_apply", ["plan_id": plan.content["plan_id"]], as: "viewer")
        #expect(answer.isError == false && answer.content["status"] == "planned", "\(answer)")
        #expect(answer.content["preview"]?["calls"]?.array?.isEmpty == false && desk.pve.changes.isEmpty)
    }
}
