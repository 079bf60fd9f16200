/// Pauses that double each time, up to a longest one.
package struct Backoff: Sendable {
    private var pause: Duration
    private let longest: Duration

    package init(from first: Duration, to longest: Duration = .seconds(5)) {
        pause = min(first, longest)
        self.longest = longest
    }

    /// The next pause.
    package mutating func next() -> Duration {
        defer { pause = min(pause * 2, longest) }
        return pause
    }

    /// Waits for the next pause; false if the task was cancelled.
    mutating func wait() async -> Bool {
        do { try await Task.sleep(for: next()) } catch { return false }
        return true
    }
}
