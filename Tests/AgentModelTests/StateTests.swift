import AgentModel
import AgentTestSupport
import FoundationEssentials
import Testing

struct StateTests {
    /// One line a state, one column a state that may follow.
    private func table<State: CaseIterable & Hashable & RawRepresentable<String>>(
        _ successors: (State) -> Set<State>, _ remark: (State) -> String
    ) -> [String] {
        State.allCases.flatMap { state in
            State.allCases.map {
                "\(state.rawValue) -> \($0.rawValue) \(successors(state).contains($0) ? "yes" : "no")"
            }
                + ["\(state.rawValue): \(remark(state))"]
        }
    }

    @Test func `plans move as the table says`() throws {
        let lines = table(\PlanState.successors) {
            "\($0.isLive ? "live" : "not live"), \($0.isEnded ? "ended" : "not ended")"
        }
        try expectGolden(lines, "plan-states.txt")
    }

    @Test func `operations move as the table says`() throws {
        let lines = table(\OperationState.successors) {
            "\($0.isEnded ? "ended" : "not ended"), its plan is \($0.planState?.rawValue ?? "as it was")"
        }
        try expectGolden(lines, "operation-states.txt")
    }

    /// Ways through the table from where a plan is born to every state.
    private func plan(in state: PlanState) throws -> Plan {
        let request = try ActionRequest.sample(.startVM, "vm/101")
        let way: [PlanState] =
            switch state {
            case .denied, .approved, .awaitingApproval: []
            case .rejected: [.rejected]
            case .expired, .cancelled, .stale, .applying: [state]
            case .applied, .failed, .unknown: [.applying, state]
            }
        var plan = Plan.sample(
            request, allowed: state != .denied, approvals: state == .awaitingApproval || state == .rejected ? 1 : 0)
        for step in way { expectDone(plan.move(to: step, at: .sample)) }
        #expect(plan.state == state)
        return plan
    }

    @Test(arguments: PlanState.allCases)
    func `a plan refuses every other step and stays as it is`(state: PlanState) throws {
        for next in PlanState.allCases {
            var plan = try plan(in: state)
            let moved = plan.move(to: next, at: .sample.addingTimeInterval(9))
            #expect(moved == state.successors.contains(next))
            #expect(plan.state == (moved ? next : state))
            #expect((plan.endedAt != nil) == plan.state.isEnded)
        }
    }

    @Test(arguments: OperationState.allCases)
    func `an operation refuses every other step and stays as it is`(state: OperationState) throws {
        let plan = Plan.sample(try .sample(.startVM, "vm/101"))
        for next in OperationState.allCases {
            var operation = Operation(id: .sample(1, .operation), plan: plan, approvals: [], createdAt: .sample)
            operation.queuePosition = 3
            if state != .queued { expectDone(operation.move(to: .running, at: .sample)) }
            if state != .queued, state != .running { expectDone(operation.move(to: state, at: .sample)) }
            let moved = operation.move(to: next, at: .sample)
            #expect(moved == state.successors.contains(next))
            #expect(operation.state == (moved ? next : state))
            #expect((operation.endedAt != nil) == operation.state.isEnded)
            #expect((operation.queuePosition == 0) == (operation.state != .queued))
        }
    }

    @Test(arguments: [
        ("OK", TaskExit.ok), ("WARNINGS: 1", .warnings(1)), ("WARNINGS: 12", .warnings(12)),
        ("WARNINGS: x", .failed("WARNINGS: x")), ("WARNINGS", .failed("WARNINGS")), ("ok", .failed("ok")),
        ("", .failed("")), ("VM 101 not running", .failed("VM 101 not running")), ("OK ", .failed("OK ")),
    ])
    func `only OK and counted warnings are success`(text: String, exit: TaskExit) {
        #expect(TaskExit(exitStatus: text) == exit)
    }
}
