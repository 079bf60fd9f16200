/// A failure that a test injects.
package struct Fault: Sendable, Hashable {
    /// What happens to a request, or to the task it starts.
    package enum Effect: Sendable, Hashable {
        /// Answers as usual, after this time.
        case delay(Duration)
        /// Nothing is done, and the connection is reset.
        case reset
        /// Nothing is done; the answer has this status and reason, and no body.
        case status(Int, reason: String)
        /// Answers like a proxying node whose peer carries out the request only later: ``Simulator/carryOutLate()``.
        case late(Int, reason: String)
        /// Carries out the request, then sends half of the answer.
        case cutBody
        /// Carries out the request, then answers with text that is not JSON.
        case wrongJSON
        /// Carries out the request, then answers with a web page.
        case html
        /// Carries out the request, then closes the connection without an answer.
        case executeThenReset
        /// Nothing is done, and no answer comes until the request is cancelled.
        case hang
        /// The task started by the request never ends by itself.
        case neverEndingTask
        /// The task started by the request fails at its end, without its effect.
        case taskError(String)
        /// The task started by the request ends with this number of warnings.
        case taskWarnings(Int)
    }

    package var effect: Effect
    /// The method that it matches; `nil` for any.
    package var method: String?
    /// The prefix of the path below `/api2/json` that it matches: `/nodes/pve/qemu/100`.
    package var path: String
    /// The number of requests that it hits.
    package var count: Int

    package init(_ effect: Effect, method: String? = nil, path: String = "/", count: Int = 1) {
        self.effect = effect
        self.method = method
        self.path = path
        self.count = count
    }
}
