import AgentService
internal import Dispatch
internal import PostgreSQL
internal import Synchronization

/// Calls that share one connection and its thread. Each ends within seconds, also if many wait: one that has waited for
/// too long is refused, and if no connection is to be had, all that wait are.
final class LeaseCalls: Sendable {
    private struct Call {
        let run: (Session) -> Void
        let refuse: (StoreError) -> Void
        let deadline: ContinuousClock.Instant
    }

    private struct State {
        var calls: [Call] = []
        var isClosed = false
        var hasEnded = false
        var closers: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let bell = DispatchSemaphore(value: 0)
    private let place: PostgreSQLPlace
    private let library: Library

    init(_ place: PostgreSQLPlace, _ library: Library) {
        self.place = place
        self.library = library
    }

    func run<Value: Sendable>(
        _ work: @escaping @Sendable (Session) throws(PostgreSQLError) -> Value
    ) async throws(StoreError) -> Value {
        let result: Result<Value, StoreError> = await withCheckedContinuation { waiter in
            put { [place] session in
                do throws(PostgreSQLError) { waiter.resume(returning: .success(try work(session))) } catch {
                    waiter.resume(returning: .failure(StoreError(error, at: place.name)))
                }
            } refuse: {
                waiter.resume(returning: .failure($0))
            }
        }
        return try result.get()
    }

    private func put(_ run: @escaping @Sendable (Session) -> Void, refuse: @escaping @Sendable (StoreError) -> Void) {
        let isClosed = state.withLock { state in
            let deadline = ContinuousClock.now + PostgreSQLLock.patience
            if !state.isClosed { state.calls.append(Call(run: run, refuse: refuse, deadline: deadline)) }
            return state.isClosed
        }
        guard !isClosed else { return refuse(StoreError("state \(place.name): is closed; the agent is stopping")) }
        bell.signal()
    }

    /// Runs on the thread: the calls one by one, until this is closed and none waits. Connects for the first one, and
    /// again after an error that ended the connection.
    func serve() {
        var session: Session?
        while let call = next() {
            guard call.deadline > .now else {
                call.refuse(StoreError("state \(place.name): the server is too slow", isTemporary: true))
                continue
            }
            do throws(StoreError) {
                if session == nil { session = try connect() }
                if let open = session {
                    call.run(open)
                    if open.isLost { session = nil }
                }
            } catch {
                let others = state.withLock { state in
                    defer { state.calls = [] }
                    return state.calls.map(\.refuse)
                }
                for refuse in [call.refuse] + others { refuse(error) }
            }
        }
        session = nil
        let closers = state.withLock { state in
            state.hasEnded = true
            defer { state.closers = [] }
            return state.closers
        }
        for closer in closers { closer.resume() }
    }

    private func next() -> Call? {
        while true {
            let (call, isClosed): (Call?, Bool) = state.withLock { state in
                (state.calls.isEmpty ? nil : state.calls.removeFirst(), state.isClosed)
            }
            if call != nil || isClosed { return call }
            bell.wait()
        }
    }

    private func connect() throws(StoreError) -> Session {
        try place.naming { () throws(PostgreSQLError) in
            let session = try Session(library, place.settings(for: "leases"))
            let limit = PostgreSQLLock.patience.milliseconds
            try session.execute(
                """
                SET statement_timeout = \(limit); SET lock_timeout = \(limit);
                SET idle_in_transaction_session_timeout = \(limit); SET standard_conforming_strings = on
                """)
            try session.keepCommits()
            return session
        }
    }

    /// Takes no more calls.
    func close() {
        state.withLock { $0.isClosed = true }
        bell.signal()
    }

    /// Waits until the thread has ended, after ``close()``.
    func end() async {
        await withCheckedContinuation { waiter in
            let hasEnded = state.withLock { state in
                if !state.hasEnded { state.closers.append(waiter) }
                return state.hasEnded
            }
            if hasEnded { waiter.resume() }
        }
    }
}
