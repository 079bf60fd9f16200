import Glibc

/// Why a file could not be read; the text names the cure where there is one.
struct FileError: Error, Sendable, Hashable {
    let detail: String
}

/// Reads a whole regular file of at most `limit` bytes (`open`, `fstat`, `read`).
/// A secret is not taken from a file that everybody can read.
func readFile(_ path: String, limit: Int, isSecret: Bool = false) throws(FileError) -> [UInt8] {
    // O_NONBLOCK: a named pipe is opened without waiting for somebody who writes to it, and then refused.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw FileError(detail: "cannot be opened: \(String(cString: strerror(errno)))") }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
        throw FileError(detail: "is no regular file")
    }
    if isSecret, status.st_mode & S_IROTH != 0 {
        // What is somebody else's may be read through its group.
        throw FileError(detail: "everybody can read it; chmod \(status.st_uid == geteuid() ? "600" : "o-r") \(path)")
    }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(descriptor, &block, block.count)
        guard count >= 0 else { throw FileError(detail: "cannot be read: \(String(cString: strerror(errno)))") }
        if count == 0 { return bytes }
        bytes.append(contentsOf: block[..<count])
        guard bytes.count <= limit else { throw FileError(detail: "is larger than \(limit) bytes") }
    }
}

/// Throws where others than its owner may look into the directory, and with that reach what is in it. One that is not
/// there is closed.
func checkClosed(_ directory: String) throws(FileError) {
    var status = stat()
    if stat(directory, &status) == 0, status.st_mode & 0o077 != 0 {
        throw FileError(detail: "others may look into it; run: chmod 700 \(directory)")
    }
}
