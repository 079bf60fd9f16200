internal import Glibc
package import SystemPackage

/// Files that only their owner may read or write.
package enum PrivateFile {
    /// Creates a file of mode 0600 with these bytes, durable except for its name; throws if it exists (`O_EXCL`).
    /// Leaves no file behind when it throws ``CreateFailure/write(_:)``.
    package static func create(_ path: String, _ bytes: [UInt8]) throws(CreateFailure) {
        let file: OpenFile
        do throws(Errno) { file = try OpenFile(path, .writeOnly, [.create, .exclusiveCreate, .noFollow]) } catch {
            throw .create(error)
        }
        do throws(Errno) {
            try file.write(bytes)
            try file.sync()
        } catch {
            unsafe unlink(path)
            throw .write(error)
        }
    }

    /// Which step of the creation of a file failed.
    package enum CreateFailure: Error {
        case create(Errno)
        case write(Errno)
    }

    /// Creates a directory, one level, if it does not exist (`mkdir`); private unless `permissions` says otherwise.
    package static func makeDirectory(
        _ path: String, permissions: FilePermissions = .ownerReadWriteExecute
    ) throws(Errno) {
        do throws(Errno) { _ = try retrying { unsafe Int(mkdir(path, permissions.rawValue)) } } catch {
            guard error == .fileExists else { throw error }
        }
    }

    /// Makes new and removed names in a directory durable.
    package static func syncDirectory(_ path: String) throws(Errno) {
        try OpenFile(path, .readOnly, .directory).sync()
    }

    /// The directory of `path`.
    package static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The attributes of `path` itself, even of a symbolic link (`lstat`); `nil` if it does not exist.
    package static func stat(_ path: String) throws(Errno) -> Stat? {
        do throws(Errno) { return try unsafe Stat(path, followTargetSymlink: false) } catch {
            guard error == .noSuchFileOrDirectory else { throw error }
            return nil
        }
    }

    /// Why the file at `path` is not a private file of this process's user, and what to do; `nil` if it is. With
    /// `rootMayRead`, root may use another user's file.
    package static func flaw(of stat: Stat, _ path: String, rootMayRead: Bool = false) -> String? {
        guard stat.type == .regular else { return "is not a regular file; name another one" }
        guard stat.isOwn || rootMayRead && geteuid() == 0 else {
            return "belongs to another user; run: chown \(geteuid()) \(path)"
        }
        guard stat.isClosedToOthers else { return "others may read or write it; run: chmod 600 \(path)" }
        return nil
    }
}

extension Stat {
    /// Whether it belongs to this process's user.
    package var isOwn: Bool { userID.rawValue == geteuid() }

    /// Whether only the owner may read, write or enter it.
    package var isClosedToOthers: Bool { permissions.rawValue & 0o077 == 0 }
}
