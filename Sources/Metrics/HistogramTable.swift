/// The upper bounds of a histogram of times, with their texts.
package struct TimeBounds: Sendable, Hashable {
    /// In microseconds, ascending.
    let limits: [Int]
    /// In seconds, as label values: `0.005`, `1.0`, and `+Inf` as the last.
    let texts: [String]

    /// Reads bounds in seconds, as `0.005` or `1.0`.
    package init(_ texts: String...) {
        self.texts = texts + ["+Inf"]
        limits = texts.map { text in
            guard let seconds = Double(text) else { preconditionFailure("\(text) is no bound") }
            return Int((seconds * 1_000_000).rounded())
        }
    }

    /// The number of buckets, with the one for what is over all limits.
    var count: Int { texts.count }

    func bucket(of microseconds: Int) -> Int { limits.firstIndex { microseconds <= $0 } ?? limits.count }

    /// The lines of one histogram: its buckets, then the sum, then the count.
    func lines(_ family: MetricFamily, _ labels: [String]) -> [[UInt8]] {
        texts.map { family.line(suffix: "_bucket", labels, and: ("le", $0)) }
            + [family.line(suffix: "_sum", labels), family.line(suffix: "_count", labels)]
    }
}

extension Exposition {
    /// One histogram, by what each of its buckets counted alone. Buckets are shown with all below them.
    mutating func add(_ lines: [[UInt8]], buckets: [Int], microseconds sum: Int) {
        var total = 0
        for (line, count) in zip(lines, buckets) {
            total += count
            add(line, total)
        }
        add(lines[buckets.count], microseconds: sum)
        add(lines[buckets.count + 1], total)
    }
}

/// The histograms of one family whose labels are known from the start: two atomic additions for each time.
///
/// A histogram that has no time yet is not shown.
package final class HistogramTable: Sendable {
    package let family: MetricFamily
    private let bounds: TimeBounds
    private let lines: [[[UInt8]]]
    /// For each row its buckets, each with its own times only, and the sum of all times in microseconds.
    private let counters: AtomicCounters

    package init(_ family: MetricFamily, _ bounds: TimeBounds, _ rows: [[String]]) {
        self.family = family
        self.bounds = bounds
        lines = rows.map { bounds.lines(family, $0) }
        counters = AtomicCounters(rows.count * (bounds.count + 1))
    }

    /// A family without labels.
    package convenience init(_ family: MetricFamily, _ bounds: TimeBounds) { self.init(family, bounds, [[]]) }

    /// Counts a time in the row of that number.
    package func add(_ time: Duration, at row: Int = 0) {
        let microseconds = time.microseconds
        let start = row * (bounds.count + 1)
        counters.add(at: start + bounds.bucket(of: microseconds))
        counters.add(microseconds, at: start + bounds.count)
    }

    package func write(to text: inout Exposition) {
        var hasBegun = false
        for (row, lines) in lines.enumerated() {
            let start = row * (bounds.count + 1)
            let buckets = (0..<bounds.count).map { counters[start + $0] }
            guard buckets.contains(where: { $0 > 0 }) else { continue }
            if !hasBegun { text.begin(family) }
            hasBegun = true
            text.add(lines, buckets: buckets, microseconds: counters[start + bounds.count])
        }
    }
}

extension Duration {
    /// Whole microseconds, at least 0, and at most what fits.
    package var microseconds: Int {
        let (seconds, attoseconds) = components
        let (whole, overflows) = Int(clamping: seconds).multipliedReportingOverflow(by: 1_000_000)
        guard !overflows else { return seconds < 0 ? 0 : .max }
        return max(0, whole.addingReportingOverflow(Int(attoseconds / 1_000_000_000_000)).partialValue)
    }
}
