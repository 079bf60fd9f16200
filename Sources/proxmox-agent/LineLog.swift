import AgentAPI
import AgentModel
import Dispatch
import FoundationEssentials
import Glibc
import Logging
import StrictJSON
import Synchronization
import SystemPackage
import SystemThread

/// Collects log lines for a separate thread that writes them to standard error, so that logging never blocks.
///
/// Lines are written in batches, after at most a twentieth of a second. If standard error is not read, lines are
/// dropped once a mebibyte is pending, and their number is logged later.
final class LineLog: Sendable {
    private struct State {
        var pending: [UInt8] = []
        var dropped = 0
        /// The time of `stamp`: milliseconds since 1970.
        var milliseconds = 0
        var stamp = ""
        /// The beginning of `stamp`, valid for one second.
        var second = ""
        var isWriting = false

        mutating func setTime(_ new: Int) {
            if new / 1000 != milliseconds / 1000 {
                let date = Date(timeIntervalSince1970: Double(new / 1000))
                second = "\(date.formatted(.iso8601).dropLast())."
            }
            milliseconds = new
            stamp = "\(second)\(String(new % 1000 + 1000).dropFirst())Z"
        }
    }

    private static let capacity = 1 << 20
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)
    private let format: AgentConfig.LogFormat
    fileprivate let level: Logger.Level

    /// Starts the writer, which runs as long as the process. Lines below `level` are not written.
    init(format: AgentConfig.LogFormat, level: Logger.Level) {
        self.format = format
        self.level = level
        do throws(OwnThread.Unavailable) {
            try OwnThread.start { [self] in
                while true {
                    wake.wait()
                    usleep(50_000)
                    writePending()
                }
            }
        } catch {
            complain("the log has no writer: \(error)")
        }
    }

    /// Waits at most a second until all lines are written.
    func flush() async {
        for _ in 0..<100 {
            if state.withLock({ $0.pending.isEmpty && !$0.isWriting }) { return }
            try? await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Only on the writer's thread.
    private func writePending() {
        let bytes = state.withLock { state in
            defer { state.pending.removeAll(keepingCapacity: state.pending.count < 1 << 16) }
            state.isWriting = true
            if state.dropped > 0 {
                format.begin(state.stamp, .warning, "log lines dropped", &state.pending)
                format.add("count", state.dropped, &state.pending)
                format.end(&state.pending)
                state.dropped = 0
            }
            return state.pending
        }
        write(bytes, to: .standardError)
        state.withLock { $0.isWriting = false }
    }

    fileprivate func add(_ level: Logger.Level, _ message: String, _ metadata: [(String, String)]) {
        add { [format] out, time in
            format.begin(time, level, message, &out)
            for (key, value) in metadata { format.add(key, value, &out) }
            format.end(&out)
        }
    }

    /// Adds one line; `write` appends it and gets the time.
    private func add(_ write: (inout [UInt8], _ time: String) -> Void) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let isFirst = state.withLock { state in
            guard state.pending.count < Self.capacity else {
                state.dropped += 1
                return false
            }
            let milliseconds = now.tv_sec * 1000 + now.tv_nsec / 1_000_000
            if state.milliseconds != milliseconds { state.setTime(milliseconds) }
            let isFirst = state.pending.isEmpty
            write(&state.pending, state.stamp)
            return isFirst
        }
        if isFirst { wake.signal() }
    }
}

extension LineLog: AccessLog {
    /// Writes the line of one request at level `info`, with its keys in the fixed order.
    func answered(_ entry: AccessEntry) {
        guard level <= .info else { return }
        add { [format] out, time in
            format.begin(time, .info, "request", &out)
            format.add("actor", entry.actor ?? "-", &out)
            format.add("bytes", entry.bytes, &out)
            format.add("method", entry.method, &out)
            if let parent = entry.trace.parentID { format.add("parent_id", parent, &out) }
            format.add("path", entry.path, &out)
            format.add("peer", entry.peer, &out)
            format.add("request_id", entry.requestID, &out)
            format.add("status", entry.status, &out)
            format.add("trace_id", entry.trace.traceID, &out)
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
        var all = metadata.merging(event.metadata ?? [:]) { $1 }
        if let trace = TraceContext.current { all["trace_id"] = "\(trace.traceID)" }
        log.add(
            event.level, event.message.description, all.map { ($0.key, $0.value.description) }.sorted { $0.0 < $1.0 })
    }
}
