package import AgentModel
package import AgentService
import StrictJSON

/// Finds the PVE task that a call has started, and checks what a finished task leaves open.
extension PVEPlanner {
    package func candidateTasks(for call: Call) async throws(HypervisorError) -> [UPID] {
        guard let list = call.taskList else { return [] }
        let rows = try await hypervisor.read(list).array ?? []
        return rows.compactMap { $0["upid"]?.string.flatMap(UPID.init) }.filter { upid in
            call.mayHaveStarted(upid) && upid.user == settings.tokenID
        }
    }

    /// A task of the HA manager only makes a request: the request is fulfilled once the guest is in the requested
    /// state.
    package func isConfirmed(_ type: String, _ request: ActionRequest) async -> Bool? {
        guard ["hastart", "hastop", "hamigrate"].contains(type), let guest = request.target.guest else { return nil }
        do throws(HypervisorError) {
            guard let node = try await hypervisor.locate(guest)?.node else { return false }
            if type == "hamigrate" {
                guard node.description == request.params["target"]?.string else { return false }
                // The lock remains for a moment after the move.
                return try await status(of: guest, on: node)["lock"] == nil
            }
            return try await status(of: guest, on: node)["status"]?.string
                == (type == "hastart" ? "running" : "stopped")
        } catch {
            // Not confirmed yet while PVE cannot tell.
            return false
        }
    }

    /// Returns `nil` where the token may not see the task.
    package func startTask(of guest: GuestRef, after first: UPID) async throws(HypervisorError) -> UPID? {
        let list = Call(
            .get, ["nodes", "\(first.node)", "tasks"],
            [
                (name: "source", value: .text("all")), (name: "vmid", value: .text("\(guest.id)")),
                (name: "limit", value: .text("50")),
            ])
        let types = ["qmstart", "vzstart", "hastart"]
        let rows = try await hypervisor.read(list).array ?? []
        let tasks = rows.compactMap { $0["upid"]?.string.flatMap(UPID.init) }.filter { task in
            types.contains(task.type) && task.id == guest.id.description && task != first
        }
        return tasks.filter { $0.startTime >= first.startTime }.max { $0.startTime < $1.startTime }
    }

    package func isRunning(_ guest: GuestRef) async throws(HypervisorError) -> Bool {
        guard let node = try await hypervisor.locate(guest)?.node else { return false }
        return try await status(of: guest, on: node)["status"] == "running"
    }

    private func status(of guest: GuestRef, on node: NodeName) async throws(HypervisorError) -> JSON {
        try await hypervisor.read(
            Call(.get, ["nodes", "\(node)", guest.kind.rawValue, "\(guest.id)", "status", "current"]))
    }

    package func isInterruption(_ exit: String) -> Bool {
        exit.contains("interrupt") || exit.hasPrefix(TaskExit.killed)
    }
}

extension Call {
    /// The list of tasks that shows the task of this call; `nil` where the call starts none.
    fileprivate var taskList: Call? {
        guard startsTask, path.count > 1 else { return nil }
        guard path[0] == "nodes" else { return Call(.get, ["cluster", "tasks"]) }
        return Call(
            .get, ["nodes", path[1], "tasks"],
            [(name: "source", value: .text("all")), (name: "limit", value: .text("500"))])
    }

    fileprivate func mayHaveStarted(_ upid: UPID) -> Bool {
        taskTypes.contains(upid.type) && taskID.map { $0 == upid.id } ?? true
    }
}
