import AgentModel
import Logging
import Synchronization

/// Keeps every log line, to look at what got into it.
final class LogCapture: Sendable {
    private let kept = Mutex<[String]>([])

    var lines: [String] { kept.withLock { $0 } }
    var handler: any LogHandler { Handler(log: self) }

    private struct Handler: LogHandler {
        let log: LogCapture
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            var all = metadata.merging(event.metadata ?? [:]) { $1 }
            // As the agent's own does.
            if let trace = TraceContext.current { all["trace_id"] = "\(trace.traceID)" }
            let line = "\(event.level) \(event.message) \(all)"
            log.kept.withLock { $0.append(line) }
        }
    }
}
