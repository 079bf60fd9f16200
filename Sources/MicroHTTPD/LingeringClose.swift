import CMicrohttpd
import Dispatch
import Glibc
import Synchronization

/// Reads for a moment what a refused client still sends after the response, so that the close is not a reset.
///
/// A reset makes the client's kernel discard a response that it has not read yet. Works on a duplicate of the
/// descriptor; libmicrohttpd closes its own.
final class LingeringClose: Sendable {
    private static let patience: DispatchTimeInterval = .milliseconds(500)
    private static let maxConnections = 64

    // SAFETY: libdispatch's sources may be used from any thread; their Swift type only does not say so.
    private struct Source: @unchecked Sendable {
        let raw: any DispatchSourceRead
    }

    private let queue = DispatchQueue(label: "http lingering close")
    private let open = Atomic(0)

    /// Takes over the connection behind `descriptor`. If there are dozens already, it is closed at once.
    func takeOver(_ descriptor: Int32) {
        guard open.load(ordering: .relaxed) < Self.maxConnections else { return }
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { return }
        _ = shutdown(copy, Int32(SHUT_WR))
        open.add(1, ordering: .relaxed)
        let source = Source(raw: DispatchSource.makeReadSource(fileDescriptor: copy, queue: queue))
        source.raw.setEventHandler {
            if Self.discard(copy) <= 0 { source.raw.cancel() }
        }
        source.raw.setCancelHandler { [self] in
            _ = close(copy)
            open.subtract(1, ordering: .relaxed)
        }
        source.raw.activate()
        queue.asyncAfter(deadline: .now() + Self.patience) { source.raw.cancel() }
    }

    /// Reads and discards; returns the number of bytes, 0 at the end of the stream.
    private static func discard(_ descriptor: Int32) -> Int {
        unsafe withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 1) { buffer in
            let got = unsafe recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
            return got < 0 && (errno == EAGAIN || errno == EINTR) ? 1 : got
        }
    }
}
