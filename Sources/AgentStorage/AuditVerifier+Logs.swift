package import AgentAudit
internal import SystemFile
internal import SystemPackage
package import TransparencyLog

extension AuditVerifier {
    /// A log that was verified.
    package struct VerifiedLog: Sendable {
        /// Its files, oldest first.
        package let files: [String]
        package let summary: AuditSummary
    }

    /// Verifies the log in `paths`, as ``verify(files:saved:signed:ignoringTorn:_:)`` does, and those in `others`, and
    /// checks what they tell of each other.
    ///
    /// Those in `others` are files of any number of logs, rotated ones of each before the newer ones. A file belongs to
    /// the log that it continues, or else to that of the agent which its first record names; one that begins with
    /// record 1 begins a log.
    package static func verify(
        files paths: [String], with others: [String], saved: AuditHead? = nil, signed: TreeHead? = nil
    ) throws(AuditFinding) -> (logs: [VerifiedLog], told: AuditCrossSummary) {
        var check = AuditCrossCheck()
        func collect(_ record: AuditRecord, _ place: AuditPlace) throws(AuditFinding) {
            try check.collect(record, at: place)
        }
        let own = try verify(files: paths, saved: saved, signed: signed, collect)
        var logs = [VerifiedLog(files: paths, summary: own)]
        var open: [(files: [String], verifier: AuditVerifier)] = []
        for path in others {
            let first = firstRecord(of: path)
            let index =
                open.lastIndex { $0.verifier.isContinued(by: first) }
                ?? open.lastIndex { $0.verifier.isNamed(in: first) }
            if index == nil { open.append(([], AuditVerifier())) }
            let place = index ?? open.count - 1
            open[place].files.append(path)
            try open[place].verifier.feed(file: path, collect)
        }
        for index in open.indices {
            logs.append(VerifiedLog(files: open[index].files, summary: try open[index].verifier.finish()))
        }
        check.sort()
        for log in logs where check.concerns(log.summary.agents) {
            check.begin(log.files.last ?? "", of: log.summary.agents)
            _ = try verify(files: log.files) { record, _ throws(AuditFinding) in check.meet(record) }
            check.end()
        }
        return (logs, try check.finish())
    }

    /// Whether the record is the next one.
    private func isContinued(by record: AuditRecord?) -> Bool {
        guard let record, let head else { return false }
        return head == AuditHead(seq: record.seq - 1, hash: record.prev)
    }

    /// Whether the record is a later one of the agent whose log ends here.
    private func isNamed(in record: AuditRecord?) -> Bool {
        guard let record, let agent = record.agent, record.seq > 1 else { return false }
        return agent == newestAgent
    }

    /// The record in the first line; `nil` if there is none.
    private static func firstRecord(of path: String) -> AuditRecord? {
        guard let file = try? OpenFile(path, .readOnly) else { return nil }
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        var line: [UInt8] = []
        while line.count <= AuditRecord.maximumLineLength, let count = try? file.read(into: &buffer), count > 0 {
            let piece = buffer[..<count]
            guard let end = piece.firstIndex(of: UInt8(ascii: "\n")) else {
                line += piece
                continue
            }
            return try? AuditRecord(line: line + piece[..<end])
        }
        return nil
    }
}
