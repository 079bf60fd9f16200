package import AgentModel
package import AgentService
import HTTPMessage
import StrictJSON
import Synchronization

/// The open event streams: all get what is new from one reading of the log, encoded once.
///
/// A stream that resumes reads the log by itself, until it has caught up with the others.
package actor EventStreams: EventFollower {
    private struct Listener {
        let stream: ResponseStream
        let filter: EventFilter
        /// Events up to this one it has had.
        let start: UInt64
        /// The session that it ends with; `nil` for the stream of a token.
        let session: ConsoleSession?
    }

    private let feed: EventFeed
    private var listeners: [Listener] = []
    /// The last record that all listeners know of. Never goes back.
    private var position: UInt64 = 0
    private var isLooking = false
    /// Raised when all streams have to end, also those that are catching up.
    private var generation = 0
    private nonisolated let isWatched = Atomic(false)
    /// A look at the log is due, and nobody else has to ask for one.
    private nonisolated let isDue = Atomic(false)
    /// Events without a record that are to be sent.
    private nonisolated let happenings = Mutex<[AgentEvent]>([])

    init(_ feed: EventFeed) {
        self.feed = feed
        feed.follow(by: self)
    }

    // MARK: Streams

    /// A stream of the events behind record `seq`, or of those that happen from now on.
    ///
    /// It ends with `session`, if there is one; `isOpen` tells whether that has not ended yet. Ask that yourself, once
    /// there is a stream of what happens from now on.
    ///
    /// - Throws: if the log no longer has those events, or cannot be read.
    func open(
        _ filter: EventFilter, after seq: UInt64?, of session: ConsoleSession? = nil,
        isOpen: @escaping @Sendable (ConsoleSession) async -> Bool = { _ in true }
    ) async throws(ServiceError) -> ResponseStream {
        let stream = ResponseStream()
        // Where others wait already, their place is that of the new one.
        let generation = generation
        guard let seq else {
            let newest = listeners.isEmpty ? try await feed.newest() : 0
            try check(generation)
            if listeners.isEmpty { position = max(position, newest) }
            stream.send(EventText.begin(at: position))
            join(Listener(stream: stream, filter: filter, start: position, session: session))
            return stream
        }
        let page = try await feed.page(after: seq, upTo: position)
        try check(generation)
        stream.send(EventText.begin(at: seq))
        Task { await catchUp(stream, filter, of: session, from: page, generation, isOpen) }
        return stream
    }

    /// Throws if rights have changed since: the stream's filter may be too wide.
    private func check(_ generation: Int) throws(ServiceError) {
        guard generation == self.generation else {
            throw ServiceError(.shuttingDown, "the rules have just changed; ask again")
        }
    }

    /// Sends what happened before, as fast as the client reads.
    private func catchUp(
        _ stream: ResponseStream, _ filter: EventFilter, of session: ConsoleSession?, from first: EventFeed.Page,
        _ generation: Int, _ isOpen: @Sendable (ConsoleSession) async -> Bool
    ) async {
        var page = first
        while generation == self.generation, !stream.isOver {
            for event in page.events where filter.matches(event) {
                guard await stream.room() else { return }
                stream.send(EventText.bytes(of: event))
            }
            // Behind the others it would lose what they have had.
            if page.isEnd, position <= page.last, generation == self.generation {
                if listeners.isEmpty { position = page.last }
                stream.send(EventText.mark(page.last))
                join(Listener(stream: stream, filter: filter, start: page.last, session: session))
                // Whoever ends the session from now on ends the stream.
                if let session, await !isOpen(session) { end(of: session.id) }
                return
            }
            if let session, await !isOpen(session) { break }
            let last = page.last
            do throws(ServiceError) { page = try await feed.page(after: last, upTo: position) } catch { break }
            // The others are ahead of all that there is: the state was put back to an earlier one.
            if page.isEnd, page.last == last, page.last < position { break }
        }
        // The client asks again, and learns why.
        stream.finish()
    }

    private func join(_ listener: Listener) {
        listeners.append(listener)
        isWatched.store(true, ordering: .sequentiallyConsistent)
        // What was settled since the log was read has woken nobody.
        recordsSettled()
    }

    /// Ends all streams: their callers' rights must be judged again.
    package func endAll() {
        generation += 1
        for listener in listeners { listener.stream.finish() }
        listeners = []
        isWatched.store(false, ordering: .sequentiallyConsistent)
    }

    /// The sessions that streams end with.
    var sessions: [ConsoleSession] { Array(Set(listeners.compactMap(\.session))) }

    /// Ends the streams of a session that has ended.
    package func end(of session: RecordID) {
        for listener in listeners where listener.session?.id == session { listener.stream.finish() }
        listeners.removeAll { $0.session?.id == session }
        if listeners.isEmpty { isWatched.store(false, ordering: .sequentiallyConsistent) }
    }

    /// Sends a sign of life on every stream, with the place to resume from, so that the place of a stream whose filter
    /// lets little through does not grow old.
    package func beat() {
        let common = EventText.mark(position)
        send { $0.start > position ? EventText.mark($0.start) : common }
    }

    // MARK: New events

    package nonisolated func recordsSettled() {
        guard isWatched.load(ordering: .sequentiallyConsistent),
            !isDue.exchange(true, ordering: .sequentiallyConsistent)
        else { return }
        Task { await look() }
    }

    package nonisolated func happened(_ event: AgentEvent) {
        guard isWatched.load(ordering: .sequentiallyConsistent) else { return }
        happenings.withLock { $0.append(event) }
        // Whichever of these tasks runs first takes all, in order.
        Task { await deliverHappenings() }
    }

    private func deliverHappenings() {
        deliver(
            happenings.withLock { events in
                defer { events = [] }
                return events
            })
    }

    /// Reads what is new in the log, one page after the other.
    private func look() async {
        // The one under way sees that another is due.
        guard !isLooking else { return }
        isLooking = true
        defer { isLooking = false }
        while isDue.exchange(false, ordering: .sequentiallyConsistent) {
            while !listeners.isEmpty {
                let page: EventFeed.Page
                do throws(ServiceError) { page = try await feed.page(after: position) } catch {
                    guard error.code == .storeUnavailable else { return endAll() }
                    // Nobody loses anything by waiting until the state is back.
                    Task {
                        _ = try? await Task.sleep(for: .seconds(1))
                        recordsSettled()
                    }
                    return
                }
                if page.last > position {
                    position = page.last
                    deliver(page.events)
                }
                if page.isEnd { break }
            }
        }
    }

    private func deliver(_ events: [AgentEvent]) {
        for event in events {
            var whole: [UInt8]?
            var hidden: [UInt8]?
            send { listener in
                if let id = event.id, id <= listener.start { return [] }
                guard listener.filter.matches(event) else { return [] }
                let hides = listener.filter.hidesText(of: event)
                let bytes = (hides ? hidden : whole) ?? EventText.bytes(of: hides ? event.withoutText : event)
                if hides { hidden = bytes } else { whole = bytes }
                return bytes
            }
        }
    }

    /// Sends what `part` makes, if it is not empty. Forgets streams that are over.
    private func send(_ part: (Listener) -> [UInt8]) {
        var isAnyOver = false
        for listener in listeners {
            let bytes = part(listener)
            if bytes.isEmpty ? listener.stream.isOver : !listener.stream.send(bytes) { isAnyOver = true }
        }
        guard isAnyOver else { return }
        listeners.removeAll { $0.stream.isOver }
        if listeners.isEmpty { isWatched.store(false, ordering: .sequentiallyConsistent) }
    }
}

/// Events as `text/event-stream` (WHATWG HTML, 9.2).
enum EventText {
    static func bytes(of event: AgentEvent) -> [UInt8] {
        let id = event.id.map { "id: \($0)\n" } ?? ""
        // JSON text has no line breaks.
        return Array("\(id)event: \(event.kind.rawValue)\ndata: \(Views.event(event).text)\n\n".utf8)
    }

    /// The beginning of a stream: when to come back, and from where if nothing comes.
    static func begin(at id: UInt64) -> [UInt8] { Array("retry: 2000\nid: \(id)\n\n".utf8) }

    /// A comment, and the place to resume from. Without data it is no event for the client.
    static func mark(_ id: UInt64) -> [UInt8] { Array(": \(id)\nid: \(id)\n\n".utf8) }
}
