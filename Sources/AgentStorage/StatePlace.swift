package import AgentService
internal import Glibc
internal import SystemFile
internal import SystemPackage

/// The location of the state: the database and the files beside it, under their real names, so that two paths to one
/// file are one place.
package struct StatePlace: Sendable, Hashable {
    /// The database, absolute and without symbolic links.
    package let database: String
    package let directory: String
    /// The installation's key: the database's name with the extension `.key`.
    package let key: String
    /// Locked while a process uses the state.
    package var lock: String { database + ".lock" }
    /// The files that SQLite keeps beside the database while it is open, and after a crash.
    var companions: [String] { ["-wal", "-shm", "-journal"].map { database + $0 } }

    /// Resolves `path` (`realpath`); the database itself need not exist. `create` makes its directory, one level, with
    /// mode 0700.
    package init(_ path: String, create: Bool = false) throws(StoreError) {
        let name = String(path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...])
        guard !["", ".", ".."].contains(name), !path.utf8.contains(0) else {
            throw StoreError("state \(path): is no file's name; name a file such as ./data/state.db")
        }
        if let real = Self.real(path) {
            database = real
        } else {
            let error = Errno(rawValue: errno)
            guard error == .noSuchFileOrDirectory else {
                throw .system("cannot find", path, error, cure: "let the agent's user reach it")
            }
            guard ((try? PrivateFile.stat(path)) ?? nil) == nil else {
                throw StoreError("state \(path): is a symbolic link to nothing; remove it, or name the file itself")
            }
            let parent = path.count == name.count ? "." : String(path.dropLast(name.count))
            let cure = "create it for the agent's user"
            do throws(Errno) { if create { try PrivateFile.makeDirectory(parent) } } catch {
                throw .system("cannot create the directory \(parent)", path, error, cure: cure)
            }
            guard let real = Self.real(parent) else {
                let error = Errno(rawValue: errno)
                throw .system("cannot find the directory \(parent)", path, error, cure: cure)
            }
            database = (real == "/" ? "" : real) + "/" + name
        }
        directory = PrivateFile.directory(of: database)
        let base = database.index(after: database.lastIndex(of: "/") ?? database.startIndex)
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
    /// Who reads a file of the state.
    enum Reader {
        /// The agent itself, which must own all files.
        case agent
        /// A command for inspection; root may read another user's.
        case inspector
    }

    /// The size of `path` in bytes, `nil` if it does not exist; throws if it is not a private file.
    static func size(_ path: String, for reader: Reader = .agent) throws(StoreError) -> Int? {
        let info: Stat?
        // `lstat`, without opening it: closing a descriptor would release SQLite's own locks in this process.
        do throws(Errno) { info = try PrivateFile.stat(path) } catch {
            throw .system("cannot look at", path, error, cure: "let the agent's user reach it")
        }
        guard let info else { return nil }
        if let flaw = PrivateFile.flaw(of: info, path, rootMayRead: reader == .inspector) {
            throw StoreError("state \(path): \(flaw)")
        }
        guard info.linkCount == 1 else {
            throw StoreError("state \(path): has \(info.linkCount) names (hard links); leave it only one")
        }
        return Int(info.size)
    }

    private static func present(_ path: String) -> Stat? { (try? PrivateFile.stat(path)) ?? nil }

    /// Whether the log may have changes that are not in the database yet.
    var hasLog: Bool {
        companions.contains { !$0.hasSuffix("-shm") && (Self.present($0)?.size ?? 0) > 0 }
    }

    /// Whether the database ends within a page and no log explains it. SQLite reads missing bytes as zeros.
    var isTorn: Bool {
        (Self.present(database)?.size ?? 0) % 4096 != 0 && !hasLog
    }

    /// Throws if the agent cannot write an existing file, or the directory.
    func checkWritable() throws(StoreError) {
        for path in [database] + companions {
            guard let info = Self.present(path) else { continue }
            guard info.permissions.contains(.ownerWrite), access(path, W_OK) == 0 else {
                throw StoreError("state \(path): is read-only; run: chmod 600 \(path), or mount its disk writable")
            }
        }
        guard access(directory, W_OK | X_OK) == 0 else {
            throw .system(
                "cannot write to \(directory)", database, Errno(rawValue: errno),
                cure: "let the agent's user write the directory")
        }
    }

    /// Creates a file of mode 0600 with these bytes, durably; throws if it exists (`O_EXCL`).
    static func create(_ path: String, _ bytes: [UInt8] = []) throws(StoreError) {
        do throws(PrivateFile.CreateFailure) { try PrivateFile.create(path, bytes) } catch {
            switch error {
            case .create(let error):
                throw .system("cannot create", path, error, cure: "let the agent's user write there")
            case .write(let error): throw .system("cannot write", path, error, cure: "free space on its file system")
            }
        }
    }

    /// Makes new and removed names in the directory durable.
    func syncDirectory() throws(StoreError) {
        do throws(Errno) { try PrivateFile.syncDirectory(directory) } catch {
            throw .system("cannot sync the directory \(directory)", database, error, cure: "look after its file system")
        }
    }
}

extension StoreError {
    /// What the system failed to do, with the file and what to do about it.
    static func system(_ what: String, _ path: String, _ error: Errno, cure: String) -> StoreError {
        StoreError("state \(path): \(what): \(error); \(cure)")
    }
}
