/// Something that goes wrong on demand.
package struct Fault: Sendable, Hashable {
    /// What happens to a request, or to the task it starts.
    package enum Effect: Sendable, Hashable {
        /// Answers as usual, after this time.
        case delay(Duration)
        /// Nothing is done, and the connection is reset.
        case reset
        /// Nothing is done; the answer has this status and reason, and no body.
        case status(Int, reason: String)
        /// The answer of a node in between, whose peer does what was asked later: ``Simulator/carryOutLate()``.
        case late(Int, reason: String)
        /// Does what was asked, then sends half of the answer.
        case cutBody
        /// Does what was asked, then answers with text that is no JSON.
        case wrongJSON
        /// Does what was asked, then answers with a web page.
        case html
        /// Does what was asked, then closes the connection without an answer.
        case executeThenReset
        /// Nothing is done, and no answer comes until the request is cancelled.
        case hang
        /// The task started by the request never ends by itself.
        case neverEndingTask
        /// The task started by the request fails at its end, without its effect.
        case taskError(String)
        /// The task started by the request ends with so many warnings.
        case taskWarnings(Int)
    }

    package var effect: Effect
    /// The method it waits for; `nil` for any.
    package var method: String?
    /// The beginning of the path below `/api2/json`: `/nodes/pve/qemu/100`.
    package var path: String
    /// How many requests it hits.
    package var count: Int

    package init(_ effect: Effect, method: String? = nil, path: String = "/", count: Int = 1) {
        self.effect = effect
        self.method = method
        self.path = path
        self.count = count
    }
}
