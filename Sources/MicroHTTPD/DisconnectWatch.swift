import CMicrohttpd
import Dispatch
import Glibc

/// Reports clients that leave while their connections are suspended, which libmicrohttpd does not watch.
///
/// A client that only ends its sending side looks the same, and counts as gone.
final class DisconnectWatch: Sendable {
    // SAFETY: libdispatch's sources may be used from any thread; their Swift type only does not say so.
    private struct Source: @unchecked Sendable {
        let raw: any DispatchSourceRead
    }

    private let descriptor: Int32
    private let source: Source

    /// Calls `left` on `queue` with the numbers of the connections whose clients left.
    init(on queue: DispatchQueue, left: @escaping @Sendable ([UInt64]) -> Void) {
        let descriptor = cmhd_watch_open()
        self.descriptor = descriptor
        source = Source(raw: DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue))
        source.raw.setEventHandler { left(Self.next(descriptor)) }
        source.raw.setCancelHandler { _ = close(descriptor) }
        source.raw.activate()
    }

    deinit { source.raw.cancel() }

    /// Watches a connection that was just suspended, under a number that is never used again.
    func add(_ connection: Connection, _ number: UInt64) {
        _ = cmhd_watch_add(descriptor, connection.descriptor, number)
    }

    /// Call it before the connection is resumed: after that, its descriptor may be closed and used for another.
    func remove(_ connection: Connection) { _ = cmhd_watch_remove(descriptor, connection.descriptor) }

    private static func next(_ descriptor: Int32) -> [UInt64] {
        unsafe [UInt64](unsafeUninitializedCapacity: 64) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            count = max(0, Int(unsafe cmhd_watch_next(descriptor, start)))
        }
    }
}
