/// Keeps clients from filling the log: repeats of a line are logged once a minute, with their number.
struct RepeatedLines {
    /// In nanoseconds.
    private static let pause: UInt64 = 60_000_000_000
    /// The number of different lines that are tracked.
    private static let maximum = 64

    private var known: [String: (since: UInt64, more: Int)] = [:]

    /// Whether `line` is to be logged now; else counts it.
    mutating func isNew(_ line: String, at now: UInt64) -> Bool {
        let line = known[line] != nil || known.count < Self.maximum ? line : "further lines"
        guard known[line] == nil else {
            known[line]?.more += 1
            return false
        }
        known[line] = (now, 0)
        return true
    }

    /// What to log about repeats of lines that were logged at least a minute ago.
    mutating func due(at now: UInt64) -> [String] {
        let old = known.filter { now >= $0.value.since + Self.pause }
        for (line, seen) in old { known[line] = seen.more > 0 ? (now, 0) : nil }
        return old.filter { $0.value.more > 0 }.map { "\($0.key) (\($0.value.more) times more)" }.sorted()
    }
}
