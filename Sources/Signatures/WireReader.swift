/// Reads the data types of RFC 4251 from bytes that anybody may have written.
struct WireReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: some Sequence<UInt8>) { rest = Array(bytes)[...] }

    var isAtEnd: Bool { rest.isEmpty }

    /// The next `count` bytes; `nil`, and nothing read, if there are fewer.
    mutating func bytes(_ count: Int) -> [UInt8]? {
        guard count >= 0, count <= rest.count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    mutating func byte() -> UInt8? { rest.popFirst() }

    mutating func uint32() -> UInt32? { bytes(4)?.reduce(0) { $0 << 8 | UInt32($1) } }

    /// A `string`: its length, then that many bytes.
    mutating func string() -> [UInt8]? {
        guard let count = uint32(), let length = Int(exactly: count) else { return nil }
        return bytes(length)
    }

    /// A `string` that must be UTF-8.
    mutating func text() -> String? { string().flatMap { String(validating: $0, as: UTF8.self) } }
}

/// Writes them.
enum Wire {
    static func uint32(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    static func string(_ bytes: some Collection<UInt8>) -> [UInt8] {
        uint32(UInt32(clamping: bytes.count)) + bytes
    }
}
