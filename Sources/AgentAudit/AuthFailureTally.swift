import AgentModel
package import FoundationEssentials
internal import StrictJSON

/// Counts failed authentications so that each source makes one record a minute, whatever the number of failures.
///
/// Memory is bounded: sources beyond the limit in a minute are counted together under `others`.
package struct AuthFailureTally: Sendable {
    private struct Entry {
        var count: Int
        var first: Timestamp
        var last: Timestamp
    }

    private let maximumSources: Int
    private var minute: Int64?
    private var entries: [String: Entry] = [:]
    private static let others = "others"

    /// - Parameter maximumSources: how many sources are counted separately in a minute.
    package init(maximumSources: Int = 256) { self.maximumSources = maximumSources }

    /// Counts one failure. Returns the events of the minute that has ended with it, if one has, and the number of
    /// earlier failures of the source in this minute.
    package mutating func count(source: String, at date: Date) -> (ended: [AuditEvent], earlier: Int) {
        let time = Timestamp(date)
        let ended = minute == time.minute ? [] : drain()
        minute = time.minute
        let key = entries[source] != nil || entries.count < maximumSources ? source : Self.others
        let earlier = entries[key]?.count ?? 0
        entries[key, default: Entry(count: 0, first: time, last: time)].count += 1
        entries[key]?.last = time
        return (ended, earlier)
    }

    /// Returns the events of a minute that has ended by `date`. Call it regularly, for times without new failures.
    package mutating func flush(at date: Date) -> [AuditEvent] {
        minute == Timestamp(date).minute ? [] : drain()
    }

    /// Returns the events of all counted failures, for the end of the process.
    package mutating func drain() -> [AuditEvent] {
        defer {
            entries = [:]
            minute = nil
        }
        return entries.sorted { $0.key < $1.key }.map { source, entry in
            AuditEvent(
                kind: .authFailures, actor: "unauthenticated", principal: "unauthenticated",
                result: [
                    "status": "denied", "source": .string(source), "count": JSON(entry.count),
                    "first_at": .string(entry.first.description), "last_at": .string(entry.last.description),
                ])
        }
    }
}
