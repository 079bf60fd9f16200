import CMicrohttpd
import Dispatch
import Glibc

/// Tells of clients that leave while their connections are suspended: libmicrohttpd does not look at those.
///
/// A client that only ends its sending side looks the same, and counts as one that has left.
final class DisconnectWatch: Sendable {
    // SAFETY: libdispatch's sources may be used from any thread; their Swift type only does not say so.
    private struct Source: @unchecked Sendable {
        let raw: any DispatchSourceRead
    }

    private let descriptor: Int32
    private let source: Source

    /// Calls `left` on `queue` with the numbers of those that have gone.
    init(on queue: DispatchQueue, left: @escaping @Sendable ([UInt64]) -> Void) {
        let descriptor = cmhd_watch_open()
        self.descriptor = descriptor
        source = Source(raw: DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue))
        source.raw.setEventHandler { left(Self.next(descriptor)) }
        source.raw.setCancelHandler { _ = close(descriptor) }
        source.raw.activate()
    }

    deinit { source.raw.cancel() }

    /// Watches a connection that has just been suspended, under a number that no other ever had.
    func add(_ connection: Connection, _ number: UInt64) {
        _ = cmhd_watch_add(descriptor, connection.descriptor, number)
    }

    /// Before the connection is resumed: from then on its descriptor may be closed, and be another's.
    func remove(_ connection: Connection) { _ = cmhd_watch_remove(descriptor, connection.descriptor) }

    private static func next(_ descriptor: Int32) -> [UInt64] {
        unsafe [UInt64](unsafeUninitializedCapacity: 64) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            count = max(0, Int(unsafe cmhd_watch_next(descriptor, start)))
        }
    }
}
