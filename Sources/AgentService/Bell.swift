import Synchronization

/// Wakes the one task that waits for it, or keeps the next one from waiting.
final class Bell: Sendable {
    private struct State {
        var isRung = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func ring() {
        let waiter = state.withLock { state in
            if state.waiter == nil { state.isRung = true }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Waits until it is rung, at most so long, or until the task is cancelled.
    func wait(atMost limit: Duration) async {
        let timer = Task { if (try? await Task.sleep(for: limit)) != nil { ring() } }
        defer { timer.cancel() }
        await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                let isRung = state.withLock { state in
                    defer { state.isRung = false }
                    if !state.isRung { state.waiter = waiter }
                    return state.isRung
                }
                if isRung { waiter.resume() }
            }
        } onCancel: {
            ring()
        }
    }
}
