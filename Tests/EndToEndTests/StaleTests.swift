import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// Between the plan and its application the world may move.
@Suite(.timeLimit(.minutes(1)))
struct StaleTests {
    /// Something that somebody else does in between.
    struct Turn: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var wish = PlanRequest.stop
        let moved: [String]
        let happen: @Sendable (Simulator) -> Void

        static let all = [
            Turn("its configuration changes", ["digest"]) { $0.setConfig(100, "memory", "2048") },
            Turn("it is renamed", ["name", "digest"]) { $0.setConfig(100, "name", "other") },
            Turn("it is stopped", ["status"]) { $0.setRunning(100, false) },
            Turn("it is moved to another node", ["node"]) { $0.move(100, to: "pve3") },
            Turn("it is locked", ["lock"]) { $0.setConfig(100, "lock", "backup") },
            Turn("another machine takes its number", ["uuid", "vmgenid", "ctime"]) { $0.swapIdentity(100) },
            Turn("it is gone", ["node"]) { $0.removeGuest(100) },
            Turn("a container takes its number", ["node"]) {
                $0.addGuest(100, isContainer: true, on: "pve2", config: ["hostname": "web1"], isRunning: true)
            },
            Turn("the storage comes to be", ["object"], .addStorage) { $0.setStorage("nas", type: "dir") },
            Turn("the firewall's guest is swapped", ["uuid"], .addRule) { $0.swapIdentity(100) },
            Turn("the one to delete is started", ["status"], .delete) { $0.setRunning(136, true) },
        ]

        init(
            _ name: String, _ moved: [String], _ wish: PlanRequest = .stop,
            happen: @escaping @Sendable (Simulator) -> Void
        ) {
            testDescription = name
            self.moved = moved
            self.wish = wish
            self.happen = happen
        }
    }

    @Test(arguments: Turn.all)
    func `a plan whose object moved is stale and does nothing`(turn: Turn) async throws {
        try await withAgent { agent in
            let id = try await agent.planID(turn.wish)
            turn.happen(try agent.pve())
            let reply = try await agent.apply(id, approvedBy: "alice")
            expectProblem(reply, 409, "plan_stale")
            #expect(reply["plan_id"]?.string == id)
            let moved = reply["moved"]?.array ?? []
            let fields = moved.compactMap { $0["field"]?.string }
            #expect(Set(turn.moved).isSubset(of: fields), "\(reply)")
            #expect(moved.allSatisfy { $0["planned"] != nil && $0["found"] != nil && $0["planned"] != $0["found"] })
            #expect(agent.executed.isEmpty)
            #expect(try await agent.planState(id) == "stale")
            expectProblem(try await agent.apply(id, approvedBy: "alice"), 409, "plan_stale")

            let operations = try await agent.get("/v1/operations?plan_id=\(id)")
            #expect(operations["operations"]?.array?.map { $0["state"] } == ["failed"])
            #expect(operations["operations"]?.array?.first?["code"] == "plan_stale")
            #expect(try agent.kinds(of: id) == ["plan", "approve", "refuse", "refuse"])
        }
    }

    @Test func `what does not belong to its identity may move`() async throws {
        try await withAgent { agent in
            let id = try await agent.planID(.stop)
            try agent.pve().setConfig(101, "memory", "2048")
            try agent.pve().setRunning(136, true)
            #expect(try await agent.apply(id, approvedBy: "alice")["result"]?["status"] == "succeeded")
        }
    }
}
