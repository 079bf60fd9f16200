import Dispatch
import FoundationEssentials
import Glibc
import Logging
import StrictJSON
import Synchronization
import SystemThread

/// Collects log lines and has a thread of its own write them to standard error: whoever logs never waits.
///
/// When nobody reads standard error, lines are dropped once a mebibyte waits, and their number is told later.
final class LineLog: Sendable {
    private struct State {
        var pending: [UInt8] = []
        var dropped = 0
        var second = 0
        var stamp = ""
        var isWriting = false
    }

    private static let capacity = 1 << 20
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)
    private let format: AgentConfig.LogFormat

    /// Starts the writer, which lives as long as the process.
    init(format: AgentConfig.LogFormat) {
        self.format = format
        do throws(OwnThread.Unavailable) {
            try OwnThread.start { [self] in
                while true {
                    wake.wait()
                    writePending()
                }
            }
        } catch {
            complain("the log has no writer: \(error)")
        }
    }

    /// Waits until all is written, at most a second.
    func flush() async {
        for _ in 0..<100 {
            if state.withLock({ $0.pending.isEmpty && !$0.isWriting }) { return }
            wake.signal()
            try? await Task.sleep(for: .milliseconds(10))
        }
    }

    /// On the writer's thread alone.
    private func writePending() {
        let bytes = state.withLock { state in
            defer { state.pending = [] }
            state.isWriting = true
            if state.dropped > 0 {
                append(
                    &state.pending, state.stamp + "Z", .warning, "log lines dropped", [("count", "\(state.dropped)")])
                state.dropped = 0
            }
            return state.pending
        }
        write(bytes, to: STDERR_FILENO)
        state.withLock { $0.isWriting = false }
    }

    fileprivate func add(_ level: Logger.Level, _ message: String, _ metadata: [(String, String)]) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let isFirst = state.withLock { state in
            guard state.pending.count < Self.capacity else {
                state.dropped += 1
                return false
            }
            if state.second != now.tv_sec || state.stamp.isEmpty {
                state.second = now.tv_sec
                state.stamp = String(Date(timeIntervalSince1970: Double(now.tv_sec)).formatted(.iso8601).dropLast())
            }
            let isFirst = state.pending.isEmpty
            let fraction = String(now.tv_nsec / 1_000_000 + 1000).dropFirst()
            append(&state.pending, "\(state.stamp).\(fraction)Z", level, message, metadata)
            return isFirst
        }
        if isFirst { wake.signal() }
    }

    private func append(
        _ out: inout [UInt8], _ time: String, _ level: Logger.Level, _ message: String, _ metadata: [(String, String)]
    ) {
        switch format {
        case .json:
            out.append(contentsOf: "{\"ts\":\"\(time)\",\"level\":\"\(level)\",\"msg\":".utf8)
            JSON.writeString(message, to: &out)
            for (key, value) in metadata {
                out.append(UInt8(ascii: ","))
                JSON.writeString(key, to: &out)
                out.append(UInt8(ascii: ":"))
                JSON.writeString(value, to: &out)
            }
            out.append(contentsOf: "}\n".utf8)
        case .text:
            out.append(contentsOf: "\(time) \(level) \(quoted(message))".utf8)
            for (key, value) in metadata {
                out.append(contentsOf: " \(key)=".utf8)
                let plain = !value.isEmpty && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 < 0x7F }
                if plain { out.append(contentsOf: value.utf8) } else { JSON.writeString(quoted(value), to: &out) }
            }
            out.append(UInt8(ascii: "\n"))
        }
    }
}

/// swift-log's view of a ``LineLog``.
struct LineLogHandler: LogHandler {
    private let log: LineLog
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    init(_ log: LineLog, level: Logger.Level) {
        self.log = log
        logLevel = level
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
