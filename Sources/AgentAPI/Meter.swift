import HTTPMessage
package import HTTPTypes

/// Counts requests, and shows all figures of the agent.
///
/// What is counted is called on the serving threads for each request; it must not block.
package protocol Meter: Sendable {
    /// A request begins; ``answered()`` ends it.
    func began()

    /// A request that began has its answer.
    func answered()

    /// An answer was made, whoever made it.
    func count(_ answer: CountedAnswer)

    /// A request was refused before a route was asked.
    func refused(_ reason: RefusalReason)

    /// A caller could not be authenticated; `isGuess` if it showed credentials.
    func unauthenticated(isGuess: Bool)

    /// All figures, in the best format of those that an `Accept` header names.
    func page(accepting: String?) async -> (contentType: String, body: [UInt8])
}

/// One answer, as far as it is counted.
package struct CountedAnswer: Sendable {
    /// The number of its route among ``Route/all`` and those of other faces; `nil` if none matched.
    package let route: Int?
    package let method: HTTPRequest.Method
    package let status: Int
    package let time: Duration
}

/// Why a request was refused before a route was asked.
package enum RefusalReason: String, Sendable, Hashable, CaseIterable {
    /// A caller's tokens for a policy of ``Throttle`` are used up.
    case requests, urgentRequests = "urgent_requests", storedBytes = "stored_bytes"
    /// Too many answers to failed authentications are delayed already.
    case authentications
    /// Those of ``Refusal``.
    case bodyTooLarge = "body_too_large", headTooLarge = "head_too_large", malformed, deadlineExceeded = "deadline"
    case overloaded, shareUsedUp = "share_used_up", clientLeft = "client_left", shuttingDown = "shutting_down"
}

/// Counts nothing.
package struct NoMeter: Meter {
    package init() {}
    package func began() {}
    package func answered() {}
    package func count(_ answer: CountedAnswer) {}
    package func refused(_ reason: RefusalReason) {}
    package func unauthenticated(isGuess: Bool) {}
    package func page(accepting: String?) async -> (contentType: String, body: [UInt8]) { ("text/plain", []) }
}

extension Throttle.Policy {
    var reason: RefusalReason {
        switch self {
        case .requests: .requests
        case .urgent: .urgentRequests
        case .storedBytes: .storedBytes
        }
    }
}

extension Refusal {
    var reason: RefusalReason {
        switch self {
        case .bodyTooLarge: .bodyTooLarge
        case .headTooLarge: .headTooLarge
        case .malformed: .malformed
        case .deadlineExceeded: .deadlineExceeded
        case .overloaded: .overloaded
        case .shareUsedUp: .shareUsedUp
        case .clientLeft: .clientLeft
        case .shuttingDown: .shuttingDown
        }
    }
}
