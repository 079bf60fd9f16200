package import AgentService
internal import Glibc

/// Where the state lives: the database and what stands beside it, under their real names, so that two paths to one
/// file are one place.
package struct StatePlace: Sendable, Hashable {
    /// The database, absolute and without symbolic links.
    package let database: String
    package let directory: String
    /// The installation's key: the database's name with the extension `.key`.
    package let key: String
    /// Held while a process uses the state.
    package var lock: String { database + ".lock" }
    /// What SQLite keeps beside the database while it is open, and after a crash.
    var companions: [String] { ["-wal", "-shm", "-journal"].map { database + $0 } }

    /// Finds the place that `path` names (`realpath`); the database itself need not be there. `create` makes its
    /// directory, one level, with mode 0700.
    package init(_ path: String, create: Bool = false) throws(StoreError) {
        let name = String(path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...])
        guard !["", ".", ".."].contains(name), !path.utf8.contains(0) else {
            throw StoreError("state \(path): is no file's name; name a file such as ./data/state.db")
        }
        if let real = Self.real(path) {
            database = real
        } else {
            guard errno == ENOENT else { throw .system("cannot find", path, cure: "let the agent's user reach it") }
            var info = stat()
            guard lstat(path, &info) != 0 else {
                throw StoreError("state \(path): is a symbolic link to nothing; remove it, or name the file itself")
            }
            let parent = path.count == name.count ? "." : String(path.dropLast(name.count))
            if create, mkdir(parent, 0o700) != 0, errno != EEXIST {
                throw .system("cannot create the directory \(parent)", path, cure: "create it for the agent's user")
            }
            guard let real = Self.real(parent) else {
                throw .system("cannot find the directory \(parent)", path, cure: "create it for the agent's user")
            }
            database = (real == "/" ? "" : real) + "/" + name
        }
        let slash = database.lastIndex(of: "/") ?? database.startIndex
        directory = slash == database.startIndex ? "/" : String(database[..<slash])
        let base = database.index(after: slash)
        let dot = database[base...].lastIndex(of: ".").flatMap { $0 == base ? nil : $0 }
        key = database[..<(dot ?? database.endIndex)] + ".key"
        guard key != database else {
            throw StoreError("state \(path): a name that ends in .key is the key's; name the state something.db")
        }
    }

    private static func real(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }
}

extension StatePlace {
    /// Who may look at a file of the state.
    enum Reader {
        /// The agent itself, whose own all files have to be.
        case agent
        /// A command for inspection; root may look at another user's.
        case inspector
    }

    /// The size of `path` in bytes, `nil` where there is no such file; throws where it is not a private file.
    static func size(_ path: String, for reader: Reader = .agent) throws(StoreError) -> Int? {
        var info = stat()
        // `lstat`, not an open descriptor: closing one would end SQLite's own locks in this process.
        guard lstat(path, &info) == 0 else {
            guard errno == ENOENT else { throw .system("cannot look at", path, cure: "let the agent's user reach it") }
            return nil
        }
        guard info.st_mode & S_IFMT == S_IFREG else {
            throw StoreError("state \(path): is not a regular file; name another one")
        }
        guard info.st_uid == geteuid() || reader == .inspector && geteuid() == 0 else {
            throw StoreError("state \(path): belongs to another user; run: chown \(geteuid()) \(path)")
        }
        guard info.st_mode & 0o077 == 0 else {
            throw StoreError("state \(path): others may read or write it; run: chmod 600 \(path)")
        }
        guard info.st_nlink == 1 else {
            throw StoreError("state \(path): has \(info.st_nlink) names (hard links); leave it only one")
        }
        return Int(info.st_size)
    }

    /// Whether something may be in the log that is not in the database yet.
    var hasLog: Bool {
        var info = stat()
        return companions.contains { lstat($0, &info) == 0 && info.st_size > 0 && !$0.hasSuffix("-shm") }
    }

    /// Whether the database ends within a page, which no log accounts for: SQLite reads zeros in place of what is gone.
    var isTorn: Bool {
        var info = stat()
        return lstat(database, &info) == 0 && info.st_size % 4096 != 0 && !hasLog
    }

    /// Throws where the agent could not write an existing file, or the directory.
    func checkWritable() throws(StoreError) {
        var info = stat()
        for path in [database] + companions where lstat(path, &info) == 0 {
            guard info.st_mode & S_IWUSR != 0, access(path, W_OK) == 0 else {
                throw StoreError("state \(path): is read-only; run: chmod 600 \(path), or mount its disk writable")
            }
        }
        guard access(directory, W_OK | X_OK) == 0 else {
            throw .system("cannot write to \(directory)", database, cure: "let the agent's user write the directory")
        }
    }

    /// Makes a new file of mode 0600 with these bytes, durably; one that is there is an error (`O_EXCL`).
    static func create(_ path: String, _ bytes: [UInt8] = []) throws(StoreError) {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .system("cannot create", path, cure: "let the agent's user write there") }
        defer { _ = close(descriptor) }
        guard write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0 else {
            let error = StoreError.system("cannot write", path, cure: "free space on its file system")
            unlink(path)
            throw error
        }
    }

    /// Makes new and removed names in the directory durable.
    func syncDirectory() throws(StoreError) {
        let handle = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { if handle >= 0 { _ = close(handle) } }
        guard handle >= 0, fsync(handle) == 0 else {
            throw .system("cannot sync the directory \(directory)", database, cure: "look after its file system")
        }
    }
}

extension StoreError {
    /// What `errno` says now, with the file and what helps.
    static func system(_ what: String, _ path: String, cure: String) -> StoreError {
        StoreError("state \(path): \(what): \(String(cString: strerror(errno))); \(cure)")
    }
}
