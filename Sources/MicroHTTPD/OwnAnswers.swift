import CMicrohttpd
import Glibc
import HTTPMessage

/// Replaces libmicrohttpd's public `MHD_queue_response`, which the library (0.9.75) also uses for its own responses: a
/// function of that name in the program has precedence. Passes all on except one: if a chunk's size and extensions do
/// not fit into the connection's memory, the client is at fault, but the library answers 500.
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

/// The library's own function, found by `dlsym(RTLD_NEXT, …)`.
private let nextQueue: Queue? = {
    // RTLD_NEXT is a macro that does not import.
    let next = unsafe UnsafeMutableRawPointer(bitPattern: -1)
    return unsafe dlsym(next, "MHD_queue_response").map { unsafe unsafeBitCast($0, to: Queue.self) }
}()
