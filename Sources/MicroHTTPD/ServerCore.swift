import Dispatch
import HTTPMessage
import Synchronization

/// What the threads of one server share. Lives as long as its daemon, and longer than an ``HTTPServer`` let go.
final class ServerCore: Sendable {
    enum Stage: Sendable { case serving, draining, stopped }

    private struct State {
        var stage = Stage.serving
        /// Exchanges whose connections are suspended.
        var parked: [ObjectIdentifier: Exchange] = [:]
        var expiryArmed = false
    }

    let options: HTTPServer.Options
    let handler: any HTTPHandler
    let connections: ConnectionRegistry
    let lingering = LingeringClose()
    /// Those in force; `nil` without TLS.
    let credentials: Lock<TLSCredentials?>
    /// Deadlines run here, on a thread of their own even when the thread pool is blocked.
    let clock = DispatchQueue(label: "http deadlines")
    private let state = Lock(State())
    /// Apart from `state`: libmicrohttpd may log while that is held.
    private let last = Lock<String?>(nil)
    private let repeated = Lock(RepeatedLines())
    private let waiting = Atomic(0)
    /// Bytes of request bodies that are held now.
    private let bodyBytes = Atomic(0)
    private let draining = Atomic(false)

    init(options: HTTPServer.Options, handler: any HTTPHandler) {
        self.options = options
        self.handler = handler
        credentials = Lock(options.tls)
        connections = ConnectionRegistry(limit: options.maxConnections)
    }

    /// Why a complete request must not reach the handler now; `nil` when it may.
    var obstacle: Refusal? {
        if draining.load(ordering: .relaxed) { return .shuttingDown }
        return waiting.load(ordering: .relaxed) >= options.maxExchanges ? .overloaded : nil
    }

    /// Takes room for a piece of a body, which has to be returned in any case. False when there is none left.
    func takeMemory(_ count: Int) -> Bool {
        bodyBytes.add(count, ordering: .relaxed).newValue <= options.maxBufferedBytes
    }

    func returnMemory(_ count: Int) {
        if count > 0 { bodyBytes.subtract(count, ordering: .relaxed) }
    }

    var isDraining: Bool { draining.load(ordering: .relaxed) }

    /// Suspends the connection of `exchange` unless its answer is there by now or the server has stopped.
    ///
    /// Lock order: this one, then the exchange's. Holding both is what makes sure that no connection is suspended
    /// once ``stop()`` has gone through the list: `MHD_stop_daemon` aborts the process over a suspended one.
    func park(_ exchange: Exchange, suspend: (Exchange) -> Bool) -> Bool {
        state.withLock { state in
            guard state.stage != .stopped, suspend(exchange) else { return false }
            state.parked[ObjectIdentifier(exchange)] = exchange
            waiting.store(state.parked.count, ordering: .relaxed)
            if !state.expiryArmed {
                state.expiryArmed = true
                arm(after: options.exchangeDeadline)
            }
            return true
        }
    }

    func unpark(_ exchange: Exchange) {
        state.withLock { state in
            state.parked[ObjectIdentifier(exchange)] = nil
            waiting.store(state.parked.count, ordering: .relaxed)
        }
    }

    /// From now on new requests are refused; what runs goes on.
    func drain() {
        draining.store(true, ordering: .sequentiallyConsistent)
        state.withLock { if $0.stage == .serving { $0.stage = .draining } }
    }

    /// Refuses whatever is still waiting for its handler and makes sure that nothing is suspended any more.
    func stop() {
        let left = state.withLock { state in
            state.stage = .stopped
            return Array(state.parked.values)
        }
        left.forEach { $0.cut(.shuttingDown) }
    }

    /// Cuts off stalled connections, now and from time to time until the server has stopped.
    func sweep() {
        guard state.withLock({ $0.stage != .stopped }) else { return }
        connections.cutStalled(longerThan: options.transferTimeout)
        connections.cutGone()
        for line in repeated.withLock({ $0.due(at: Connection.now) }) { options.log(line) }
        let pause = max(min(options.transferTimeout / 8, .seconds(3)), .milliseconds(20))
        clock.asyncAfter(deadline: .now() + pause.interval) { [weak self] in self?.sweep() }
    }

    /// Passes a line on to the log that was handed in, or counts it where it has been there a short while ago.
    func note(_ line: String) {
        last.withLock { $0 = line }
        if repeated.withLock({ $0.isNew(line, at: Connection.now) }) { options.log(line) }
    }

    /// The last line of the log.
    var lastNote: String? { last.withLock { $0 } }

    /// Waits; cancellation does not cut it short, so that a shutdown runs its course.
    func pause(_ duration: Duration) async {
        await withCheckedContinuation { continuation in
            clock.asyncAfter(deadline: .now() + duration.interval) {
                continuation.resume()
            }
        }
    }

    /// Runs something that blocks for a moment on the clock's thread rather than on one of the pool's.
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

    /// Cuts the exchanges whose time is up, and comes back when the next one's is.
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
