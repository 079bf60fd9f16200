import AgentAPI
import FoundationEssentials
import Glibc
import Logging
import StrictJSON
import Synchronization

/// Collects log lines and writes them to standard error: at once from `warning` on, else many at a time, at the
/// latest after a tenth of a second.
final class LineLog: Sendable {
    private struct State {
        var pending: [UInt8] = []
        /// The time that `stamp` stands for: milliseconds since 1970.
        var milliseconds = 0
        var stamp = ""
        /// The beginning of `stamp`, which is good for a second.
        var second = ""
        var flushing = false

        mutating func setTime(_ new: Int) {
            if new / 1000 != milliseconds / 1000 {
                let date = Date(timeIntervalSince1970: Double(new / 1000))
                second = "\(date.formatted(.iso8601).dropLast())."
            }
            milliseconds = new
            stamp = "\(second)\(String(new % 1000 + 1000).dropFirst())Z"
        }
    }

    private let state = Mutex(State())
    private let format: AgentConfig.LogFormat
    fileprivate let level: Logger.Level

    /// Lines below `level` are not written.
    init(format: AgentConfig.LogFormat, level: Logger.Level) {
        self.format = format
        self.level = level
    }

    /// Writes what is pending.
    func flush() {
        let bytes = state.withLock { state in
            state.flushing = false
            defer { state.pending.removeAll(keepingCapacity: state.pending.count < 1 << 16) }
            return state.pending
        }
        if !bytes.isEmpty { write(bytes, to: STDERR_FILENO) }
    }

    fileprivate func add(_ level: Logger.Level, _ message: String, _ metadata: [(String, String)]) {
        add(atOnce: level >= .warning) { [format] out, time in
            format.begin(time, level, message, &out)
            for (key, value) in metadata { format.add(key, value, &out) }
            format.end(&out)
        }
    }

    /// Adds one line; `write` appends it, given the time.
    private func add(atOnce: Bool = false, _ write: (inout [UInt8], _ time: String) -> Void) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let schedule = state.withLock { state in
            let milliseconds = now.tv_sec * 1000 + now.tv_nsec / 1_000_000
            if state.milliseconds != milliseconds { state.setTime(milliseconds) }
            write(&state.pending, state.stamp)
            defer { state.flushing = true }
            return !state.flushing
        }
        if atOnce {
            flush()
        } else if schedule {
            Task.detached {
                try? await Task.sleep(for: .milliseconds(100))
                self.flush()
            }
        }
    }
}

extension LineLog: AccessLog {
    /// Writes the line of one request, as level `info`, its keys in the same order as everywhere.
    func answered(_ entry: AccessEntry) {
        guard level <= .info else { return }
        add { [format] out, time in
            format.begin(time, .info, "request", &out)
            format.add("actor", entry.actor ?? "-", &out)
            format.add("bytes", entry.bytes, &out)
            format.add("method", entry.method, &out)
            format.add("path", entry.path, &out)
            format.add("peer", entry.peer, &out)
            format.add("request_id", entry.requestID, &out)
            format.add("status", entry.status, &out)
            format.add("us", entry.microseconds, &out)
            format.end(&out)
        }
    }
}

/// swift-log's view of a ``LineLog``.
struct LineLogHandler: LogHandler {
    private let log: LineLog
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    init(_ log: LineLog) {
        self.log = log
        logLevel = log.level
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        log.add(
            event.level, event.message.description, all.map { ($0.key, $0.value.description) }.sorted { $0.0 < $1.0 })
    }
}
