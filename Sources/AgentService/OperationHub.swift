import AgentModel
import Synchronization

/// Notifies waiters that an operation has changed.
final class OperationHub: Sendable {
    private struct State {
        var waiters: [RecordID: [UInt64: CheckedContinuation<Void, Never>]] = [:]
        var published: UInt64 = 0
        var lastTicket: UInt64 = 0
    }

    private let state = Mutex(State())

    /// The number of changes so far. Read it before looking at an operation, then wait with it.
    var version: UInt64 { state.withLock { $0.published } }

    /// Notes a change of `id` and wakes all who wait for it.
    func publish(_ id: RecordID) {
        let waiters = state.withLock { state in
            state.published += 1
            return state.waiters.removeValue(forKey: id) ?? [:]
        }
        for continuation in waiters.values { continuation.resume() }
    }

    /// Returns when `id` is published, after `limit`, or on cancellation; at once if anything was published after
    /// `version` was read. Look again, then wait again.
    func wait(for id: RecordID, after version: UInt64, atMost limit: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.wait(for: id, after: version) }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
    }

    private func wait(for id: RecordID, after version: UInt64) async {
        let ticket = state.withLock { state in
            state.lastTicket += 1
            return state.lastTicket
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let moved = state.withLock { state in
                    guard !Task.isCancelled, state.published == version else { return true }
                    state.waiters[id, default: [:]][ticket] = continuation
                    return false
                }
                if moved { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters[id]?.removeValue(forKey: ticket) }?.resume()
        }
    }
}
