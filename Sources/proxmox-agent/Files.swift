import SystemFile
import SystemPackage

/// Why a file could not be read; where possible, the text says what to do.
struct FileError: Error, Sendable, Hashable {
    let detail: String
}

/// Reads a whole regular file of at most `limit` bytes (`open`, `fstat`, `read`).
/// Throws on a world-readable file with a secret, and on a file with rules that others than root and this user may write.
func readFile(_ path: String, limit: Int, isSecret: Bool = false, isRules: Bool = false) throws(FileError) -> [UInt8] {
    // O_NONBLOCK: opens a named pipe without waiting for a writer; it is refused below.
    let file: OpenFile
    do throws(Errno) { file = try OpenFile(path, .readOnly, .nonBlocking) } catch {
        throw FileError(detail: "cannot be opened: \(error); name a file that this user can read")
    }
    guard let status = try? file.stat(), status.type == .regular else {
        throw FileError(detail: "is no regular file; name one")
    }
    if isSecret, status.permissions.contains(.otherRead) {
        // The file of another user may be read through its group.
        throw FileError(detail: "everybody can read it; chmod \(status.isOwn ? "600" : "o-r") \(path)")
    }
    if isRules, !status.permissions.isDisjoint(with: [.groupWrite, .otherWrite]) {
        throw FileError(detail: "others may write it, and with it the rules; chmod go-w \(path)")
    }
    if isRules, !status.isOwn, status.userID.rawValue != 0 {
        throw FileError(detail: "belongs to another user, who may write it; chown it to root or to the agent's user")
    }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count: Int
        do throws(Errno) { count = try file.read(into: &block) } catch {
            throw FileError(detail: "cannot be read: \(error); look after its file system")
        }
        if count == 0 { return bytes }
        bytes.append(contentsOf: block[..<count])
        guard bytes.count <= limit else {
            throw FileError(detail: "is larger than \(limit) bytes; name the file that is meant")
        }
    }
}

/// Throws if others than the owner can enter the directory and reach its files. A missing directory is closed.
func checkClosed(_ directory: String) throws(FileError) {
    if let status = try? Stat(directory), !status.isClosedToOthers {
        throw FileError(detail: "others may look into it; run: chmod 700 \(directory)")
    }
}
