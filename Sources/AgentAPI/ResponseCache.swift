import HTTPMessage
import Synchronization

/// Keeps the last answer for as long as what it shows stays the same, so that it is not written out each time.
final class ResponseCache<Source: Hashable & Sendable>: Sendable {
    private let last = Mutex<(source: Source, response: Response)?>(nil)

    /// The answer that shows `source`: the last one, or what `render` makes.
    func response(of source: Source, _ render: () -> Response) -> Response {
        if let last = last.withLock({ $0 }), last.source == source { return last.response }
        let response = render()
        last.withLock { $0 = (source, response) }
        return response
    }
}
