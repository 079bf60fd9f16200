internal import HTTPMessage

/// When a read is retried. Mutations never are.
package struct PVERetry: Sendable, Hashable {
    /// The number of tries, including the first.
    package var tries: Int
    /// The longest pause after the first try; it doubles with each further one.
    package var base: Duration
    /// The upper limit of the pause.
    package var cap: Duration

    package init(tries: Int = 3, base: Duration = .milliseconds(200), cap: Duration = .seconds(2)) {
        self.tries = max(1, tries)
        self.base = base
        self.cap = cap
    }

    /// Whether a retry may succeed: PVE was not reached, or a node in between gave up.
    package func isWorthwhile(after error: PVEError) -> Bool {
        switch error {
        case .refused(let refusal): [502, 503, 504, 595, 596].contains(refusal.status)
        case .transport(.unreachable), .transport(.timeout(sent: false)): true
        case .transport, .unauthenticated, .invalid: false
        }
    }
}
