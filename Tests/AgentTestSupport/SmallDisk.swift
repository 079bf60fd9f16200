internal import Glibc
internal import Testing

/// A file system in memory that is soon full.
package final class SmallDisk {
    private let directory: TemporaryDirectory
    package var path: String { directory.path }

    package static let isPossible: Bool = {
        guard geteuid() == 0, let disk = try? SmallDisk(kilobytes: 64) else { return false }
        return !disk.path.isEmpty
    }()

    package init(kilobytes: Int) throws {
        directory = try TemporaryDirectory()
        try #require(
            run(["mount", "-t", "tmpfs", "-o", "size=\(kilobytes)k,mode=700", "tmpfs", directory.path]) == 0)
    }

    deinit { _ = run(["umount", "-l", directory.path]) }

    /// Takes all the space that is left.
    package func fill(_ path: String) {
        let descriptor = open(path, O_WRONLY | O_CREAT, 0o600)
        defer { close(descriptor) }
        let page = [UInt8](repeating: 0, count: 4096)
        while write(descriptor, page, page.count) > 0 {}
    }
}

/// Runs a program and waits for its end: its status as `waitpid` has it.
package func run(_ arguments: [String]) -> Int32 {
    var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    var child = pid_t()
    guard posix_spawnp(&child, arguments[0], nil, nil, &pointers, environ) == 0 else { return -1 }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0, errno == EINTR {}
    return status
}
