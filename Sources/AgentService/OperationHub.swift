import AgentModel
import Synchronization

/// Tells whoever waits that an operation has moved on.
final class OperationHub: Sendable {
    private struct State {
        var waiters: [RecordID: [UInt64: CheckedContinuation<Void, Never>]] = [:]
        var published: UInt64 = 0
        var lastTicket: UInt64 = 0
    }

    private let state = Mutex(State())

    /// How much has been published so far; read it before looking at an operation, then wait with it.
    var version: UInt64 { state.withLock { $0.published } }

    /// Wakes all who wait for `id`.
    func publish(_ id: RecordID) {
        let waiters = state.withLock { state in
            state.published += 1
            return state.waiters.removeValue(forKey: id) ?? [:]
        }
        for continuation in waiters.values { continuation.resume() }
    }

    /// Returns when `id` is published, when `limit` has passed, on cancellation, or at once where anything was
    /// published after `version` was read: look again, then wait again.
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
