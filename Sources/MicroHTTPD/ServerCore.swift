import Dispatch
import HTTPMessage
import Synchronization

/// The shared state of one server's threads. Lives as long as its daemon, even if its ``HTTPServer`` is released.
final class ServerCore: Sendable {
    enum Stage: Sendable { case serving, draining, stopped }

    private struct State {
        var stage = Stage.serving
        /// Exchanges whose connections are suspended, by number.
        var parked: [UInt64: Exchange] = [:]
        /// Exchanges whose responses are streams, by number.
        var streams: [UInt64: Exchange] = [:]
        var lastNumber: UInt64 = 0
        var expiryArmed = false
    }

    let options: HTTPServer.Options
    let handler: any HTTPHandler
    let connections: ConnectionRegistry
    let lingering = LingeringClose()
    /// The current credentials; `nil` without TLS.
    let credentials: Lock<TLSCredentials?>
    /// Runs deadlines on a separate thread, even if the thread pool is blocked.
    let clock = DispatchQueue(label: "http deadlines")
    private let state = Lock(State())
    /// Separate from `state`: libmicrohttpd may log while that is locked.
    private let last = Lock<String?>(nil)
    private let repeated = Lock(RepeatedLines())
    let shares: Shares
    private let watch = Lock<DisconnectWatch?>(nil)
    private let draining = Atomic(false)

    init(options: HTTPServer.Options, handler: any HTTPHandler) {
        self.options = options
        self.handler = handler
        credentials = Lock(options.tls)
        connections = ConnectionRegistry(options)
        shares = Shares(options)
    }

    /// Watches for clients that leave, until ``stop()``.
    func watchClients() {
        let new = DisconnectWatch(on: clock) { [weak self] in self?.clientsLeft($0) }
        watch.withLock { $0 = new }
    }

    /// Call it before a suspended connection is resumed.
    func unwatch(_ connection: Connection) { watch.withLock { $0?.remove(connection) } }

    private func clientsLeft(_ numbers: [UInt64]) {
        let (parked, streams) = state.withLock { state in
            (numbers.compactMap { state.parked[$0] }, numbers.compactMap { state.streams[$0] })
        }
        parked.forEach { $0.cut(.clientLeft) }
        streams.forEach { $0.endStream(atOnce: true) }
    }

    /// Why a complete request must not reach the handler now; `nil` if it may.
    var obstacle: Refusal? {
        draining.load(ordering: .relaxed) ? .shuttingDown : nil
    }

    var isDraining: Bool { draining.load(ordering: .relaxed) }

    /// Suspends and watches the connection of `exchange`, unless there is a response already or the server has stopped.
    ///
    /// Lock order: this one, then the exchange's. Holding both ensures that no connection is suspended once ``stop()``
    /// has gone through the list: `MHD_stop_daemon` aborts the process on a suspended one.
    func park(_ exchange: Exchange, suspend: (UInt64) -> Bool) -> Bool {
        state.withLock { state in
            let number = state.lastNumber + 1
            guard state.stage != .stopped, suspend(number) else { return false }
            state.lastNumber = number
            state.parked[number] = exchange
            if !state.expiryArmed {
                state.expiryArmed = true
                arm(after: options.exchangeDeadline)
            }
            return true
        }
    }

    func unpark(_ number: UInt64) { state.withLock { $0.parked[number] = nil } }

    /// Notes that the response to `exchange` is a stream, until ``forget(stream:)``; returns its number, or `nil` if no
    /// stream may begin any more.
    func add(stream exchange: Exchange) -> UInt64? {
        state.withLock { state in
            guard state.stage == .serving else { return nil }
            state.lastNumber += 1
            state.streams[state.lastNumber] = exchange
            return state.lastNumber
        }
    }

    func forget(stream number: UInt64) { state.withLock { $0.streams[number] = nil } }

    /// The number of streams.
    var streams: Int { state.withLock { $0.streams.count } }

    /// Only while the connection is suspended, or a stream is sent on it.
    func watch(_ connection: Connection, _ number: UInt64) { watch.withLock { $0?.add(connection, number) } }

    /// Refuses new requests from now on; running ones continue, but streams end. From then on no stream suspends its
    /// connection any more.
    func drain() {
        draining.store(true, ordering: .sequentiallyConsistent)
        let streams = state.withLock { state in
            if state.stage == .serving { state.stage = .draining }
            return Array(state.streams.values)
        }
        streams.forEach { $0.endStream(atOnce: false) }
    }

    /// Refuses all exchanges that still wait for their handlers, so that no connection is suspended any more.
    func stop() {
        let left = state.withLock { state in
            state.stage = .stopped
            return Array(state.parked.values)
        }
        left.forEach { $0.cut(.shuttingDown) }
        watch.withLock { $0 = nil }
    }

    /// Cuts off stalled connections, now and regularly until the server has stopped.
    func sweep() {
        guard state.withLock({ $0.stage != .stopped }) else { return }
        connections.cutStalled()
        connections.cutGone()
        for line in repeated.withLock({ $0.due(at: Connection.now) }) { options.log(line) }
        let shortest = min(options.transferTimeout, options.requestTimeout, options.sendTimeout)
        let pause = max(min(shortest / 8, .seconds(3)), .milliseconds(20))
        clock.asyncAfter(deadline: .now() + pause.interval) { [weak self] in self?.sweep() }
    }

    /// Passes a line on to the configured log, or counts it if it was logged shortly before.
    func note(_ line: String) {
        last.withLock { $0 = line }
        if repeated.withLock({ $0.isNew(line, at: Connection.now) }) { options.log(line) }
    }

    /// The last line of the log.
    var lastNote: String? { last.withLock { $0 } }

    /// Waits, even if cancelled, so that a shutdown completes.
    func pause(_ duration: Duration) async {
        await withCheckedContinuation { continuation in
            clock.asyncAfter(deadline: .now() + duration.interval) {
                continuation.resume()
            }
        }
    }

    /// Runs something that blocks for a moment on the clock's thread, not on the thread pool.
    func onClock(_ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            clock.async {
                body()
                continuation.resume()
            }
        }
    }

    private func arm(after delay: Duration) {
        clock.asyncAfter(deadline: .now() + delay.interval) { [weak self] in self?.expire() }
    }

    /// Cuts the exchanges that are past their deadline, and schedules itself for the next one.
    private func expire() {
        let now = ContinuousClock.now
        let late = state.withLock { state in
            let late = state.parked.values.filter { $0.deadline <= now }
            let next = state.parked.values.lazy.map(\.deadline).filter { $0 > now }.min()
            state.expiryArmed = next != nil
            if let next { arm(after: now.duration(to: next)) }
            return late
        }
        late.forEach { $0.cut(.deadlineExceeded) }
    }
}
