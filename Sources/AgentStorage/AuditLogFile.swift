internal import AgentAudit
internal import Glibc

/// The open log file: locked, appended to, watched for other hands. It owns its descriptor.
struct AuditLogFile: ~Copyable {
    let path: String
    private let descriptor: Int32
    /// Bytes of whole records: where the next one begins.
    private(set) var length: Int64
    /// What our own last write left in the inode.
    private var modified: timespec
    private var changed: timespec

    /// Why a record could not be written.
    struct Failure: Error {
        var error: AuditError
        /// Whether a later try may succeed without the file being opened anew.
        var heals: Bool
    }

    /// Opens or creates the file at `path` with mode 0600, its directory too (one level, 0700), and locks it.
    static func open(path: String) throws(AuditError) -> AuditLogFile {
        let directory = Self.directory(of: path)
        if mkdir(directory, 0o700) != 0, errno != EEXIST {
            throw .system("cannot create the directory \(directory)", path, cure: "create it for the agent's user")
        }
        // A rotation between opening and locking leaves us with the old file: then once more.
        for _ in 0..<5 {
            let descriptor = Glibc.open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
            guard descriptor >= 0 else {
                let cure =
                    errno == ELOOP ? "it is a symbolic link: name the file itself" : "let the agent's user write it"
                throw .system("cannot open", path, cure: cure)
            }
            let file = try AuditLogFile(path: path, owning: descriptor)
            if file.isAtItsPath {
                try file.syncDirectory()
                return file
            }
        }
        throw AuditError("audit log \(path): is renamed again and again; try again")
    }

    private init(path: String, owning descriptor: Int32) throws(AuditError) {
        self.path = path
        self.descriptor = descriptor
        var info = stat()
        let known = fstat(descriptor, &info) == 0
        length = Int64(info.st_size)
        modified = info.st_mtim
        changed = info.st_ctim
        guard known else { throw .system("cannot look at", path, cure: "see what kind of file it is") }
        guard info.st_mode & S_IFMT == S_IFREG else {
            throw AuditError("audit log \(path): is not a regular file; name another one")
        }
        guard info.st_uid == geteuid() else {
            throw AuditError("audit log \(path): belongs to another user; run: chown \(geteuid()) \(path)")
        }
        guard info.st_mode & 0o077 == 0 else {
            throw AuditError("audit log \(path): others may read or write it; run: chmod 600 \(path)")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw AuditError("audit log \(path): another process writes it; stop that one or name another file")
        }
    }

    deinit { _ = close(descriptor) }

    var identity: Identity? { Identity(of: descriptor) }

    /// Whether the path still names this file; after a rotation it does not.
    var isAtItsPath: Bool {
        var own = stat()
        var named = stat()
        return fstat(descriptor, &own) == 0 && lstat(path, &named) == 0
            && own.st_ino == named.st_ino && own.st_dev == named.st_dev
    }
}

// MARK: - Writing

extension AuditLogFile {
    /// Appends `bytes` whole or not at all: what a failed write left is cut off again.
    mutating func append(_ bytes: [UInt8]) throws(Failure) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                write(descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written)
            }
            if count > 0 {
                written += count
            } else if count == 0 || errno != EINTR {
                throw undo(AuditError.system("cannot write", path, cure: Self.cure(for: count == 0 ? EIO : errno)))
            }
        }
        length += Int64(bytes.count)
        noteOwnChange()
    }

    private mutating func undo(_ error: AuditError) -> Failure {
        guard ftruncate(descriptor, off_t(length)) == 0 else {
            return Failure(
                error: AuditError("\(error); what was written of it stays: mend it and send SIGHUP"), heals: false)
        }
        noteOwnChange()
        return Failure(error: error, heals: true)
    }

    private static func cure(for code: Int32) -> String {
        switch code {
        case ENOSPC: "free space on its file system"
        case EDQUOT: "raise the quota of the agent's user"
        case EFBIG: "rotate it or raise the file size limit (ulimit -f)"
        default: "look after its file system"
        }
    }

    /// Throws where its file system has no room for so many bytes (`posix_fallocate`, in a file that is gone at once). One
    /// where no file can be made beside the log is believed to have it.
    func checkRoom(for bytes: Int64) throws(AuditError) {
        let name = path + ".room"
        let scratch = Glibc.open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
        var code = scratch < 0 ? errno : EINTR
        if scratch >= 0 {
            unlink(name)
            while code == EINTR { code = posix_fallocate(scratch, 0, off_t(bytes)) }
            _ = close(scratch)
        }
        guard ![ENOSPC, EDQUOT, EFBIG].contains(code) else {
            errno = code
            throw .system("has no room", path, cure: Self.cure(for: code))
        }
    }

    /// Cuts off what follows `end`.
    mutating func truncate(to end: Int64) throws(AuditError) {
        guard ftruncate(descriptor, off_t(end)) == 0, fsync(descriptor) == 0 else {
            throw .system("cannot cut off its torn end", path, cure: "look after its file system")
        }
        length = end
        noteOwnChange()
    }

    /// The bytes of `range`, which must lie within the file.
    func read(_ range: Range<Int64>) throws(AuditError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(range.upperBound - range.lowerBound))
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                pread(
                    descriptor, buffer.baseAddress?.advanced(by: count), buffer.count - count,
                    off_t(range.lowerBound) + count)
            }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { throw .system("cannot read", path, cure: "look after its file system") }
            count += got
        }
        return bytes
    }

    /// Waits until all that was appended is on stable storage (`fdatasync`).
    func sync() throws(AuditError) {
        guard fdatasync(descriptor) == 0 else {
            throw .system("cannot sync", path, cure: "what is on the disk is unknown: mend the disk and send SIGHUP")
        }
    }

    private func syncDirectory() throws(AuditError) {
        let directory = Self.directory(of: path)
        let handle = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard handle >= 0 else {
            throw .system("cannot open the directory \(directory)", path, cure: "let the agent read it")
        }
        defer { _ = close(handle) }
        guard fsync(handle) == 0 else {
            throw .system("cannot sync the directory \(directory)", path, cure: "look after its file system")
        }
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

// MARK: - Watching

extension AuditLogFile {
    private mutating func noteOwnChange() {
        var info = stat()
        guard fstat(descriptor, &info) == 0 else { return }
        modified = info.st_mtim
        changed = info.st_ctim
    }

    /// Compares the inode with what our own last write left there.
    ///
    /// A rename changes neither size nor modification time and is fine. An edit whose author sets the modification
    /// time back is not noticed here, only by `audit verify`.
    mutating func checkUntouched() throws(AuditError) {
        var info = stat()
        guard fstat(descriptor, &info) == 0 else {
            throw .system("cannot look at", path, cure: "look after its file system and send SIGHUP")
        }
        guard info.st_nlink > 0 else { throw touched("was deleted") }
        guard info.st_size >= length else { throw touched("was cut from \(length) to \(info.st_size) bytes") }
        guard info.st_size == length else { throw touched("has grown from \(length) to \(info.st_size) bytes") }
        guard info.st_mtim == modified else { throw touched("was edited") }
        guard info.st_ctim != changed else { return }
        guard info.st_mode & 0o077 == 0 else { throw touched("was opened to others (chmod 600 closes it)") }
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
    /// What `errno` says now, with the file and what helps.
    static func system(_ what: String, _ path: String, cure: String) -> AuditError {
        AuditError("audit log \(path): \(what): \(String(cString: strerror(errno))); \(cure)")
    }
}
