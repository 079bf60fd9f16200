import AgentTestSupport
import PVESimulator
import StrictJSON
import Testing

/// A limit of policy holds whatever happens to the process.
@Suite(.serialized)
struct LimitCrashTests {
    private static func setup() -> Setup {
        var setup = Setup()
        setup.environments[0].guests = 900
        setup.settings["policy"] = [
            "rules": [
                [
                    "id": "ten", "match": ["actions": ["start_vm"]],
                    "effect": ["limits": [["count": "operations", "most": 10, "per": "1h"]]],
                ]
            ]
        ]
        setup.settings["plans"] = ["live_per_caller": 500]
        setup.settings["limits"] = [
            "requests_per_minute": 100_000, "max_operations": 500, "environment_operations": 500,
        ]
        return setup
    }

    private func applyAll(_ ids: [String], _ agent: CrashableAgent) async -> [Reply?] {
        await withTaskGroup(of: Reply?.self) { group in
            for id in ids { group.addTask { try? await agent.apply(id) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    @Test(.timeLimit(.minutes(3)), arguments: [nil, "*#7", "*#31", "*#77"])
    func `of a hundred applies at once ten are let through, and no more after a kill`(point: String?) async throws {
        let agent = try CrashableAgent(Self.setup())
        try await agent.start(dying: point)
        var ids: [String] = []
        let guests = try await agent.get("/v1/inventory?environment=cloud&fields=vmid,status,type")
        let rows = (guests["result"]?["data"]?.array ?? []).filter { $0["status"] == "stopped" && $0["type"] == "qemu" }
        for row in rows.prefix(100) {
            ids.append(try await agent.planID(PlanRequest("start_vm", "vm/\(row["vmid"]?.text ?? "")")))
        }
        try #require(ids.count == 100)
        let replies = await applyAll(ids, agent)
        if point == nil {
            #expect(replies.count { $0?.code == "limit_reached" } == 90)
        } else {
            try await agent.die(bySelf: true)
            try await agent.start()
        }
        _ = try await agent.settled()
        _ = await applyAll(ids, agent)
        _ = try await agent.settled()
        let executed = agent.executed.count { $0.method == "POST" && $0.path.hasSuffix("/status/start") }
        // What was about to be sent when the process died has taken its part, whether PVE got it or not.
        #expect(executed <= 10 && (point != nil || executed == 10), "\(executed) executed")
        let limit = try await agent.get("/v1/policy/limits")["limits"]?.array?.first
        #expect(
            limit?["uses"]?.array?.first?["used"] == 10 && limit?["uses"]?.array?.first?["left"] == 0,
            "\(limit?.text ?? "")")
        try await agent.stop()
    }
}
