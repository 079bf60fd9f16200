internal import AgentAudit
internal import Glibc
internal import SystemFile
internal import SystemPackage

/// The open log file: locked, append-only, checked for changes by others. Owns its descriptor.
struct AuditLogFile: ~Copyable {
    let path: String
    private let file: OpenFile
    /// The size of all whole records, in bytes: the offset of the next one.
    private(set) var length: Int64
    /// The inode's times after our last write.
    private var modified: timespec
    private var changed: timespec

    /// Why a record could not be written.
    struct Failure: Error {
        var error: AuditError
        /// Whether a retry may succeed without reopening the file.
        var heals: Bool
    }

    /// Opens or creates the file at `path` with mode 0600, its directory too (one level, 0700), and locks it.
    static func open(path: String) throws(AuditError) -> AuditLogFile {
        let directory = PrivateFile.directory(of: path)
        do throws(Errno) { try PrivateFile.makeDirectory(directory) } catch {
            throw .system(
                "cannot create the directory \(directory)", path, error, cure: "create it for the agent's user")
        }
        // After a rotation between open and lock, this is the old file: try again.
        for _ in 0..<5 {
            let file = try AuditLogFile(opening: path)
            guard file.isAtItsPath else { continue }
            do throws(Errno) { try PrivateFile.syncDirectory(directory) } catch {
                let cure = error == .permissionDenied ? "let the agent read it" : "look after its file system"
                throw .system("cannot sync the directory \(directory)", path, error, cure: cure)
            }
            return file
        }
        throw AuditError("audit log \(path): is renamed again and again; try again")
    }

    private init(opening path: String) throws(AuditError) {
        let file: OpenFile
        do throws(Errno) { file = try OpenFile(path, .readWrite, [.append, .create, .noFollow, .nonBlocking]) } catch {
            let isLink = error == .tooManySymbolicLinkLevels
            let cure = isLink ? "it is a symbolic link: name the file itself" : "let the agent's user write it"
            throw .system("cannot open", path, error, cure: cure)
        }
        let info: Stat
        do throws(Errno) { info = try file.stat() } catch {
            throw .system("cannot look at", path, error, cure: "see what kind of file it is")
        }
        if let flaw = PrivateFile.flaw(of: info, path) { throw AuditError("audit log \(path): \(flaw)") }
        do throws(Errno) { try file.lock() } catch {
            throw AuditError("audit log \(path): another process writes it; stop that one or name another file")
        }
        self.path = path
        self.file = file
        (length, modified, changed) = (info.size, info.st_mtim, info.st_ctim)
    }

    var identity: Identity? { Identity(of: file) }

    /// Whether the path still names this file; false after a rotation.
    var isAtItsPath: Bool {
        guard let identity, let named = try? PrivateFile.stat(path) else { return false }
        return Identity(named) == identity
    }
}

// MARK: - Writing

extension AuditLogFile {
    /// Appends all of `bytes` or nothing: removes what a failed write left.
    mutating func append(_ bytes: [UInt8]) throws(Failure) {
        do throws(Errno) { try file.write(bytes) } catch {
            throw undo(AuditError.system("cannot write", path, error, cure: Self.cure(for: error)))
        }
        length += Int64(bytes.count)
        noteOwnChange()
    }

    private mutating func undo(_ error: AuditError) -> Failure {
        guard (try? file.truncate(to: length)) != nil else {
            return Failure(
                error: AuditError("\(error); what was written of it stays: mend it and send SIGHUP"), heals: false)
        }
        noteOwnChange()
        return Failure(error: error, heals: true)
    }

    private static func cure(for error: Errno) -> String {
        switch error {
        case .noSpace: "free space on its file system"
        case .diskQuotaExceeded: "raise the quota of the agent's user"
        case .fileTooLarge: "rotate it or raise the file size limit (ulimit -f)"
        default: "look after its file system"
        }
    }

    /// Throws if the file system has no room for `bytes` more (`posix_fallocate` on a file that is removed at once). If
    /// no file can be created beside the log, assumes that there is room.
    func checkRoom(for bytes: Int64) throws(AuditError) {
        let name = path + ".room"
        do throws(Errno) {
            let scratch = try OpenFile(name, .readWrite, [.create, .noFollow, .nonBlocking])
            unlink(name)
            try scratch.allocate(bytes)
        } catch {
            guard [.noSpace, .diskQuotaExceeded, .fileTooLarge].contains(error) else { return }
            throw .system("has no room", path, error, cure: Self.cure(for: error))
        }
    }

    /// Cuts off what follows `end`.
    mutating func truncate(to end: Int64) throws(AuditError) {
        do throws(Errno) {
            try file.truncate(to: end)
            try file.sync()
        } catch {
            throw .system("cannot cut off its torn end", path, error, cure: "look after its file system")
        }
        length = end
        noteOwnChange()
    }

    /// The bytes of `range`, which must be within the file.
    func read(_ range: Range<Int64>) throws(AuditError) -> [UInt8] {
        do throws(Errno) { return try file.read(range) } catch {
            throw .system("cannot read", path, error, cure: "look after its file system")
        }
    }

    /// Waits until all appended bytes are on stable storage (`fdatasync`).
    func sync() throws(AuditError) {
        do throws(Errno) { try file.syncData() } catch {
            throw .system(
                "cannot sync", path, error, cure: "what is on the disk is unknown: mend the disk and send SIGHUP")
        }
    }
}

// MARK: - Watching

extension AuditLogFile {
    private mutating func noteOwnChange() {
        guard let info = try? file.stat() else { return }
        (modified, changed) = (info.st_mtim, info.st_ctim)
    }

    /// Compares the inode with its state after our last write.
    ///
    /// A rename changes neither size nor modification time and is allowed. An edit that sets the modification time back
    /// is not noticed here, only by `audit verify`.
    mutating func checkUntouched() throws(AuditError) {
        let info: Stat
        do throws(Errno) { info = try file.stat() } catch {
            throw .system("cannot look at", path, error, cure: "look after its file system and send SIGHUP")
        }
        guard info.linkCount > 0 else { throw touched("was deleted") }
        guard info.size >= length else { throw touched("was cut from \(length) to \(info.size) bytes") }
        guard info.size == length else { throw touched("has grown from \(length) to \(info.size) bytes") }
        guard info.st_mtim == modified else { throw touched("was edited") }
        guard info.st_ctim != changed else { return }
        guard info.isClosedToOthers else { throw touched("was opened to others (chmod 600 closes it)") }
        changed = info.st_ctim
    }

    private func touched(_ what: String) -> AuditError {
        AuditError("audit log \(path): \(what) underneath the running agent; put it right, then send SIGHUP")
    }
}

extension timespec {
    fileprivate static func == (a: timespec, b: timespec) -> Bool { a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec }
    fileprivate static func != (a: timespec, b: timespec) -> Bool { !(a == b) }
}

extension AuditError {
    /// What the system failed to do, with the file and what to do about it.
    static func system(_ what: String, _ path: String, _ error: Errno, cure: String) -> AuditError {
        AuditError("audit log \(path): \(what): \(error); \(cure)")
    }
}
