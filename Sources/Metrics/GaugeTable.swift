/// The gauges of one family whose labels are known from the start, and whose values are read for each scrape.
package struct GaugeTable: Sendable {
    package let family: MetricFamily
    private let lines: [[UInt8]]

    package init(_ family: MetricFamily, _ rows: [[String]]) {
        self.family = family
        lines = rows.map { family.line($0) }
    }

    /// Writes one value for each row; those that are `nil` are left out.
    package func write(_ values: [Int?], to text: inout Exposition) {
        guard values.contains(where: { $0 != nil }) else { return }
        text.begin(family)
        for (line, value) in zip(lines, values) {
            if let value { text.add(line, value) }
        }
    }
}
