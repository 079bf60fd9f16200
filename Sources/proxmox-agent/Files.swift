import SystemFile
import SystemPackage

/// Why a file could not be read; the text names the cure where there is one.
struct FileError: Error, Sendable, Hashable {
    let detail: String
}

/// Reads a whole regular file of at most `limit` bytes (`open`, `fstat`, `read`).
/// A secret is not taken from a file that everybody can read.
func readFile(_ path: String, limit: Int, isSecret: Bool = false) throws(FileError) -> [UInt8] {
    // O_NONBLOCK: a named pipe is opened without waiting for somebody who writes to it, and then refused.
    let file: OpenFile
    do throws(Errno) { file = try OpenFile(path, .readOnly, .nonBlocking) } catch {
        throw FileError(detail: "cannot be opened: \(error)")
    }
    guard let status = try? file.stat(), status.type == .regular else {
        throw FileError(detail: "is no regular file")
    }
    if isSecret, status.permissions.contains(.otherRead) {
        // What is somebody else's may be read through its group.
        throw FileError(detail: "everybody can read it; chmod \(status.isOwn ? "600" : "o-r") \(path)")
    }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count: Int
        do throws(Errno) { count = try file.read(into: &block) } catch {
            throw FileError(detail: "cannot be read: \(error)")
        }
        if count == 0 { return bytes }
        bytes.append(contentsOf: block[..<count])
        guard bytes.count <= limit else { throw FileError(detail: "is larger than \(limit) bytes") }
    }
}

/// Throws where others than its owner may look into the directory, and with that reach what is in it. One that is not
/// there is closed.
func checkClosed(_ directory: String) throws(FileError) {
    if let status = try? Stat(directory), !status.isClosedToOthers {
        throw FileError(detail: "others may look into it; run: chmod 700 \(directory)")
    }
}
