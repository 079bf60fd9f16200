import AgentModel
import StrictJSON

/// Waits for a guest that a task was to start: PVE does that in a second task, of which the first one's end says nothing.
extension ActionService {
    /// Waits until the plan's guest runs, or the task that starts it has failed. `first` is the task that has ended.
    /// `nil` when the agent stopped meanwhile.
    func awaitRunning(after first: UPID, _ plan: Plan, at site: Site) async -> TaskEnd? {
        guard let guest = plan.request.target.guest else { return TaskEnd(exit: .ok, message: "OK") }
        let deadline = ContinuousClock.now + .seconds(limits.startSeconds)
        var backoff = Backoff(from: .milliseconds(200))
        var isKnown = false
        while ContinuousClock.now < deadline {
            do throws(HypervisorError) {
                if let task = try await start(of: guest, after: first, at: site) {
                    guard let end = await follow(task, at: site),
                        let settled = await settle(end, task.type, plan, at: site)
                    else { return nil }
                    guard settled.state != .succeeded else {
                        return try await runs(guest, at: site)
                            ? settled : TaskEnd(exit: .failed("\(guest) was started and does not run"))
                    }
                    return settled
                }
                if try await runs(guest, at: site) { return TaskEnd(exit: .ok, message: "OK") }
                isKnown = true
            } catch {
                isKnown = false
            }
            guard await backoff.wait() else { return nil }
        }
        guard isKnown else { return TaskEnd(message: "PVE does not tell whether \(guest) runs") }
        return TaskEnd(exit: .failed("\(guest) does not run \(limits.startSeconds) seconds later"))
    }

    /// The newest task that starts the guest and is no older than `first`. Where the token may not see it there is none.
    private func start(of guest: GuestRef, after first: UPID, at site: Site) async throws(HypervisorError) -> UPID? {
        let list = Call(
            .get, ["nodes", "\(first.node)", "tasks"],
            [
                (name: "source", value: .text("all")), (name: "vmid", value: .text("\(guest.id)")),
                (name: "limit", value: .text("50")),
            ])
        let types = ["qmstart", "vzstart", "hastart"]
        let rows = try await site.hypervisor.read(list).array ?? []
        let tasks = rows.compactMap { $0["upid"]?.string.flatMap(UPID.init) }.filter { task in
            types.contains(task.type) && task.id == guest.id.description && task != first
        }
        return tasks.filter { $0.startTime >= first.startTime }.max { $0.startTime < $1.startTime }
    }

    private func runs(_ guest: GuestRef, at site: Site) async throws(HypervisorError) -> Bool {
        guard let node = try await site.hypervisor.locate(guest)?.node else { return false }
        let path = ["nodes", "\(node)", guest.kind.rawValue, "\(guest.id)", "status", "current"]
        return try await site.hypervisor.read(Call(.get, path))["status"] == "running"
    }
}

extension ActionService.TaskEnd {
    init(exit: TaskExit) {
        self.exit = exit
        message = if case .failed(let text) = exit { text } else { "OK" }
    }
}
