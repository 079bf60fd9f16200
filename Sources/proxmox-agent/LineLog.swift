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
        var second = 0
        var stamp = ""
        var flushing = false
    }

    private let state = Mutex(State())
    private let format: AgentConfig.LogFormat

    init(format: AgentConfig.LogFormat) { self.format = format }

    /// Writes what is pending.
    func flush() {
        let bytes = state.withLock { state in
            state.flushing = false
            defer { state.pending.removeAll(keepingCapacity: state.pending.count < 1 << 16) }
            return state.pending
        }
        if !bytes.isEmpty { write(String(decoding: bytes, as: UTF8.self), to: STDERR_FILENO) }
    }

    fileprivate func add(_ level: Logger.Level, _ message: String, _ metadata: [(String, String)]) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let schedule = state.withLock { state in
            if state.second != now.tv_sec || state.stamp.isEmpty {
                state.second = now.tv_sec
                state.stamp = String(Date(timeIntervalSince1970: Double(now.tv_sec)).formatted(.iso8601).dropLast())
            }
            let fraction = String(now.tv_nsec / 1_000_000 + 1000).dropFirst()
            append(&state.pending, "\(state.stamp).\(fraction)Z", level, message, metadata)
            defer { state.flushing = true }
            return !state.flushing
        }
        if level >= .warning {
            flush()
        } else if schedule {
            Task.detached {
                try? await Task.sleep(for: .milliseconds(100))
                self.flush()
            }
        }
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
