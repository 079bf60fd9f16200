import HTTPMessage
import Synchronization

/// Keeps the last response while its source stays the same, to avoid encoding it again.
final class ResponseCache<Source: Hashable & Sendable>: Sendable {
    private let last = Mutex<(source: Source, response: Response)?>(nil)

    /// The response for `source`: the last one, or the result of `render`.
    func response(of source: Source, _ render: () -> Response) -> Response {
        if let last = last.withLock({ $0 }), last.source == source { return last.response }
        let response = render()
        last.withLock { $0 = (source, response) }
        return response
    }
}
