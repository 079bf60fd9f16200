package import Logging

/// Takes a line for each request that was answered.
///
/// A port of its own beside swift-log: at tens of thousands of requests a second a dictionary of metadata for
/// each of them would cost more than all the rest of a small answer.
package protocol AccessLog: Sendable {
    /// Writes the line. Called on the thread that serves; must not block.
    func answered(_ entry: AccessEntry)
}

/// One answered request, as the access log tells it.
package struct AccessEntry: Sendable {
    package let method: String
    /// The path as it came, without the query.
    package let path: String
    package let status: Int
    /// Bytes of the answer's body.
    package let bytes: Int
    /// From the complete request to the answer, in microseconds.
    package let microseconds: Int
    /// Who connected: `127.0.0.1:40112`, `[::1]:40112` or `unix`.
    package let peer: String
    package let requestID: String
    /// Who asked; `nil` where that is not known.
    package let actor: String?
}

/// An access log through swift-log, level `info`.
package struct LoggedAccess: AccessLog {
    private let log: Logger

    package init(log: Logger) { self.log = log }

    package func answered(_ entry: AccessEntry) {
        log.info(
            "request",
            metadata: [
                "method": "\(entry.method)", "path": "\(entry.path)", "status": "\(entry.status)",
                "bytes": "\(entry.bytes)", "us": "\(entry.microseconds)", "peer": "\(entry.peer)",
                "request_id": "\(entry.requestID)", "actor": "\(entry.actor ?? "-")",
            ])
    }
}
