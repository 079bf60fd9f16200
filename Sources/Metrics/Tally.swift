import Synchronization

/// Counters or histograms of one family whose labels become known as they occur. For what happens rarely, with labels
/// that take few values.
package final class Tally: Sendable {
    private struct Row {
        var lines: [[UInt8]]
        var buckets: [Int]
        var microseconds = 0
    }

    package let family: MetricFamily
    /// The buckets of a histogram; `nil` for a counter.
    private let bounds: TimeBounds?
    private let rows = Mutex<[[String]: Row]>([:])
    private static let limit = 10_000

    package init(_ family: MetricFamily, _ bounds: TimeBounds? = nil) {
        precondition((family.kind == .histogram) == (bounds != nil), "\(family.name) is a \(family.kind)")
        self.family = family
        self.bounds = bounds
    }

    /// Counts once for these values of the labels; for a histogram, that time. Beyond ten thousand combinations, new
    /// ones are not counted.
    package func add(_ labels: [String], _ time: Duration = .zero) {
        rows.withLock { rows in
            var row = rows[labels]
            if row == nil, rows.count < Self.limit { row = newRow(labels) }
            guard var row else { return }
            row.buckets[bounds?.bucket(of: time.microseconds) ?? 0] += 1
            row.microseconds &+= time.microseconds
            rows[labels] = row
        }
    }

    private func newRow(_ labels: [String]) -> Row {
        Row(
            lines: bounds?.lines(family, labels) ?? [family.line(labels)],
            buckets: [Int](repeating: 0, count: bounds?.count ?? 1))
    }

    /// Writes all, sorted by their labels.
    package func write(to text: inout Exposition) {
        let rows = rows.withLock { $0 }
        guard !rows.isEmpty else { return }
        text.begin(family)
        for (_, row) in rows.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            if bounds == nil {
                text.add(row.lines[0], row.buckets[0])
            } else {
                text.add(row.lines, buckets: row.buckets, microseconds: row.microseconds)
            }
        }
    }
}
