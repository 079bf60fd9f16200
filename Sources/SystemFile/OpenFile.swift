internal import Glibc
package import SystemPackage

/// An open file or directory, closed when it goes. A call that a signal interrupts is made again.
package struct OpenFile: ~Copyable, Sendable {
    private let descriptor: FileDescriptor

    /// Opens `path` (`open`), never for programs that this one starts; a file that it makes is its owner's alone unless
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

    /// What is known of it (`fstat`).
    package func stat() throws(Errno) -> Stat { try Stat(descriptor) }

    /// Locks it against every other process (`flock`), without waiting.
    package func lock() throws(Errno) {
        _ = try retrying { Int(flock(descriptor.rawValue, LOCK_EX | LOCK_NB)) }
    }

    // MARK: Reading

    /// Reads what comes next into the front of `buffer` (`read`); 0 at the end.
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

    /// The bytes of `range`, all of them; a file that ends before is an input/output error.
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

    /// Writes all of `bytes` (`write`); part of them may be written where it throws.
    package func write(_ bytes: [UInt8]) throws(Errno) { try descriptor.writeWhole(bytes) }

    /// Cuts off what follows `end` (`ftruncate`).
    package func truncate(to end: Int64) throws(Errno) {
        _ = try retrying { Int(ftruncate(descriptor.rawValue, off_t(end))) }
    }

    /// Throws where the file system has no room for so many bytes in this file (`posix_fallocate`).
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

    /// Waits until what was written is on stable storage (`fsync`).
    package func sync() throws(Errno) { _ = try retrying { Int(fsync(descriptor.rawValue)) } }

    /// Waits until the bytes that were written are on stable storage (`fdatasync`).
    package func syncData() throws(Errno) { _ = try retrying { Int(fdatasync(descriptor.rawValue)) } }
}

extension FileDescriptor {
    /// Reads what comes next into the front of `buffer` (`read`); 0 at the end.
    package func readNext(into buffer: inout [UInt8]) throws(Errno) -> Int {
        try retrying {
            unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(rawValue, $0.baseAddress, $0.count) }
        }
    }

    /// Writes all of `bytes` (`write`); part of them may be written where it throws.
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

/// Calls until no signal interrupts it; throws `errno` where the call fails with -1.
func retrying(_ call: () -> Int) throws(Errno) -> Int {
    while true {
        let result = call()
        guard result < 0 else { return result }
        let error = Errno(rawValue: errno)
        guard error == .interrupted else { throw error }
    }
}
