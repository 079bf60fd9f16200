import AgentModel
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// Every change of the catalogue: from the plan to the end of PVE's task, and not at all when the world moved meanwhile.
@Suite(.timeLimit(.minutes(10)))
struct CatalogTests {
    @Test(arguments: ActionCatalog.all)
    func `each call is shown once`(entry: ActionDefinition) {
        #expect(Set(entry.shownCalls).count == entry.shownCalls.count, "\(entry.shownCalls)")
    }

    @Test func `every change of the catalogue is tried here`() {
        let tried = Set(ChangeScenario.all.map(\.wish.action))
        let all = Set(ActionCatalog.all.filter { $0.effect == .change }.map(\.action.rawValue))
        #expect(all.subtracting(tried).isEmpty && tried.isSubset(of: all))
    }

    @Test(arguments: ChangeScenario.all)
    func `a change is planned, approved, applied, and the state is as promised`(scenario: ChangeScenario) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await scenario.prepare(pve)
            let planned = try await agent.plan(scenario.wish)
            try #require(planned["decision"]?["allowed"] == true, "\(planned)")
            #expect(agent.executed.isEmpty, "planning changes nothing")
            let preview = try #require(planned["preview"])
            #expect(preview["calls"]?.array?.count == scenario.calls)
            #expect(preview["noop"] == false, "\(preview)")
            #expect(preview["irreversible"] == true || preview["undo"]?.isNull == false)
            let id = try #require(planned["plan_id"]?.string)
            let reply = try await agent.apply(id, approvedBy: "alice")
            #expect(reply["result"]?["status"] == "succeeded", "\(reply)")
            #expect(agent.executed.count == scenario.calls)
            #expect(try await scenario.happened(ChangeScenario.ChangedCluster(pve: pve)), "\(reply)")
            try expectTask(reply["operation"]?["upid"], of: scenario)
            let text = try String(decoding: readLog(agent), as: UTF8.self) + planned.json.text + reply.json.text
            #expect(!text.contains("s3cret-pw"))

            guard let undo = preview["undo"], !undo.isNull else { return }
            let back = try await agent.post("/v1/actions/plan", undo)
            #expect(back.status == 200, "\(back)")
            #expect(back["decision"]?["allowed"] == true, "\(back)")
        }
    }

    /// The last call started a task of a kind that the catalogue knows, about what it says; or none, where it says none.
    private func expectTask(_ upid: JSON?, of scenario: ChangeScenario) throws {
        let request = try ActionRequest(parsing: try #require(scenario.wish.json.object))
        let call = try #require(try request.calls(in: CallContext(node: NodeName("pve2"))).last)
        guard let task = upid?.string.flatMap(UPID.init) else { return #expect(!call.startsTask || scenario.calls > 1) }
        let known = request.templates.flatMap(\.tasks) + (scenario.calls > 1 ? ["qmsnapshot", "vzsnapshot"] : [])
        #expect(known.contains(task.type), "\(task)")
        if let id = call.taskID, scenario.calls == 1 { #expect(task.id == id, "\(task)") }
    }

    private func readLog(_ agent: RunningAgent) throws -> [UInt8] {
        try agent.lines().flatMap { $0.bytes }
    }

    /// What can happen to a guest between approval and apply, and the fields that tell.
    enum Turn: String, CaseIterable, Sendable {
        case swapped, changed, moved, locked

        func happen(to guest: Int, _ pve: Simulator) {
            switch self {
            case .swapped: pve.swapIdentity(guest)
            case .changed: pve.setConfig(guest, "description", "changed")
            case .moved: pve.move(guest, to: pve.guest(guest)?.node == "pve3" ? "pve1" : "pve3")
            case .locked: pve.setConfig(guest, "lock", "backup")
            }
        }

        func fields(isContainer: Bool) -> Set<String> {
            switch self {
            case .swapped: isContainer ? ["hwaddrs"] : ["uuid", "vmgenid", "ctime"]
            case .changed: ["digest"]
            case .moved: ["node"]
            case .locked: ["lock"]
            }
        }
    }

    private static let guests = ChangeScenario.all.filter { scenario in
        scenario.disturb == nil
            && ["vm/", "lxc/", "firewall/vm", "firewall/lxc"].contains { scenario.wish.target.hasPrefix($0) }
    }

    @Test(arguments: guests, Turn.allCases)
    func `a change to a guest that is not what it was is refused, and says how it differs`(
        scenario: ChangeScenario, turn: Turn
    ) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await scenario.prepare(pve)
            let id = try await agent.planID(scenario.wish)
            let guest = try #require(scenario.wish.target.split(separator: "/").last.flatMap { Int($0) })
            turn.happen(to: guest, pve)
            let reply = try await agent.apply(id, approvedBy: "alice")
            expectProblem(reply, 409, "plan_stale")
            let fields = Set((reply["moved"]?.array ?? []).compactMap { $0["field"]?.string })
            let wanted = turn.fields(isContainer: scenario.wish.target.contains("lxc"))
            #expect(wanted.isSubset(of: fields), "\(reply)")
            #expect(agent.executed.isEmpty)
            #expect(try await agent.planState(id) == "stale")
        }
    }

    @Test(arguments: ChangeScenario.all.filter { $0.disturb != nil })
    func `a change to what is no guest is refused when that moved`(scenario: ChangeScenario) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            try await scenario.prepare(pve)
            let id = try await agent.planID(scenario.wish)
            #expect(try await agent.planState(id) != "denied")
            try await scenario.disturb?(pve)
            let reply = try await agent.apply(id, approvedBy: "alice")
            expectProblem(reply, 409, "plan_stale")
            #expect(reply["moved"]?.array?.isEmpty == false, "\(reply)")
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `no change of the catalogue is left out of these`() {
        let object = Set(ChangeScenario.all.filter { $0.disturb != nil }.map(\.wish.action))
        let all = Set(ChangeScenario.all.map(\.wish.action))
        #expect(all == object.union(Self.guests.map(\.wish.action)))
    }
}
