package import AgentAudit
internal import Glibc
internal import SystemFile
internal import SystemPackage
package import TransparencyLog

extension AuditVerifier {
    /// Verifies the log in `paths`, rotated files first, in constant memory.
    ///
    /// `saved` is a head noted earlier, which the log must contain; this detects a cut tail. `signed` is the tree of a
    /// checkpoint, which it must have. Throws the first flaw,
    /// with file and line. A file that cannot be read is a flaw too. `body` gets each record, and its place.
    package static func verify(
        files paths: [String], saved: AuditHead? = nil, signed: TreeHead? = nil, ignoringTorn: Bool = false,
        _ body: (AuditRecord, AuditPlace) throws(AuditFinding) -> Void = { _, _ in }
    ) throws(AuditFinding) -> AuditSummary {
        var verifier = AuditVerifier(saved: saved, signed: signed)
        for path in paths { try verifier.feed(file: path, body) }
        if ignoringTorn { verifier.dropTorn() }
        return try verifier.finish()
    }

    /// Checks the next file as a whole. `body` gets each record that is right, and its place.
    mutating func feed(
        file path: String, _ body: (AuditRecord, AuditPlace) throws(AuditFinding) -> Void
    ) throws(AuditFinding) {
        try begin(file: path)
        let file: OpenFile
        do throws(Errno) { file = try OpenFile(path, .readOnly) } catch {
            throw AuditFinding(unreadable: path, error)
        }
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        var patience = 20
        while true {
            let count: Int
            do throws(Errno) { count = try file.read(into: &buffer) } catch {
                throw AuditFinding(unreadable: path, error)
            }
            guard count > 0 else {
                // The agent may be writing this line: the rest follows at once then.
                guard isWithinLine, patience > 0 else { return }
                patience -= 1
                usleep(5000)
                continue
            }
            try feed(buffer[..<count], body)
        }
    }
}

extension AuditFinding {
    fileprivate init(unreadable path: String, _ error: Errno) {
        self.init(file: path, line: 0, reason: "cannot be read: \(error)")
    }
}
