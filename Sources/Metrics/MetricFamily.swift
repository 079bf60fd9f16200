/// A metric: its name, what it is, and what it means. Its samples differ in the values of its labels.
package struct MetricFamily: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable {
        case counter, gauge, histogram
        /// Facts as label values, always 1.
        case info
    }

    /// The name without the suffix of its samples: `proxmox_agent_http_requests`.
    package let name: String
    package let kind: Kind
    /// The names of its labels, in the order in which their values are given.
    package let labels: [String]
    /// One sentence, without its full stop.
    package let help: String

    package init(_ name: String, _ kind: Kind, _ labels: [String] = [], _ help: String) {
        self.name = name
        self.kind = kind
        self.labels = labels
        self.help = help
    }

    /// The name in queries: `proxmox_agent_http_requests_total`.
    package var sampleName: String {
        switch kind {
        case .counter: name + "_total"
        case .info: name + "_info"
        case .gauge, .histogram: name
        }
    }

    /// The unit that the name ends with; `nil` if there is none.
    var unit: String? { ["seconds", "bytes"].first { name.hasSuffix("_" + $0) } }

    /// The beginning of one sample's line, up to the value: `name_total{route="/healthz"} `.
    func line(suffix: String? = nil, _ values: [String], and extra: (name: String, value: String)? = nil) -> [UInt8] {
        precondition(values.count == labels.count, "\(name) has \(labels.count) labels")
        var line = Array((suffix.map { name + $0 } ?? sampleName).utf8)
        let pairs = zip(labels, values).map { ($0, $1) } + (extra.map { [($0.name, $0.value)] } ?? [])
        for (index, pair) in pairs.enumerated() {
            line += (index == 0 ? "{" : ",").utf8
            line += "\(pair.0)=\"".utf8
            line += Exposition.escaped(pair.1)
            line.append(UInt8(ascii: "\""))
        }
        if !pairs.isEmpty { line.append(UInt8(ascii: "}")) }
        line.append(UInt8(ascii: " "))
        return line
    }
}
