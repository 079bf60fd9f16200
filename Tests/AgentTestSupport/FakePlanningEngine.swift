package import AgentModel
package import AgentService
package import FoundationEssentials
package import StrictJSON
internal import Synchronization

/// A planning engine that knows nothing of PVE and says what a test tells it to.
package final class FakePlanningEngine: PlanningEngine {
    private struct State {
        var preview = Preview()
        var failure: HypervisorError?
        var tasks: [UPID] = []
        var aftermath = Aftermath.unchanged
        var asked: [String] = []
    }

    private let state = Mutex(State())

    /// No guest has a backup.
    package func newestBackup(of guest: VMID) async throws(HypervisorError) -> Date? { nil }

    package init() {}

    /// What every request would do.
    package var preview: Preview {
        get { state.withLock { $0.preview } }
        set { state.withLock { $0.preview = newValue } }
    }

    /// What every question fails with; `nil` heals.
    package var failure: HypervisorError? {
        get { state.withLock { $0.failure } }
        set { state.withLock { $0.failure = newValue } }
    }

    /// The tasks that may be a call's own.
    package var tasks: [UPID] {
        get { state.withLock { $0.tasks } }
        set { state.withLock { $0.tasks = newValue } }
    }

    /// What failed calls have left.
    package var aftermath: Aftermath {
        get { state.withLock { $0.aftermath } }
        set { state.withLock { $0.aftermath = newValue } }
    }

    /// The questions that came, in order.
    package var asked: [String] { state.withLock { $0.asked } }

    private func answer<Value>(_ question: String, _ value: (State) -> Value) throws(HypervisorError) -> Value {
        let result = state.withLock { state -> Result<Value, HypervisorError> in
            state.asked.append(question)
            return state.failure.map { .failure($0) } ?? .success(value(state))
        }
        return try result.get()
    }

    package func preview(
        of request: ActionRequest, watching watched: Set<VMID>, resolving: Bool
    ) async throws(HypervisorError) -> Preview { try answer("preview") { $0.preview } }

    package func look(again plan: Plan, watching watched: Set<VMID>) async throws(ServiceError) -> Preview {
        do throws(HypervisorError) { return try answer("look again") { $0.preview } } catch {
            throw ServiceError(error, plan.request.environment, during: "looking again")
        }
    }

    package func reach(of request: ActionRequest, resolving: Bool) async throws(HypervisorError) -> Reach {
        try answer("reach") { $0.preview.reach }
    }

    package func data(
        of request: ActionRequest, _ calls: [Call]
    ) async throws(HypervisorError) -> [(name: String, data: JSON)] { try answer("data") { _ in [] } }

    package func blindness(of request: ActionRequest) async throws(HypervisorError) -> String? { nil }

    package func candidateTasks(for call: Call) async throws(HypervisorError) -> [UPID] {
        try answer("candidate tasks") { $0.tasks }
    }

    package func isConfirmed(_ type: String, _ request: ActionRequest) async -> Bool? { nil }

    package func startTask(of guest: GuestRef, after first: UPID) async throws(HypervisorError) -> UPID? { nil }

    package func isRunning(_ guest: GuestRef) async throws(HypervisorError) -> Bool { true }

    package func sightings(of guests: [GuestRef], withStatus: Bool) async -> [GuestRef: GuestSighting] { [:] }

    package func complaint(about guest: GuestRef, in log: [String]) -> String? { nil }

    package func commandStatus(of call: Call, pid: Int64) async throws(HypervisorError) -> CommandStatus {
        throw .unreachable("a fake runs no commands")
    }

    package func flaw(in answer: JSON, of request: ActionRequest) -> (message: String, isTotal: Bool)? { nil }

    package func aftermath(of operation: Operation, _ plan: Plan, watching watched: Set<VMID>) async -> Aftermath {
        (try? answer("aftermath") { $0.aftermath }) ?? .unseen("the fake fails")
    }

    package func ownTasks(in data: JSON, of request: ActionRequest) -> Set<UPID> { [] }

    package func hiding(_ secrets: [UPID: TaskSecrets], in data: JSON, of request: ActionRequest) -> JSON { data }

    package func isInterruption(_ exit: String) -> Bool { false }

    package func reportsProgress(_ type: String) -> Bool { false }

    package func progress(in lines: [String]) -> Progress? { nil }
}
