internal import Glibc
package import SystemPackage

/// An open file or directory, closed when it is released. Calls are repeated when a signal interrupts them.
package struct OpenFile: ~Copyable, Sendable {
    private let descriptor: FileDescriptor

    /// Opens `path` (`open`), not inherited by child programs. A file that it creates is private to its owner unless
    /// `permissions` says otherwise.
    package init(
        _ path: String, _ mode: FileDescriptor.AccessMode, _ options: FileDescriptor.OpenOptions = [],
        permissions: FilePermissions = .ownerReadWrite
    ) throws(Errno) {
        let flags = mode.rawValue | options.union(.closeOnExec).rawValue
        let number = try retrying { unsafe Int(Glibc.open(path, flags, permissions.rawValue)) }
        descriptor = FileDescriptor(rawValue: CInt(number))
    }

    deinit { _ = Glibc.close(descriptor.rawValue) }

    /// Its attributes (`fstat`).
    package func stat() throws(Errno) -> Stat { try Stat(descriptor) }

    /// Locks it against all other processes (`flock`), without waiting.
    package func lock() throws(Errno) {
        _ = try retrying { Int(flock(descriptor.rawValue, LOCK_EX | LOCK_NB)) }
    }

    // MARK: Reading

    /// Reads the next bytes into the front of `buffer` (`read`); 0 at the end.
    package func read(into buffer: inout [UInt8]) throws(Errno) -> Int {
        try descriptor.readNext(into: &buffer)
    }

    /// Reads at most `count` bytes from `offset` on into the front of `buffer` (`pread`); 0 at the end.
    package func read(into buffer: inout [UInt8], count: Int, at offset: Int64) throws(Errno) -> Int {
        let count = min(count, buffer.count)
        return try retrying {
            unsafe buffer.withUnsafeMutableBytes {
                unsafe pread(descriptor.rawValue, $0.baseAddress, count, off_t(offset))
            }
        }
    }

    /// The bytes of `range`, all of them; throws an input/output error if the file ends before.
    package func read(_ range: Range<Int64>) throws(Errno) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        var count = 0
        while count < bytes.count {
            let got = try retrying {
                unsafe bytes.withUnsafeMutableBytes {
                    let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: $0[count...])
                    return unsafe pread(
                        descriptor.rawValue, rest.baseAddress, rest.count, off_t(range.lowerBound) + count)
                }
            }
            guard got > 0 else { throw .ioError }
            count += got
        }
        return bytes
    }

    // MARK: Writing

    /// Writes all of `bytes` (`write`); if it throws, part of them may be written.
    package func write(_ bytes: [UInt8]) throws(Errno) { try descriptor.writeWhole(bytes) }

    /// Removes what follows `end` (`ftruncate`).
    package func truncate(to end: Int64) throws(Errno) {
        _ = try retrying { Int(ftruncate(descriptor.rawValue, off_t(end))) }
    }

    /// Throws if the file system has no room for `bytes` in this file (`posix_fallocate`).
    package func allocate(_ bytes: Int64) throws(Errno) {
        var code = EINTR
        while code == EINTR { code = posix_fallocate(descriptor.rawValue, 0, off_t(bytes)) }
        guard code == 0 else { throw Errno(rawValue: code) }
    }

    /// Sets its owner (`fchown`) and permissions (`fchmod`).
    package func set(owner: UserID? = nil, group: GroupID? = nil, permissions: FilePermissions) throws(Errno) {
        if let owner, let group {
            _ = try retrying { Int(fchown(descriptor.rawValue, owner.rawValue, group.rawValue)) }
        }
        _ = try retrying { Int(fchmod(descriptor.rawValue, permissions.rawValue)) }
    }

    /// Waits until the file is on stable storage (`fsync`).
    package func sync() throws(Errno) { _ = try retrying { Int(fsync(descriptor.rawValue)) } }

    /// Waits until the file's data is on stable storage (`fdatasync`).
    package func syncData() throws(Errno) { _ = try retrying { Int(fdatasync(descriptor.rawValue)) } }
}

extension FileDescriptor {
    /// Reads the next bytes into the front of `buffer` (`read`); 0 at the end.
    package func readNext(into buffer: inout [UInt8]) throws(Errno) -> Int {
        try retrying {
            unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(rawValue, $0.baseAddress, $0.count) }
        }
    }

    /// Writes all of `bytes` (`write`); if it throws, part of them may be written.
    package func writeWhole(_ bytes: [UInt8]) throws(Errno) {
        var count = 0
        while count < bytes.count {
            let written = try retrying {
                unsafe bytes.withUnsafeBytes {
                    let rest = unsafe UnsafeRawBufferPointer(rebasing: $0[count...])
                    return unsafe Glibc.write(rawValue, rest.baseAddress, rest.count)
                }
            }
            guard written > 0 else { throw .ioError }
            count += written
        }
    }
}

/// Repeats the call while signals interrupt it; throws `errno` if it returns -1.
func retrying(_ call: () -> Int) throws(Errno) -> Int {
    while true {
        let result = call()
        guard result < 0 else { return result }
        let error = Errno(rawValue: errno)
        guard error == .interrupted else { throw error }
    }
}
