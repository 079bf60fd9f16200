package import AgentModel
package import FoundationEssentials
package import StrictJSON

/// The port to what we know of Proxmox VE beyond its API, for one environment: what a request would do to the live
/// state, what became of a change, and where PVE's answers are misleading.
///
/// It only reads. All changes go through ``Hypervisor/change(_:passing:)``.
package protocol PlanningEngine: Sendable {
    /// Previews `request` against the live state. A read looks at its guests only if `resolving`. `watched` are guests
    /// that rules name by number: if the request reaches all guests, these must be looked up.
    ///
    /// - Throws: if PVE cannot be asked. A missing guest or node is a check, not an error.
    func preview(
        of request: ActionRequest, watching watched: Set<VMID>, resolving: Bool
    ) async throws(HypervisorError) -> Preview

    /// Makes the plan's preview again from the current state.
    ///
    /// - Throws: also if a node does not answer, since what cannot be read cannot be compared.
    func look(again plan: Plan, watching watched: Set<VMID>) async throws(ServiceError) -> Preview

    /// When the newest backup of the guest that some storage lists was made; `nil` if none lists one. Storages that
    /// cannot be looked at count as empty.
    func newestBackup(of guest: VMID) async throws(HypervisorError) -> Date?

    /// What a read of all guests reaches, for policy to judge.
    func reach(of request: ActionRequest, resolving: Bool) async throws(HypervisorError) -> Reach

    /// The data of a read's calls, each with its name in the answer.
    func data(of request: ActionRequest, _ calls: [Call]) async throws(HypervisorError) -> [(name: String, data: JSON)]

    /// Which privileges the token lacks, so that a list may be empty although there are entries; `nil` if it lacks
    /// none.
    func blindness(of request: ActionRequest) async throws(HypervisorError) -> String?

    /// The tasks that `call` may have started, by type, by what they work on, and by the agent's token. None for a call
    /// that starts no task.
    func candidateTasks(for call: Call) async throws(HypervisorError) -> [UPID]

    /// Whether the state that a task or call of type `type` only requested has been reached; `nil` if there is nothing
    /// to wait for, because the end of the task is final.
    func isConfirmed(_ type: String, _ request: ActionRequest) async -> Bool?

    /// The newest task that starts the guest, no older than `first`; `nil` if there is none.
    func startTask(of guest: GuestRef, after first: UPID) async throws(HypervisorError) -> UPID?

    /// Whether the guest is running.
    func isRunning(_ guest: GuestRef) async throws(HypervisorError) -> Bool

    /// Where guests are and, if `withStatus`, their status. Leaves out guests that the token cannot see.
    func sightings(of guests: [GuestRef], withStatus: Bool) async -> [GuestRef: GuestSighting]

    /// The last line in a task's log that reports a problem with the guest.
    func complaint(about guest: GuestRef, in log: [String]) -> String?

    /// The status of a command that `call` started in a guest.
    func commandStatus(of call: Call, pid: Int64) async throws(HypervisorError) -> CommandStatus

    /// Which parts of the request failed in an answer that is no error, and whether all did; `nil` if none.
    func flaw(in answer: JSON, of request: ActionRequest) -> (message: String, isTotal: Bool)?

    /// What a failed operation's last call has changed nevertheless.
    func aftermath(of operation: Operation, _ plan: Plan, watching watched: Set<VMID>) async -> Aftermath

    /// The agent's own tasks in the result of a read of tasks.
    func ownTasks(in data: JSON, of request: ActionRequest) -> Set<UPID>

    /// The data of a read of tasks, without the secrets of these tasks' calls.
    func hiding(_ secrets: [UPID: TaskSecrets], in data: JSON, of request: ActionRequest) -> JSON

    /// Whether tasks of this type write into their logs how far they are.
    func reportsProgress(_ type: String) -> Bool

    /// The newest of these lines of a task's log that tells how far the task is; `nil` if none does. Its text names
    /// nothing but amounts and disks.
    func progress(in lines: [String]) -> Progress?

    /// Whether PVE reports with this text that a task was stopped on request.
    func isInterruption(_ exit: String) -> Bool
}

/// Where a guest is, and its status.
package struct GuestSighting: Sendable, Hashable {
    package let node: String
    /// `nil` if it was not asked for or the token cannot see it.
    package let status: JSON?
    /// Whether the HA manager manages it.
    package let isManaged: Bool

    package init(node: String, status: JSON?, isManaged: Bool) {
        self.node = node
        self.status = status
        self.isManaged = isManaged
    }
}

/// The status of a command in a guest.
package struct CommandStatus: Sendable, Hashable {
    package let hasExited: Bool
    package let exitCode: Int64?
    /// Whether a signal ended it.
    package let isSignalled: Bool
    /// `nil` also if PVE's number for it cannot be understood.
    package let signal: Int64?
    package let output: String
    package let errors: String
    /// Whether the command wrote more than the guest agent keeps.
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

/// What PVE showed after a failed call.
package enum Aftermath: Sendable {
    /// Everything that was read is as it was before the call.
    case unchanged
    /// These parts of the change remain; whether that is all of it, and how to undo it.
    case left([StateDrift], isAll: Bool, undo: FollowUp?)
    /// PVE could not be read, for this reason.
    case unseen(String)
}

/// How to remove the secrets from PVE's texts about a task.
package enum TaskSecrets: Sendable {
    /// All secrets of the call are known and can be removed.
    case known(Redaction)
    /// The secrets were erased with the plan. Only the texts that were stored without them can be shown.
    case erased(log: [String], message: String)
}
