package import AgentModel
package import Logging

/// Writes one line for each answered request.
///
/// A separate port beside swift-log: at tens of thousands of requests a second, a dictionary of metadata for each would
/// cost more than the rest of a small answer.
package protocol AccessLog: Sendable {
    /// Writes the line. Called on the serving thread; must not block.
    func answered(_ entry: AccessEntry)
}

/// One answered request, as the access log shows it.
package struct AccessEntry: Sendable {
    package let method: String
    /// The path as it was sent, without the query.
    package let path: String
    package let status: Int
    /// Bytes of the answer's body.
    package let bytes: Int
    /// From the complete request to the answer, in microseconds.
    package let microseconds: Int
    /// The peer: `127.0.0.1:40112`, `[::1]:40112` or `unix`.
    package let peer: String
    package let requestID: String
    /// The trace that the request belongs to.
    package let trace: TraceContext
    /// The caller; `nil` if unknown.
    package let actor: String?
}

/// An access log through swift-log, level `info`.
package struct LoggedAccess: AccessLog {
    private let log: Logger

    package init(log: Logger) { self.log = log }

    package func answered(_ entry: AccessEntry) {
        var metadata: Logger.Metadata = [
            "method": "\(entry.method)", "path": "\(entry.path)", "status": "\(entry.status)",
            "bytes": "\(entry.bytes)", "us": "\(entry.microseconds)", "peer": "\(entry.peer)",
            "request_id": "\(entry.requestID)", "actor": "\(entry.actor ?? "-")", "trace_id": "\(entry.trace.traceID)",
        ]
        metadata["parent_id"] = entry.trace.parentID.map { "\($0)" }
        log.info("request", metadata: metadata)
    }
}
