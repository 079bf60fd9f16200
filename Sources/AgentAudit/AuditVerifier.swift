package import AgentModel
package import TransparencyLog

/// Checks a log from its bytes, in pieces of any size, in constant memory.
///
/// Pass the files in the order they were written, rotated ones first: ``begin(file:)``, ``feed(_:)`` for each piece,
/// and ``finish()`` at the end. The first flaw is thrown; do not use the verifier after that.
package struct AuditVerifier: Sendable {
    private let saved: AuditHead?
    /// A checkpoint whose tree the log must have.
    private let signed: TreeHead?
    private var tree: CompactRange?
    private var chain: AuditChain?
    private var first: (record: UInt64, time: Timestamp)?
    private var last: Timestamp?
    private var records: UInt64 = 0
    private var signatures: UInt64 = 0
    private var notes: [String] = []
    private var clockSteps: (count: Int, first: String)?
    /// The agent that the newest record names.
    private var agent: String?
    /// All names that the records have, in the order in which they appear.
    private var agents: [String] = []
    private var renamings: (count: Int, first: String)?

    private var file = ""
    private var line = 0
    /// The start of a line that is not complete yet.
    private var partial: [UInt8] = []

    /// - Parameters:
    ///   - saved: a head noted earlier, which the log must contain; this detects a cut tail.
    ///   - signed: the tree of a checkpoint, which the log must have.
    package init(saved: AuditHead? = nil, signed: TreeHead? = nil) {
        self.saved = saved
        self.signed = signed
    }

    /// Starts the next file.
    package mutating func begin(file name: String) throws(AuditFinding) {
        try endFile()
        file = name
        line = 0
    }

    /// Checks the lines that end within `bytes` and keeps the start of an incomplete one. `body` gets each record that
    /// is right, and its place.
    package mutating func feed(
        _ bytes: ArraySlice<UInt8>,
        _ body: (AuditRecord, AuditPlace) throws(AuditFinding) -> Void = { _, _ in }
    ) throws(AuditFinding) {
        var rest = bytes
        while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
            partial += rest[..<newline]
            rest = rest[(newline + 1)...]
            line += 1
            let record = try check(partial)
            try body(record, AuditPlace(file: file, line: line))
            partial.removeAll(keepingCapacity: true)
        }
        partial += rest
        guard partial.count <= AuditRecord.maximumLineLength else {
            line += 1
            throw finding("is longer than \(AuditRecord.maximumLineLength) bytes")
        }
    }

    /// The newest record that was checked; `nil` before the first.
    package var head: AuditHead? { chain?.head }

    /// The agent that it names; `nil` before the first record, and in the log of a lone agent.
    package var newestAgent: String? { agent }

    /// Where the chain begins: the record before the first.
    package private(set) var origin: AuditHead?

    /// Whether the last bytes are the start of a line. If the log is being written, the rest may follow.
    package var isWithinLine: Bool { !partial.isEmpty }

    /// Drops the start of a line that was never completed.
    package mutating func dropTorn() { partial = [] }

    /// Checks that the log ends where it should, and returns the summary.
    package mutating func finish() throws(AuditFinding) -> AuditSummary {
        try endFile()
        let head = chain?.head ?? .empty
        if let saved, saved.seq > head.seq {
            throw AuditFinding(
                file: file, line: line, reason: "ends at record \(head.seq), but the saved head is \(saved.seq): cut")
        }
        if let signed {
            guard signed.size <= head.seq else {
                let what = "ends at record \(head.seq), but the checkpoint is of \(signed.size) records: cut"
                throw AuditFinding(file: file, line: line, reason: what)
            }
            notes.append("the first \(signed.size) records are those of the checkpoint")
        }
        if let clockSteps {
            notes.append("the clock went back \(clockSteps.count) times, first at \(clockSteps.first)")
        }
        if let renamings {
            let count = renamings.count == 1 ? "once" : "\(renamings.count) times"
            notes.append("the agent was renamed \(count), first \(renamings.first)")
        }
        return AuditSummary(
            records: records, signatures: signatures, first: first?.record, from: first?.time, to: last, head: head,
            agents: agents, notes: notes)
    }

    private func finding(_ reason: String) -> AuditFinding { AuditFinding(file: file, line: line, reason: reason) }

    private mutating func endFile() throws(AuditFinding) {
        guard partial.isEmpty else {
            line += 1
            throw finding("has no newline at its end: torn or cut")
        }
        if !file.isEmpty, line == 0 { notes.append("\(file) is empty") }
    }

    private mutating func check(_ bytes: [UInt8]) throws(AuditFinding) -> AuditRecord {
        let record: AuditRecord
        do throws(AuditRecord.Flaw) {
            record = try AuditRecord(line: bytes)
        } catch {
            throw finding(error.words)
        }
        if chain == nil { try start(with: record) }
        do throws(AuditChain.Break) {
            try chain?.accept(record)
        } catch {
            throw finding(error.words(record))
        }
        if let saved, saved.seq == record.seq, saved.hash != record.hash {
            throw finding("is record \(record.seq), but not the one that the saved head names")
        }
        try checkTree(with: bytes, record.seq)
        if let last, record.time < last {
            clockSteps = (1 + (clockSteps?.count ?? 0), clockSteps?.first ?? "\(file):\(line)")
        }
        do throws(AuditSignatureFlaw) {
            if try record.checkSignature() { signatures += 1 }
        } catch {
            throw finding(error.words)
        }
        try noteAgent(of: record)
        last = record.time
        records += 1
        return record
    }

    /// A log belongs to one agent, which may get its name later, and another one.
    private mutating func noteAgent(of record: AuditRecord) throws(AuditFinding) {
        guard record.agent != agent else { return }
        if !agents.isEmpty {
            let first = "from \(agent ?? "no name") to \(record.agent ?? "no name") at \(file):\(line)"
            renamings = (1 + (renamings?.count ?? 0), renamings?.first ?? first)
        }
        agent = record.agent
        guard let agent, !agents.contains(agent) else { return }
        guard agents.count < Self.maximumNames else {
            throw finding("is of agent \(agent), after \(agents.count) others: that is not the log of one agent")
        }
        agents.append(agent)
    }

    /// How many names the agent of one log may have had.
    private static let maximumNames = 64

    /// Whether the log up to here has the tree that the checkpoint signs.
    private mutating func checkTree(with line: [UInt8], _ seq: UInt64) throws(AuditFinding) {
        guard let signed, seq <= signed.size else { return }
        tree?.append(.leaf(line))
        guard seq == signed.size, tree?.root != signed.root else { return }
        throw finding("ends a log of \(seq) records that is not the one of the checkpoint: records were replaced")
    }

    /// The first record defines where the chain begins.
    private mutating func start(with record: AuditRecord) throws(AuditFinding) {
        let before = AuditHead(seq: record.seq - 1, hash: record.prev)
        if let saved, saved.seq < before.seq {
            throw finding("is record \(record.seq), after the saved head \(saved.seq): give the older files too")
        }
        if let saved, saved.seq == before.seq, saved.hash != before.hash {
            throw finding("does not continue the saved head \(saved.seq)")
        }
        if before.seq == 0 {
            guard before == .empty else { throw finding("is record 1, but its 'prev' is not 64 zeros") }
        } else {
            notes.append("starts at record \(record.seq); what came before is not in these files")
        }
        tree = record.treeBefore
        if let signed, signed.size > 0 {
            guard signed.size > before.seq else {
                throw finding(
                    "is record \(record.seq), after the checkpoint of \(signed.size): give the older files too")
            }
            guard tree != nil else {
                throw finding("does not tell the tree of the records before it: give the older files too")
            }
        }
        chain = AuditChain(from: before)
        origin = before
        first = (record.seq, record.time)
    }
}

