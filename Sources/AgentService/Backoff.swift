/// The pauses between looks at what takes its time: each twice as long as the one before, up to a longest.
struct Backoff {
    private var next: Duration
    private let longest: Duration

    init(from first: Duration, to longest: Duration = .seconds(5)) {
        next = first
        self.longest = longest
    }

    /// Waits for the next pause; false when the task was cancelled.
    mutating func wait() async -> Bool {
        do { try await Task.sleep(for: next) } catch { return false }
        next = min(next * 2, longest)
        return true
    }
}
