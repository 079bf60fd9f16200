import Dispatch
import Glibc

/// A system call that a test needs failed with this `errno`.
struct SystemError: Error { var code = errno }

/// Descriptors that this process has open.
func openDescriptors() throws -> Int {
    guard let directory = opendir("/proc/self/fd") else { throw SystemError() }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count
}

/// Runs `body` with the path of a fresh directory, then removes it and the files in it.
func withTemporaryDirectory(_ body: (String) async throws -> Void) async throws {
    var template = Array("/tmp/microhttpd-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError() }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let result: Result<Void, any Error>
    do {
        result = .success(try await body(path))
    } catch {
        result = .failure(error)
    }
    if let directory = opendir(path) {
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            unlink(path + "/" + name)
        }
        closedir(directory)
    }
    rmdir(path)
    try result.get()
}

/// Type and permissions of a file.
func mode(of path: String) throws -> mode_t {
    var status = stat()
    guard stat(path, &status) == 0 else { throw SystemError() }
    return status.st_mode
}

func read(_ path: String) throws -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw SystemError() }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let count = read(descriptor, &buffer, buffer.count)
    guard count >= 0 else { throw SystemError() }
    return String(decoding: buffer.prefix(count), as: UTF8.self)
}

/// Leaves a socket file behind on which nobody listens, as a crashed server does.
func abandonSocket(at path: String) throws { close(try boundSocket(at: path)) }

/// A Unix socket that listens, as a service manager opens it.
func listeningSocket(at path: String) throws -> Int32 {
    let descriptor = try boundSocket(at: path)
    guard listen(descriptor, 16) == 0 else { throw SystemError() }
    return descriptor
}

private func boundSocket(at path: String) throws -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    let result = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
    guard result == 0 else { throw SystemError() }
    return descriptor
}

/// A socket that listens on a free port of 127.0.0.1.
func listeningSocket() throws -> Int32 {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    let result = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    guard result == 0, listen(descriptor, 16) == 0 else { throw SystemError() }
    return descriptor
}

/// Whether `::1` can be bound here.
let hasIPv6Loopback: Bool = {
    let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var address = sockaddr_in6()
    address.sin6_family = sa_family_t(AF_INET6)
    address.sin6_addr = in6addr_loopback
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size)) == 0
        }
    }
}()
