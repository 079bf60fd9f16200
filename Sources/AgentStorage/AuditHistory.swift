internal import AgentAudit
internal import Glibc
internal import SystemFile
internal import SystemPackage
internal import SystemThread

/// The part of a log's file that existed when it was opened, to be verified while the agent serves.
struct AuditHistory {
    let path: String
    let identity: AuditLogFile.Identity
    /// The end of that part, and its last record.
    let end: Int64
    let head: AuditHead

    /// `nil` if there is nothing to verify.
    init?(of file: borrowing AuditLogFile, _ tail: AuditLogFile.Tail) {
        guard let head = tail.record?.head, let identity = file.identity else { return nil }
        (path, self.identity, end, self.head) = (file.path, identity, tail.end, head)
    }

    /// Verifies on a separate thread, a piece at a time and with pauses, so that it holds up nothing. Calls `found`
    /// with the first flaw. Without one, adds the verified heads to `anchors`.
    func verify(
        _ anchors: AuditAnchors, isWanted: @escaping @Sendable () -> Bool,
        found: @escaping @Sendable (AuditError) -> Void
    ) {
        let copy = self
        do throws(OwnThread.Unavailable) {
            try OwnThread.start {
                do throws(AuditFinding) { try copy.read(anchors, isWanted) } catch {
                    found(
                        AuditError(
                            "audit log \(error): changes stop; keep the file as evidence, move it aside, and send SIGHUP"
                        ))
                }
            }
        } catch {
            found(AuditError("audit log \(path): cannot be verified: \(error); restart the agent to try again"))
        }
    }

    private func read(_ anchors: AuditAnchors, _ isWanted: () -> Bool) throws(AuditFinding) {
        // The file was rotated meanwhile: `audit verify` checks rotated files.
        guard let file = try? OpenFile(path, .readOnly, .noFollow), AuditLogFile.Identity(of: file) == identity else {
            return
        }
        var verifier = AuditVerifier(saved: head)
        try verifier.begin(file: path)
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        var at: Int64 = 0
        var heads: [AuditHead] = []
        while at < end, isWanted() {
            let begin = ContinuousClock.now
            let count: Int
            do throws(Errno) {
                count = try file.read(into: &buffer, count: Int(end - at), at: at)
                guard count > 0 else { throw .ioError }
            } catch {
                throw AuditFinding(file: path, line: 0, reason: "cannot be read: \(error)")
            }
            at += Int64(count)
            try verifier.feed(buffer[..<count])
            if let origin = verifier.origin, heads.isEmpty { heads = [origin] }
            if let head = verifier.head { heads.append(head) }
            usleep(UInt32(clamping: Int((ContinuousClock.now - begin) / .microseconds(1))))
        }
        guard at >= end else { return }
        _ = try verifier.finish()
        anchors.add(heads)
        guard let origin = verifier.origin, origin.seq > 0 else { return }
        AuditTrail(path: path).learnAside(upTo: origin, anchors, isWanted: isWanted)
    }
}

extension AuditLogFile {
    /// The file's identity, whatever its name.
    struct Identity: Equatable, Sendable {
        private let device: DeviceID
        private let inode: Inode

        init(_ stat: Stat) { (device, inode) = (stat.deviceID, stat.inode) }

        init?(of file: borrowing OpenFile) {
            guard let stat = try? file.stat() else { return nil }
            self.init(stat)
        }
    }
}
