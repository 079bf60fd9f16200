internal import CZlib

/// The gzip format (RFC 1952), by zlib.
package enum Gzip {
    /// The bytes of all parts as one gzip member; `nil` if zlib has no memory. `level` is 1, for speed, to 9, for size.
    package static func compress(_ parts: [[UInt8]], level: Int32 = 1) -> [UInt8]? {
        var stream = unsafe z_stream()
        guard unsafe czlib_gzip_init(&stream, min(max(level, 1), 9)) == Z_OK else { return nil }
        // Frees what `deflateInit2` allocated.
        defer { unsafe deflateEnd(&stream) }
        var out: [UInt8] = []
        let count = parts.reduce(0) { $0 + $1.count }
        // JSON shrinks to a tenth; zlib's buffer is made larger as needed.
        out.reserveCapacity(count / 6 + 256)
        for part in parts where !part.isEmpty {
            guard unsafe part.withUnsafeBytes({ unsafe write($0, Z_NO_FLUSH, &stream, to: &out) }) else { return nil }
        }
        let none = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        return unsafe write(none, Z_FINISH, &stream, to: &out) ? out : nil
    }

    /// `deflate` until it has taken all of `bytes`, and, at the finish, given all that it held back.
    private static func write(
        _ bytes: UnsafeRawBufferPointer, _ flush: Int32, _ stream: inout z_stream, to out: inout [UInt8]
    ) -> Bool {
        // zlib reads only, and not after this call; it takes 32-bit lengths.
        var rest = unsafe bytes[...]
        repeat {
            let piece = unsafe UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
            unsafe rest = unsafe rest.dropFirst(1 << 30)
            unsafe stream.next_in = UnsafeMutablePointer(mutating: piece.bindMemory(to: UInt8.self).baseAddress)
            unsafe stream.avail_in = UInt32(piece.count)
            repeat {
                var code = Z_OK
                let chunk = unsafe [UInt8](unsafeUninitializedCapacity: chunkBytes) { buffer, count in
                    unsafe stream.next_out = buffer.baseAddress
                    unsafe stream.avail_out = UInt32(chunkBytes)
                    code = unsafe deflate(&stream, flush)
                    count = unsafe chunkBytes - Int(stream.avail_out)
                }
                out.append(contentsOf: chunk)
                // Without room or input there is nothing to do, which is no error (Z_BUF_ERROR).
                guard [Z_OK, Z_STREAM_END, Z_BUF_ERROR].contains(code) else { return false }
            } while unsafe stream.avail_out == 0
        } while unsafe !rest.isEmpty
        return true
    }

    private static let chunkBytes = 64 << 10
}
