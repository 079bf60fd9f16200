import CMicrohttpd
import Glibc
import HTTPMessage

/// What libmicrohttpd (0.9.75) answers by itself goes through its public `MHD_queue_response`, and a function of that name
/// in the program comes before the library's. This one passes everything on but one answer: a chunk whose size and
/// extensions do not fit into the connection's memory is the client's fault, and the library says 500.
@_cdecl("MHD_queue_response")
package func queueAnswer(_ connection: OpaquePointer?, _ status: UInt32, _ response: OpaquePointer?) -> UInt32 {
    if status == 500, let handle = unsafe ConnectionHandle(connection),
        let exchange = handle.connection?.chunked.withLock({ $0.take() })
    {
        return exchange.refuseChunk(handle).rawValue
    }
    guard let queue = unsafe nextQueue else { return MHD_Result.NO.rawValue }
    return unsafe queue(connection, status, response)
}

private typealias Queue = @convention(c) (OpaquePointer?, UInt32, OpaquePointer?) -> UInt32

/// The library's own, which `dlsym(RTLD_NEXT, …)` finds behind this program's.
private let nextQueue: Queue? = {
    // RTLD_NEXT is a macro that does not import.
    let next = unsafe UnsafeMutableRawPointer(bitPattern: -1)
    return unsafe dlsym(next, "MHD_queue_response").map { unsafe unsafeBitCast($0, to: Queue.self) }
}()
