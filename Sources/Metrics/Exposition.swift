/// Metrics as text, for one scrape: the text format of Prometheus, or OpenMetrics.
package struct Exposition: Sendable {
    package enum Format: Sendable, Hashable, CaseIterable {
        /// Prometheus' text format 0.0.4.
        case prometheus
        /// OpenMetrics 1.0.
        case openMetrics

        package var contentType: String {
            switch self {
            case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
            case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }
    }

    package let format: Format
    package private(set) var bytes: [UInt8] = []

    package init(_ format: Format) {
        self.format = format
        bytes.reserveCapacity(64 << 10)
    }

    /// Begins a family; its samples follow. Each family is begun once.
    package mutating func begin(_ family: MetricFamily) {
        let isOpen = format == .openMetrics
        let name = isOpen ? family.name : family.sampleName
        let kind = family.kind == .info && !isOpen ? "gauge" : family.kind.rawValue
        bytes += "# HELP \(name) ".utf8
        bytes += Self.escaped(family.help, quotes: isOpen)
        bytes += "\n# TYPE \(name) \(kind)\n".utf8
        if isOpen, let unit = family.unit { bytes += "# UNIT \(name) \(unit)\n".utf8 }
    }

    /// One sample: the beginning of its line, and its value.
    mutating func add(_ line: [UInt8], _ value: Int) {
        bytes.append(contentsOf: line)
        append(value)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// One sample in seconds.
    mutating func add(_ line: [UInt8], microseconds value: Int) {
        bytes.append(contentsOf: line)
        append(microseconds: value)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// A family of one kind of sample, with the values of its labels for each. Samples without a value are left out.
    package mutating func write(_ family: MetricFamily, _ samples: [(labels: [String], value: Int?)]) {
        guard samples.contains(where: { $0.value != nil }) else { return }
        begin(family)
        for (labels, value) in samples {
            if let value { add(family.line(labels), value) }
        }
    }

    /// A family with one sample without labels, left out without a value.
    package mutating func write(_ family: MetricFamily, _ value: Int?) { write(family, [([], value)]) }

    /// The same for a time in microseconds, shown in seconds.
    package mutating func write(_ family: MetricFamily, microseconds value: Int?) {
        guard let value else { return }
        begin(family)
        add(family.line([]), microseconds: value)
    }

    /// Ends the text; the last call.
    package mutating func end() {
        if format == .openMetrics { bytes += "# EOF\n".utf8 }
    }

    private mutating func append(microseconds value: Int) {
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        let (seconds, rest) = value.magnitude.quotientAndRemainder(dividingBy: 1_000_000)
        append(magnitude: seconds)
        bytes.append(UInt8(ascii: "."))
        var divisor: UInt = 100_000
        while divisor > 0 {
            bytes.append(UInt8(ascii: "0") + UInt8(rest / divisor % 10))
            divisor /= 10
        }
    }

    private mutating func append(_ value: Int) {
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        append(magnitude: value.magnitude)
    }

    private mutating func append(magnitude value: UInt) {
        guard value >= 10 else { return bytes.append(UInt8(ascii: "0") + UInt8(value)) }
        append(magnitude: value / 10)
        bytes.append(UInt8(ascii: "0") + UInt8(value % 10))
    }

    /// A text with `\`, line feeds and quotation marks escaped.
    static func escaped(_ text: String, quotes: Bool = true) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): bytes += "\\\\".utf8
            case UInt8(ascii: "\n"): bytes += "\\n".utf8
            case UInt8(ascii: "\"") where quotes: bytes += "\\\"".utf8
            default: bytes.append(byte)
            }
        }
        return bytes
    }
}
