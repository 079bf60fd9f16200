package import AgentModel
package import StrictJSON

/// The port to what is known of Proxmox VE beyond its API, for one environment: what a request would do to the live state,
/// what has become of a change, and where PVE's answers do not mean what they say.
///
/// It only reads. Everything that changes something goes through ``Hypervisor/change(_:passing:)``.
package protocol PlanningEngine: Sendable {
    /// What `request` would do, from live state. A read looks at the guests that it is about only where `resolving`.
    /// `watched` are guests that rules name by number: where all guests are reached, these have to be found.
    ///
    /// - Throws: when PVE cannot be asked. A guest or node that is not there is a check, not an error.
    func preview(
        of request: ActionRequest, watching watched: Set<VMID>, resolving: Bool
    ) async throws(HypervisorError) -> Preview

    /// Everything that planning looked at, as it is now.
    ///
    /// - Throws: also where a node does not answer, since what cannot be looked at has not moved, as far as anybody knows.
    func look(again plan: Plan, watching watched: Set<VMID>) async throws(ServiceError) -> Preview

    /// What a read of all guests reaches, as policy judges it.
    func reach(of request: ActionRequest, resolving: Bool) async throws(HypervisorError) -> Reach

    /// The data of a read's calls, each with the name that the answer has for it.
    func data(of request: ActionRequest, _ calls: [Call]) async throws(HypervisorError) -> [(name: String, data: JSON)]

    /// Why a list may be empty although there is something: what the token may not see. `nil` where it sees everything.
    func blindness(of request: ActionRequest) async throws(HypervisorError) -> String?

    /// The tasks that look like one that `call` has started: type, what they work on, and the agent's token. None for a
    /// call that starts no task.
    func candidateTasks(for call: Call) async throws(HypervisorError) -> [UPID]

    /// Whether what a task or call of the type `type` only asked for has come about; `nil` where there is nothing to wait
    /// for, because the end of the task says it all.
    func isConfirmed(_ type: String, _ request: ActionRequest) async -> Bool?

    /// The newest task that starts the guest and is no older than `first`, or `nil`.
    func startTask(of guest: GuestRef, after first: UPID) async throws(HypervisorError) -> UPID?

    /// Whether the guest runs.
    func isRunning(_ guest: GuestRef) async throws(HypervisorError) -> Bool

    /// Where guests are and, where `withStatus`, how they are doing. Those that cannot be seen are left out.
    func sightings(of guests: [GuestRef], withStatus: Bool) async -> [GuestRef: GuestSighting]

    /// PVE's last line about the guest in a task's log that is more than that it was begun.
    func complaint(about guest: GuestRef, in log: [String]) -> String?

    /// How a command is doing that `call` has started in a guest.
    func commandStatus(of call: Call, pid: Int64) async throws(HypervisorError) -> CommandStatus

    /// What an answer that is no error tells of parts of the request that failed; whether all of them did. `nil` for none.
    func flaw(in answer: JSON, of request: ActionRequest) -> (message: String, isTotal: Bool)?

    /// What an operation's last call has left behind, although it failed.
    func aftermath(of operation: Operation, _ plan: Plan, watching watched: Set<VMID>) async -> Aftermath

    /// The agent's own tasks that a read of tasks has found.
    func ownTasks(in data: JSON, of request: ActionRequest) -> Set<UPID>

    /// The data of a read of tasks without what these tasks repeat of their calls.
    func hiding(_ secrets: [UPID: TaskSecrets], in data: JSON, of request: ActionRequest) -> JSON

    /// Whether these are PVE's words for a task that somebody stopped.
    func isInterruption(_ exit: String) -> Bool
}

/// Where a guest is, and how it is doing.
package struct GuestSighting: Sendable, Hashable {
    package let node: String
    /// `nil` where it was not asked for or is not to be seen.
    package let status: JSON?
    /// Whether the HA manager takes care of it.
    package let isManaged: Bool

    package init(node: String, status: JSON?, isManaged: Bool) {
        self.node = node
        self.status = status
        self.isManaged = isManaged
    }
}

/// How a command in a guest is doing.
package struct CommandStatus: Sendable, Hashable {
    package let hasExited: Bool
    package let exitCode: Int64?
    /// Whether a signal ended it.
    package let isSignalled: Bool
    /// `nil` also where PVE's number for it cannot be understood.
    package let signal: Int64?
    package let output: String
    package let errors: String
    /// Whether there was more output than the guest agent keeps.
    package let isCut: Bool

    package init(
        hasExited: Bool, exitCode: Int64?, isSignalled: Bool, signal: Int64?, output: String, errors: String,
        isCut: Bool
    ) {
        self.hasExited = hasExited
        self.exitCode = exitCode
        self.isSignalled = isSignalled
        self.signal = signal
        self.output = output
        self.errors = errors
        self.isCut = isCut
    }
}

/// What PVE showed after a call that failed.
package enum Aftermath: Sendable {
    /// All that was looked at is as it was before the call.
    case unchanged
    /// This stayed of it; whether that is all that was wanted, and what takes it back.
    case left([StateDrift], isAll: Bool, undo: FollowUp?)
    /// PVE could not be looked at, for this reason.
    case unseen(String)
}

/// What can be done about the secrets in PVE's words about a task.
package enum TaskSecrets: Sendable {
    /// All that the call carried are known: they can be taken out.
    case known(Redaction)
    /// They have been erased with the plan: only what was kept without them can be shown.
    case erased(log: [String], message: String)
}
