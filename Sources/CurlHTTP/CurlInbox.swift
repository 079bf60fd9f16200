internal import CCurl
internal import Glibc
internal import HTTPMessage
internal import Synchronization

/// Commands of other threads for the loop's thread.
enum CurlCommand: Sendable {
    /// Start `job` on the pool of this number, which is created if necessary.
    case start(CurlJob, pool: UInt64, CurlConfiguration)
    case cancel(job: UInt64, pool: UInt64)
    /// Abort what is only partly written, then call back.
    case finishWriting(pool: UInt64, @Sendable () -> Void)
    /// End all exchanges of a pool and its connections, then call back.
    case close(pool: UInt64, @Sendable () -> Void)
    /// End everything and the thread, then call back.
    case stop(@Sendable () -> Void)
}

/// The queue in front of the loop's thread, with an event descriptor that wakes it.
final class CurlInbox: Sendable {
    private struct State {
        var commands: [CurlCommand] = []
        var isClosed = false
    }

    /// An `eventfd` that is readable when commands wait.
    let wakeDescriptor: Int32
    private let state = Lock(State())
    private let lastNumber = Atomic<UInt64>(0)

    /// `nil` if the process cannot open more descriptors.
    init?() {
        wakeDescriptor = ccurl_eventfd()
        guard wakeDescriptor >= 0 else { return nil }
    }

    deinit { Glibc.close(wakeDescriptor) }

    /// A number that is unique in this inbox.
    func newNumber() -> UInt64 {
        lastNumber.add(1, ordering: .relaxed).newValue
    }

    /// Queues `command`; `false` if the thread takes no more.
    func put(_ command: CurlCommand) -> Bool {
        let count = state.withLock { state in
            guard !state.isClosed else { return 0 }
            state.commands.append(command)
            return state.commands.count
        }
        // Outside the lock, or the woken thread would wait for it.
        if count == 1 { wake() }
        return count > 0
    }

    /// Takes all commands.
    func take() -> [CurlCommand] {
        state.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
    }

    /// Takes the remaining commands and refuses all later ones.
    func close() -> [CurlCommand] {
        state.withLock { state in
            state.isClosed = true
            defer { state.commands = [] }
            return state.commands
        }
    }

    /// Makes the descriptor unreadable. Call it before `take`, so that every later command wakes the thread.
    func reset() {
        var count: UInt64 = 0
        _ = unsafe read(wakeDescriptor, &count, 8)
    }

    private func wake() {
        var count: UInt64 = 1
        _ = unsafe write(wakeDescriptor, &count, 8)
    }
}
