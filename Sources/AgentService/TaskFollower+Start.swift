import AgentModel
import StrictJSON

/// Waits for the start of a guest, which PVE runs in a second task: the end of the first says nothing about it.
extension TaskFollower {
    /// Waits until the plan's guest runs, or the task that starts it has failed. `first` is the task that has ended.
    /// `nil` if the agent stopped meanwhile.
    func awaitRunning(after first: UPID, _ plan: Plan, at managed: ManagedEnvironment) async -> TaskEnd? {
        guard let guest = plan.request.target.guest else { return TaskEnd(exit: .ok, message: "OK") }
        let deadline = ContinuousClock.now + .seconds(limits.startSeconds)
        var backoff = Backoff(from: .milliseconds(200))
        var isKnown = false
        while true {
            do throws(HypervisorError) {
                if let task = try await managed.planning.startTask(of: guest, after: first) {
                    guard let end = await follow(task, at: managed),
                        let settled = await settle(end, task.type, plan, at: managed)
                    else { return nil }
                    guard settled.state != .succeeded else {
                        return try await managed.planning.isRunning(guest)
                            ? settled : TaskEnd(exit: .failed("\(guest) was started and does not run"))
                    }
                    return settled
                }
                if try await managed.planning.isRunning(guest) { return TaskEnd(exit: .ok, message: "OK") }
                isKnown = true
            } catch {
                isKnown = false
            }
            guard ContinuousClock.now < deadline else { break }
            guard await backoff.wait() else { return nil }
        }
        guard isKnown else { return TaskEnd(message: "PVE does not say whether \(guest) is running") }
        return TaskEnd(exit: .failed("\(guest) does not run \(limits.startSeconds) seconds later"))
    }
}

extension TaskEnd {
    init(exit: TaskExit) {
        self.exit = exit
        message = if case .failed(let text) = exit { text } else { "OK" }
    }
}
