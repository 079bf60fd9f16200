import CMicrohttpd
import HTTPMessage

/// Reads a body part by part while libmicrohttpd sends it. The parts stay shared, without a copy.
// SAFETY: used by one response of one connection, so only ever by that connection's thread.
final class BodyReader: @unchecked Sendable {
    private let parts: [[UInt8]]
    /// The part that contains `partStart...`, and where it begins in the body.
    private var part = 0
    private var partStart = 0

    private let connection: Connection

    init(_ body: Response.Body, _ connection: Connection) {
        parts = body.parts
        self.connection = connection
    }

    static let read: MHD_ContentReaderCallback = { context, position, buffer, room in
        guard let context = unsafe context, let buffer = unsafe buffer else { return -2 }
        let reader = unsafe Unmanaged<BodyReader>.fromOpaque(context).takeUnretainedValue()
        return unsafe reader.copy(from: Int(position), to: UnsafeMutableRawBufferPointer(start: buffer, count: room))
    }

    static let free: MHD_ContentReaderFreeCallback = { context in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<BodyReader>.fromOpaque(context).release()
    }

    /// The number of bytes copied; -1 (`MHD_CONTENT_READER_END_OF_STREAM`) past the end.
    private func copy(from position: Int, to buffer: UnsafeMutableRawBufferPointer) -> Int {
        // libmicrohttpd asks for the next piece once the last one was sent.
        connection.hasSent(position)
        if position < partStart { (part, partStart) = (0, 0) }
        var copied = 0
        while part < parts.count, copied < buffer.count {
            let offset = position + copied - partStart
            if offset >= parts[part].count {
                partStart += parts[part].count
                part += 1
                continue
            }
            let count = min(parts[part].count - offset, buffer.count - copied)
            unsafe parts[part].withUnsafeBytes { source in
                unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[copied...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: source[offset..<offset + count]))
            }
            copied += count
        }
        return copied > 0 ? copied : -1
    }
}
