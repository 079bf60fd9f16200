/// Checks the heads that several logs tell of each other, in two passes over all of these logs.
///
/// In the first pass call ``collect(_:at:)`` for each record, then ``sort()``. In the second call ``begin(_:named:)`` for
/// each log, ``meet(_:)`` for each of its records, and ``end()``. ``finish()`` throws the first flaw. A log that is being
/// written in the meantime is no flaw: it has all that was told of it before the second pass began.
package struct AuditCrossCheck: Sendable {
    /// What became of a head that was told of a log.
    private enum Verdict: Hashable {
        /// No log was given of that agent.
        case unmet
        /// The log begins later.
        case older
        case cut(log: Int)
        case replaced(log: Int)
        case met

        /// Of several logs of one name that counts which says the best of the head.
        var rank: Int {
            switch self {
            case .unmet: 0
            case .cut, .replaced: 1
            case .older: 2
            case .met: 3
            }
        }
    }

    /// A head that a record tells. Small: there are hundreds of thousands of them in a year.
    private struct Told {
        let hash: SIMD4<UInt64>
        let seq: UInt64
        /// The place of the record that tells it: an index of `files`, and a line.
        let file: Int32
        let line: Int32
        var verdict = Verdict.unmet

        var isCut: Bool { if case .cut = verdict { true } else { false } }
        var isReplaced: Bool { if case .replaced = verdict { true } else { false } }
    }

    private struct Log {
        let name: String
        var head = AuditHead.empty
    }

    /// The heads that were told of one agent, and how many of them are judged by the log that is being read.
    private struct Pending {
        let agent: String
        var heads: [Told]
        var done = 0

        /// Judges those that come next and have a number up to this one.
        mutating func judge(upTo seq: UInt64, _ verdict: (Told) -> Verdict) {
            while done < heads.count, heads[done].seq <= seq {
                let new = verdict(heads[done])
                if new.rank > heads[done].verdict.rank { heads[done].verdict = new }
                done += 1
            }
        }
    }

    private var files: [String] = []
    /// By the names of the agents.
    private var told: [String: [Told]] = [:]
    private var logs: [Log] = []
    /// What is told of the log that is being read, by each of its names. Not in `told` meanwhile.
    private var pending: [Pending] = []
    private var hasBegun = false

    package init() {}

    // MARK: The first pass

    /// Remembers the heads that the record tells. Throws if one of them is none.
    package mutating func collect(_ record: AuditRecord, at place: AuditPlace) throws(AuditFinding) {
        let heads: [String: AuditHead]
        do throws(AuditHeadsFlaw) { heads = try record.event.heads() } catch {
            throw AuditFinding(file: place.file, line: place.line, reason: error.words)
        }
        for (agent, head) in heads where head.seq > 0 {
            if files.last != place.file { files.append(place.file) }
            told[agent, default: []].append(
                Told(
                    hash: Self.digest(head.hash), seq: head.seq, file: Int32(clamping: files.count - 1),
                    line: Int32(clamping: place.line)))
        }
    }

    /// Ends the first pass.
    package mutating func sort() {
        for agent in told.keys { told[agent]?.sort { $0.seq < $1.seq } }
    }

    /// Whether something is told of an agent with one of these names.
    package func concerns(_ agents: [String]) -> Bool { agents.contains { told[$0] != nil } }

    // MARK: The second pass

    /// Begins a log, which findings call `name`. `agents` are the names that its records have.
    package mutating func begin(_ name: String, of agents: [String]) {
        logs.append(Log(name: name))
        pending = agents.compactMap { agent in
            told.removeValue(forKey: agent).map { Pending(agent: agent, heads: $0) }
        }
        hasBegun = false
    }

    /// Compares the next record of that log with what is told of it.
    package mutating func meet(_ record: AuditRecord) {
        if !hasBegun {
            hasBegun = true
            let before = AuditHead(seq: record.seq - 1, hash: record.prev)
            if before.seq > 0 {
                for index in pending.indices { pending[index].judge(upTo: before.seq - 1) { _ in .older } }
                compare(before)
            }
        }
        compare(record.head)
        logs[logs.count - 1].head = record.head
    }

    private mutating func compare(_ head: AuditHead) {
        let log = logs.count - 1
        for index in pending.indices {
            pending[index].judge(upTo: head.seq) {
                $0.hash == Self.digest(head.hash) ? .met : .replaced(log: log)
            }
        }
    }

    /// Ends that log.
    package mutating func end() {
        let log = logs.count - 1
        for var rest in pending {
            rest.judge(upTo: .max) { _ in .cut(log: log) }
            told[rest.agent] = rest.heads
        }
        pending = []
    }

    /// Sums up. Throws if a log is not the one that another one tells of: of the records that were replaced names the
    /// first that is known, of those that were cut off the last.
    package func finish() throws(AuditFinding) -> AuditCrossSummary {
        var summary = AuditCrossSummary()
        for (agent, heads) in told.sorted(by: { $0.key < $1.key }) {
            if let flaw = heads.first(where: \.isReplaced) ?? heads.last(where: \.isCut) { throw finding(flaw, agent) }
            let counts = heads.reduce(into: [Int: Int]()) { $0[$1.verdict.rank, default: 0] += 1 }
            summary.checked += counts[Verdict.met.rank] ?? 0
            summary.older[agent] = counts[Verdict.older.rank]
            summary.missing[agent] = counts[Verdict.unmet.rank]
        }
        return summary
    }

    private func finding(_ told: Told, _ agent: String) -> AuditFinding {
        let head = "tells that agent \(agent) had record \(told.seq)"
        let reason =
            switch told.verdict {
            case .cut(let log): "\(head), but \(logs[log].name) ends at record \(logs[log].head.seq): cut"
            case .replaced(let log): "\(head), but \(logs[log].name) has another one in its place: replaced"
            case .unmet, .older, .met: head
            }
        return AuditFinding(file: files[Int(told.file)], line: Int(told.line), reason: reason)
    }

    /// The hash, which has 64 hexadecimal digits, in little space.
    private static func digest(_ hash: String) -> SIMD4<UInt64> {
        var words = SIMD4<UInt64>()
        for (index, digit) in hash.utf8.prefix(64).enumerated() {
            let value = digit >= UInt8(ascii: "a") ? digit - UInt8(ascii: "a") + 10 : digit - UInt8(ascii: "0")
            words[index / 16] = words[index / 16] << 4 | UInt64(value)
        }
        return words
    }
}

/// What logs without a contradiction tell of each other.
package struct AuditCrossSummary: Sendable, Hashable {
    /// How many heads were found in the logs of the agents that they are told of.
    package var checked = 0
    /// How many are of records before those that the logs have, by agent.
    package var older: [String: Int] = [:]
    /// How many are of agents of which no log was given, by agent.
    package var missing: [String: Int] = [:]

    package init() {}

    /// As lines for people: what was checked, and what was not.
    package var lines: [String] {
        let first = checked == 0 ? [] : ["\(Self.heads(checked)) that these logs tell of each other checked"]
        return first
            + older.sorted { $0.key < $1.key }.map {
                "\(Self.heads($1)) of \($0) not checked: of records before its files"
            }
            + missing.sorted { $0.key < $1.key }.map {
                "\(Self.heads($1)) of \($0) not checked: give its log by --with"
            }
    }

    private static func heads(_ count: Int) -> String { "\(count) head\(count == 1 ? "" : "s")" }
}
