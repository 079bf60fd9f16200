extension Exposition.Format {
    /// The format that an `Accept` header asks for. Without one, or with one that names neither, Prometheus' text.
    package init(accepting header: String?) {
        var quality = (open: 0, text: 0)
        for range in (header ?? "").split(separator: ",") {
            let parts = range.split(separator: ";").map(Self.trimmed)
            let parameters = parts.dropFirst().map { $0.split(separator: "=", maxSplits: 1).map(Self.trimmed) }
            func value(_ name: String) -> String? {
                parameters.first { $0.count == 2 && $0[0].lowercased() == name }?[1].filter { $0 != "\"" }
            }
            let weight = Self.weight(value("q"))
            switch parts.first?.lowercased() {
            case "application/openmetrics-text":
                // A later version may be read differently; 0.0.1 is an early name of 1.0.0.
                guard ["1.0.0", "0.0.1"].contains(value("version") ?? "1.0.0") else { continue }
                quality.open = max(quality.open, weight)
            case "text/plain": quality.text = max(quality.text, weight)
            default: continue
            }
        }
        self = quality.open > 0 && quality.open >= quality.text ? .openMetrics : .prometheus
    }

    /// A quality in thousandths: `0.75`, `1`; 0 if it is not well-formed.
    private static func weight(_ text: String?) -> Int {
        guard let text else { return 1000 }
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let fraction = parts.count == 2 ? parts[1] : ""
        guard parts[0] == "0" || parts[0] == "1", fraction.utf8.count <= 3,
            fraction.utf8.allSatisfy({ (0x30...0x39).contains($0) })
        else { return 0 }
        let digits = Int(fraction + String(repeating: "0", count: 3 - fraction.utf8.count)) ?? 0
        return parts[0] == "1" ? 1000 : digits
    }

    private static func trimmed(_ text: Substring) -> String {
        let start = text.drop { $0 == " " || $0 == "\t" }
        return String(start.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}
