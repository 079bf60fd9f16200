import Synchronization

/// What happened, in order.
final class Order: Sendable {
    private let notes = Mutex<[String]>([])

    func note(_ what: String) { notes.withLock { $0.append(what) } }
    var all: [String] { notes.withLock { $0 } }
}
