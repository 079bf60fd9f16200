import AgentService
internal import PostgreSQL

/// Listens to what other agents tell (`LISTEN`), on a thread and a connection of its own, which it makes anew when it is
/// lost. What was told meanwhile is lost, so it says to look at everything after each connection.
final class SignalListener: Sendable {
    private let place: PostgreSQLPlace
    private let library: Library
    private let writer: String
    private let waker: Waker
    private let signals: AsyncStream<StoreSignal>.Continuation
    /// If that many are not taken in time, they all become one to look at everything.
    private static let room = 1024

    private init(
        _ place: PostgreSQLPlace, _ library: Library, _ writer: String, _ waker: Waker,
        _ signals: AsyncStream<StoreSignal>.Continuation
    ) {
        self.place = place
        self.library = library
        self.writer = writer
        self.waker = waker
        self.signals = signals
    }

    /// Begins to listen, to all but the `writer`. Without a thread the stream has ended.
    static func make(
        _ place: PostgreSQLPlace, _ library: Library, ignoring writer: String
    ) -> (AsyncStream<StoreSignal>, SignalListener?) {
        let (stream, signals) = AsyncStream.makeStream(
            of: StoreSignal.self, bufferingPolicy: .bufferingNewest(Self.room))
        do {
            let waker = try Waker()
            let listener = SignalListener(place, library, writer, waker, signals)
            signals.onTermination = { _ in waker.wake() }
            try place.start { listener.serve() }
            return (stream, listener)
        } catch {
            signals.finish()
            return (stream, nil)
        }
    }

    func close() { waker.wake() }

    private func serve() {
        var pause = Duration.milliseconds(50)
        repeat {
            // Whatever it is, the next connection may do.
            try? listen { pause = .milliseconds(50) }
            pause = min(pause * 2, .seconds(5))
        } while waker.sleep(pause)
        signals.finish()
    }

    /// Returns once it is closed.
    private func listen(connected: () -> Void) throws(PostgreSQLError) {
        let session = try Session(library, place.settings(for: "signals"))
        guard case .text(let channel) = try session.value("SELECT \(SharedChanges.channel)") else { return }
        try session.execute("LISTEN \"\(channel)\"")
        connected()
        tell(.everything)
        while case let payloads = try session.notifications(or: waker), !payloads.isEmpty {
            for payload in payloads {
                for signal in SharedChanges.signals(payload, exceptBy: writer) { tell(signal) }
            }
        }
    }

    private func tell(_ signal: StoreSignal) {
        guard case .dropped(let lost) = signals.yield(signal) else { return }
        switch lost {
        case .spent, .progress: break
        case .operation, .freezes, .leases, .history, .everything: signals.yield(.everything)
        }
    }
}
