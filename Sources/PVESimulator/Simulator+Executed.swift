import HTTPMessage
import HTTPTypes
import StrictJSON
import Synchronization

/// The door through which another process learns what was executed.
extension Simulator {
    /// Beside Proxmox VE's own paths, and open: whoever reaches a simulator may ask it. Faults do not strike here.
    static let executedPath = "/sim/executed"

    /// `GET /sim/executed`: the requests that changed something, oldest first, as `executed`, and in `counts` how many
    /// there were of each method and pattern. Only the newest 10,000 are shown; all are counted.
    func executedAnswer(to request: Request) -> Response {
        guard request.method == .get else {
            return Wire.failure(.server(501, "method '\(request.method.rawValue)' not available"))
        }
        let (executed, counts) = state.withLock { ($0.executed, $0.counts) }
        let numbers = counts.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { $0[$1.key] = JSON($1.value) }
        let answer: JSON = ["executed": .array(executed.map(\.json)), "counts": .object(numbers)]
        return Wire.success(answer.bytes)
    }
}

extension Execution {
    /// Parameters that are secrets, which are not shown.
    private static let secrets: Set<String> = ["password", "cipassword", "confirmation-password", "encryption-key"]

    fileprivate var json: JSON {
        var params = JSONObject()
        for (name, value) in parameters.sorted(by: { $0.key < $1.key }) {
            params[name] = .string(Self.secrets.contains(name) ? "**********" : value)
        }
        for (name, items) in lists.sorted(by: { $0.key < $1.key }) { params[name] = JSON(items) }
        let (seconds, attoseconds) = time.components
        return [
            "method": .string(method), "path": .string(path), "params": .object(params), "caller": .string(caller),
            "upid": upid.map { .string($0) }, "at": JSON(Double(seconds) + Double(attoseconds) / 1e18),
        ]
    }
}
