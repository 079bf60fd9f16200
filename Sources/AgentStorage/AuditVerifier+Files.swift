package import AgentAudit
internal import Glibc

extension AuditVerifier {
    /// Verifies the log that `paths` hold, rotated files first, in constant memory.
    ///
    /// `saved` is a head noted earlier, which the log must contain; so a cut tail shows. Throws the first flaw, with
    /// file and line; a file that cannot be read is one too.
    package static func verify(
        files paths: [String], saved: AuditHead? = nil, ignoringTorn: Bool = false
    ) throws(AuditFinding) -> AuditSummary {
        var verifier = AuditVerifier(saved: saved)
        for path in paths {
            try verifier.begin(file: path)
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw AuditFinding(unreadable: path) }
            defer { _ = close(descriptor) }
            try verifier.feedAll(of: descriptor, path)
        }
        if ignoringTorn { verifier.dropTorn() }
        return try verifier.finish()
    }

    private mutating func feedAll(of descriptor: Int32, _ path: String) throws(AuditFinding) {
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        var patience = 20
        while true {
            let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw AuditFinding(unreadable: path) }
            guard count > 0 else {
                // The agent may be writing this very line: then its end comes at once.
                guard isWithinLine, patience > 0 else { return }
                patience -= 1
                usleep(5000)
                continue
            }
            try feed(buffer[..<count])
        }
    }
}

extension AuditFinding {
    fileprivate init(unreadable path: String) {
        self.init(file: path, line: 0, reason: "cannot be read: \(String(cString: strerror(errno)))")
    }
}
