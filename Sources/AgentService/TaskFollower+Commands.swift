import AgentModel
import StrictJSON

/// Follows commands that a guest agent runs.
extension TaskFollower {
    /// Polls the process of an operation's command until it has ended; `nil` if the agent stopped meanwhile.
    func followCommand(
        _ operation: inout Operation, _ plan: Plan, at managed: ManagedEnvironment
    ) async -> OperationState? {
        guard let call = plan.preview.calls.last, let pid = operation.data?["pid"]?.whole else {
            operation.message = "the guest agent does not say which process it has started"
            return .unknown
        }
        let deadline = ContinuousClock.now + .seconds(limits.commandSeconds)
        var backoff = Backoff(from: .milliseconds(200))
        var refusals = 0
        while true {
            do throws(HypervisorError) {
                let status = try await managed.planning.commandStatus(of: call, pid: pid)
                if status.hasExited {
                    return note(status, pid, &operation, Redaction(plan.preview.calls))
                }
                refusals = 0
            } catch {
                if case .refused(let upstream) = error, !upstream.isFromGateway { refusals += 1 }
            }
            guard ContinuousClock.now < deadline, refusals < 5 else { break }
            guard await backoff.wait() else { return nil }
        }
        operation.message =
            refusals > 0
            ? "the guest agent no longer reports what became of process \(pid)"
            : "process \(pid) still runs in the guest after \(limits.commandSeconds) seconds"
        return .unknown
    }

    /// Stores how a command ended and what it wrote. The output is data, whatever it says.
    private func note(
        _ status: CommandStatus, _ pid: Int64, _ operation: inout Operation, _ redaction: Redaction
    ) -> OperationState {
        let (out, isOutCut) = text(status.output, redaction)
        let (err, isErrCut) = text(status.errors, redaction)
        let (code, signal) = (status.exitCode, status.signal)
        let isSignalled = status.isSignalled
        operation.data = [
            "pid": .integer(pid), "exit_code": code.map { .integer($0) }, "signal": signal.map { .integer($0) },
            "output": [
                "kind": "data", "stdout": .string(out), "stderr": .string(err),
                "truncated": .bool(status.isCut || isOutCut || isErrCut),
            ],
        ]
        let last = operation.steps.count - 1
        guard code == 0, !isSignalled else {
            operation.code = Operation.commandFailed
            operation.message =
                isSignalled
                ? "the command was ended by \(signal.map { "signal \($0)" } ?? "a signal that cannot be understood")"
                : code.map { "the command ended with exit code \($0)" } ?? "the command ended without an exit code"
            operation.steps[last].state = .failed
            return .failed
        }
        operation.message = "the command ended with exit code 0"
        operation.steps[last].state = .done
        return .succeeded
    }

    private func text(_ text: String, _ redaction: Redaction) -> (String, isCut: Bool) {
        let whole = redaction(text)
        guard whole.utf8.count > limits.commandBytes else { return (whole, false) }
        return (String(decoding: whole.utf8.prefix(limits.commandBytes), as: UTF8.self), true)
    }
}
