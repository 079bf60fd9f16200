/// The counters of one family whose labels are known from the start: counting is one atomic addition.
package final class CounterTable: Sendable {
    package let family: MetricFamily
    private let lines: [[UInt8]]
    private let counters: AtomicCounters
    private let hidesZeros: Bool

    /// One counter for each row of label values. With `hidesZeros`, those that never counted are not shown.
    package init(_ family: MetricFamily, _ rows: [[String]], hidesZeros: Bool = false) {
        self.family = family
        lines = rows.map { family.line($0) }
        counters = AtomicCounters(rows.count)
        self.hidesZeros = hidesZeros
    }

    /// A family without labels.
    package convenience init(_ family: MetricFamily) { self.init(family, [[]]) }

    /// Counts in the row of that number.
    package func add(_ amount: Int = 1, at row: Int = 0) { counters.add(amount, at: row) }

    /// The value of the row of that number.
    package subscript(row: Int) -> Int { counters[row] }

    package func write(to text: inout Exposition) {
        let shown = lines.indices.map { (line: lines[$0], value: counters[$0]) }.filter { !hidesZeros || $0.value != 0 }
        guard !shown.isEmpty else { return }
        text.begin(family)
        for (line, value) in shown { text.add(line, value) }
    }
}