/// A line in a file.
package struct AuditPlace: Sendable, Hashable, CustomStringConvertible {
    package let file: String
    /// Counted from 1.
    package let line: Int

    package init(file: String, line: Int) {
        self.file = file
        self.line = line
    }

    package var description: String { "\(file):\(line)" }
}

/// The first flaw of a log, and where it is.
package struct AuditFinding: Error, Sendable, Hashable, CustomStringConvertible {
    package let file: String
    /// Counted from 1; 0 if the flaw is not in a line.
    package let line: Int
    package let reason: String

    package init(file: String, line: Int, reason: String) {
        self.file = file
        self.line = line
        self.reason = reason
    }

    /// `audit.log:17: was edited: …`
    package var description: String { line == 0 ? "\(file): \(reason)" : "\(file):\(line): \(reason)" }
}

/// The contents of a log without a flaw.
package struct AuditSummary: Sendable, Hashable, CustomStringConvertible {
    package let records: UInt64
    /// How many approvals and rejections are signed; each signature was checked again.
    package let signatures: UInt64
    /// Number of the first record; `nil` in an empty log.
    package let first: UInt64?
    package let from: Timestamp?
    package let to: Timestamp?
    package let head: AuditHead
    /// The names of the agent whose log it is, in the order in which it got them; none for a lone one.
    package let agents: [String]
    /// What is not a flaw, but worth knowing.
    package let notes: [String]

    /// `44 records, 2026-11-22T21:01:12Z – 21:16:53Z, chain whole, head 44:9c1e…`, with the head in full.
    package var description: String {
        guard let from, let to else { return "no records" }
        let (start, end) = (Self.seconds(from), Self.seconds(to))
        let sameDay = start.prefix(10) == end.prefix(10)
        let signed =
            signatures == 0 ? "" : "\(signatures) signature\(signatures == 1 ? "" : "s") good, "
        return "\(records) record\(records == 1 ? "" : "s"), \(start) – \(sameDay ? String(end.dropFirst(11)) : end), "
            + "chain whole, \(signed)head \(head)"
    }

    private static func seconds(_ time: Timestamp) -> String { time.description.prefix(19) + "Z" }
}

extension AuditRecord.Flaw {
    /// The flaw of the line, as text.
    package var words: String {
        switch self {
        case .malformed(let reason), .shape(let reason): reason
        case .hash: "was edited: its content does not fit its hash"
        }
    }
}

extension AuditChain.Break {
    /// Why `record` does not follow, as text.
    package func words(_ record: AuditRecord) -> String {
        switch self {
        case .gap(let expected): "is record \(record.seq) where \(expected) belongs: some are missing"
        case .order(let expected): "is record \(record.seq) where \(expected) belongs: out of order"
        case .prev: "does not continue record \(record.seq - 1): its 'prev' is another hash"
        }
    }
}
