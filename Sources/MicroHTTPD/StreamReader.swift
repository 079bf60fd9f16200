import CMicrohttpd
import HTTPMessage

/// Reads a stream while libmicrohttpd sends it, and suspends the connection while there is nothing to send.
///
/// The stream's lock guards the suspension: who wakes the stream resumes the connection, exactly once. A stream that is
/// finished or closed suspends no connection any more.
final class StreamReader: StreamConnection {
    private let stream: ResponseStream
    private let handle: ConnectionHandle
    private let connection: Connection
    private let registry: ConnectionRegistry

    init(
        _ stream: ResponseStream, _ handle: ConnectionHandle, _ connection: Connection, in registry: ConnectionRegistry
    ) {
        self.stream = stream
        self.handle = handle
        self.connection = connection
        self.registry = registry
    }

    static let read: MHD_ContentReaderCallback = { context, _, buffer, room in
        guard let context = unsafe context, let buffer = unsafe buffer else { return -2 }
        let reader = unsafe Unmanaged<StreamReader>.fromOpaque(context).takeUnretainedValue()
        let next = unsafe reader.stream.read(into: UnsafeMutableRawBufferPointer(start: buffer, count: room)) {
            reader.handle.suspend()
        }
        switch next {
        case .bytes(let count): return count
        case .nothing: return 0
        // MHD_CONTENT_READER_END_OF_STREAM and MHD_CONTENT_READER_END_WITH_ERROR: macros that do not import.
        case .end: return -1
        case .broken: return -2
        }
    }

    static let free: MHD_ContentReaderFreeCallback = { context in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<StreamReader>.fromOpaque(context).release()
    }

    func resume() { handle.resume() }

    func cut() { registry.cut(connection) }
}
