/// The connection that sends a ``ResponseStream``, as the server provides it.
package protocol StreamConnection: AnyObject, Sendable {
    /// Reads the stream again. Called with the stream's lock held, once for each time that a read found nothing.
    func resume()

    /// Cuts the connection off, because its client reads too slowly.
    func cut()
}

/// A response body that is sent piece by piece while the connection stays open.
///
/// Holds at most `limit` bytes for a client that reads slowly; one that falls further behind is cut off. Parts may be
/// shared by many streams: they are not copied until they are sent.
package final class ResponseStream: Sendable {
    /// What the server finds when it reads.
    package enum Next: Sendable, Hashable {
        case bytes(Int)
        /// Nothing yet: the connection is resumed when there is more.
        case nothing
        /// All was sent, and no more will come.
        case end
        /// The rest is lost.
        case broken
    }

    private struct State {
        var connection: (any StreamConnection)?
        var parts: [[UInt8]] = []
        /// The part that is sent next, and how much of it was sent.
        var first = 0
        var offset = 0
        /// Bytes that are not sent yet.
        var pending = 0
        /// The connection found nothing, and has to be resumed.
        var isWaiting = false
        var isFinished = false
        var isClosed = false
        var room: CheckedContinuation<Void, Never>?

        mutating func wake() {
            guard isWaiting else { return }
            isWaiting = false
            connection?.resume()
        }

        /// Forgets what is not sent. Returns who waits for room.
        mutating func close() -> CheckedContinuation<Void, Never>? {
            isClosed = true
            wake()
            (connection, parts, pending) = (nil, [], 0)
            return room.take()
        }
    }

    private let limit: Int
    private let state = Lock(State())

    /// Holds at most `limit` bytes, or one part that is larger.
    package init(limit: Int = 64 << 10) { self.limit = limit }

    // MARK: For the producer

    /// Sends a part after all earlier ones. False if the stream is over, or is now because its client reads too slowly.
    @discardableResult
    package func send(_ part: [UInt8]) -> Bool {
        let (isTaken, slow, waiter) = state.withLock { state in
            guard !state.isFinished, !state.isClosed else {
                return (false, nil as (any StreamConnection)?, nil as CheckedContinuation<Void, Never>?)
            }
            guard state.pending == 0 || state.pending + part.count <= limit else {
                let slow = state.connection
                return (false, slow, state.close())
            }
            state.parts.append(part)
            state.pending += part.count
            state.wake()
            return (true, nil, nil)
        }
        slow?.cut()
        waiter?.resume()
        return isTaken
    }

    /// Waits until less than half of what the stream may hold is not sent yet. False if the stream is over. Only one
    /// task at a time may wait.
    package func room() async -> Bool {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state in
                guard !state.isFinished, !state.isClosed, state.pending > limit / 2 else { return true }
                state.room = continuation
                return false
            }
            if isReady { continuation.resume() }
        }
        return state.withLock { !$0.isFinished && !$0.isClosed }
    }

    /// Ends the body after what was sent.
    package func finish() {
        state.withLock { state in
            state.isFinished = true
            state.wake()
            return state.room.take()
        }?.resume()
    }

    /// Whether nothing that is sent from now on arrives.
    package var isOver: Bool { state.withLock { $0.isFinished || $0.isClosed } }

    // MARK: For the server

    /// Call it before the first ``read(into:waiting:)``.
    package func begin(on connection: any StreamConnection) {
        state.withLock { if !$0.isClosed { $0.connection = connection } }
    }

    /// Copies the next bytes. If there are none, calls `suspend` with the stream's lock held; the connection is resumed
    /// when there is more.
    package func read(into buffer: UnsafeMutableRawBufferPointer, waiting suspend: () -> Void) -> Next {
        let (next, waiter) = state.withLock { state in
            if state.isClosed { return (Next.broken, nil as CheckedContinuation<Void, Never>?) }
            guard state.pending > 0 else {
                if state.isFinished { return (.end, nil) }
                suspend()
                state.isWaiting = true
                return (.nothing, nil)
            }
            let count = unsafe Self.copy(from: &state, to: buffer)
            return (.bytes(count), state.pending <= limit / 2 ? state.room.take() : nil)
        }
        waiter?.resume()
        return next
    }

    /// The client left, or the server is done with the response.
    package func close() { state.withLock { $0.close() }?.resume() }

    private static func copy(from state: inout State, to buffer: UnsafeMutableRawBufferPointer) -> Int {
        var copied = 0
        while state.first < state.parts.count, copied < buffer.count {
            let part = state.parts[state.first]
            let count = min(part.count - state.offset, buffer.count - copied)
            unsafe part.withUnsafeBytes { source in
                unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[copied...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: source[state.offset..<state.offset + count]))
            }
            copied += count
            state.offset += count
            if state.offset == part.count { (state.first, state.offset) = (state.first + 1, 0) }
        }
        state.pending -= copied
        if state.first == state.parts.count {
            (state.parts, state.first) = ([], 0)
        } else if state.first > 64 {
            state.parts.removeFirst(state.first)
            state.first = 0
        }
        return copied
    }
}
