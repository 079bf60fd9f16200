/// Keeps what any client can provoke from filling the log: the same line is told once a minute, then with its number.
struct RepeatedLines {
    /// In nanoseconds.
    private static let pause: UInt64 = 60_000_000_000
    /// Different lines that are told apart.
    private static let maximum = 64

    private var known: [String: (since: UInt64, more: Int)] = [:]

    /// Whether `line` is to be told now; else it is counted.
    mutating func isNew(_ line: String, at now: UInt64) -> Bool {
        let line = known[line] != nil || known.count < Self.maximum ? line : "further lines"
        guard known[line] == nil else {
            known[line]?.more += 1
            return false
        }
        known[line] = (now, 0)
        return true
    }

    /// What is to be told of the lines that were told a minute ago or earlier and have come again.
    mutating func due(at now: UInt64) -> [String] {
        let old = known.filter { now >= $0.value.since + Self.pause }
        for (line, seen) in old { known[line] = seen.more > 0 ? (now, 0) : nil }
        return old.filter { $0.value.more > 0 }.map { "\($0.key) (\($0.value.more) times more)" }.sorted()
    }
}
