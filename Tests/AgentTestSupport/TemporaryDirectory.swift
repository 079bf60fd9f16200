internal import Glibc

/// A directory of its own that is gone with all its files when the value is.
package struct TemporaryDirectory: ~Copyable {
    package let path: String

    /// Makes it in the directory `parent`.
    package init(in parent: String = "/tmp") throws {
        var template = Array("\(parent)/proxmox-agent-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } != nil }
        guard made else { throw Failure(code: errno) }
        path = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
    }

    deinit { Self.remove(path) }

    package struct Failure: Error {
        package let code: Int32
    }

    private static func remove(_ path: String) {
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                guard name != ".", name != ".." else { continue }
                let child = "\(path)/\(name)"
                var info = stat()
                guard lstat(child, &info) == 0 else { continue }
                if info.st_mode & S_IFMT == S_IFDIR { remove(child) } else { _ = unlink(child) }
            }
            closedir(directory)
        }
        _ = rmdir(path)
    }
}
