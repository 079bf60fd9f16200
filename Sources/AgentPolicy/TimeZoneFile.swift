/// What ``TimeZoneRules`` needs of a TZif file (RFC 9636), as the file says it.
struct TimeZoneFile {
    /// The offset before the first transition, in seconds east of UTC.
    let firstOffset: Int
    /// In seconds since 1970, strictly ascending.
    let transitions: [Int]
    /// The offset from each transition on.
    let offsets: [Int]
    /// What holds after the last transition; `nil` if the file does not say.
    let footer: TimeZoneFooter?

    /// Reads the data of the highest version in the file. Bytes after the end are ignored, since future versions may
    /// append some. Throws ``TimeZoneRules/Invalid``.
    init(parsing bytes: [UInt8]) throws(TimeZoneRules.Invalid) {
        var reader = ByteReader(bytes)
        var header = try Header(&reader)
        guard header.version > 1 else {
            try self.init(&reader, header, timeSize: 4)
            return
        }
        _ = try reader.take(header.size(timeSize: 4))
        header = try Header(&reader)
        guard header.version > 1 else { throw .version(0) }
        try self.init(&reader, header, timeSize: 8)
    }

    /// Reads the block of data that follows its header and, in 64-bit data, the footer.
    private init(_ reader: inout ByteReader, _ header: Header, timeSize: Int) throws(TimeZoneRules.Invalid) {
        guard header.types > 0, header.types <= 256, header.characters > 0,
            [0, header.types].contains(header.utIndicators), [0, header.types].contains(header.standardIndicators)
        else { throw .counts }
        guard header.leapSeconds == 0 else { throw .leapSeconds }

        var transitions: [Int] = []
        for _ in 0..<header.transitions {
            let time = try reader.signed(size: timeSize)
            if let last = transitions.last, time <= last { throw .transitions }
            transitions.append(time)
        }
        let indices = try reader.take(header.transitions)
        var types: [Int] = []
        for _ in 0..<header.types {
            let offset = try reader.signed(size: 4)
            let isDaylight = try reader.byte()
            let name = try reader.byte()
            guard offset.magnitude <= TimeZoneRules.largestOffset, isDaylight <= 1, name < header.characters else {
                throw .localTimeType
            }
            types.append(offset)
        }
        // The names, and how the transitions were once written, change no offset.
        _ = try reader.take(header.characters + header.standardIndicators + header.utIndicators)

        guard indices.allSatisfy({ $0 < types.count }) else { throw .transitions }
        firstOffset = types[0]
        offsets = indices.map { types[Int($0)] }
        self.transitions = transitions
        footer = timeSize == 8 ? try Self.footer(&reader) : nil
    }

    /// Reads a `TZ` string between two newlines; `nil` if it is empty.
    private static func footer(_ reader: inout ByteReader) throws(TimeZoneRules.Invalid) -> TimeZoneFooter? {
        let newline = UInt8(ascii: "\n")
        guard try reader.byte() == newline else { throw .footer }
        let text = reader.rest.prefix { $0 != newline }
        _ = try reader.take(text.count + 1)
        guard !text.isEmpty else { return nil }
        guard let footer = TimeZoneFooter(parsing: text) else { throw .footer }
        return footer
    }
}

/// The header before each block of data: 44 bytes.
private struct Header {
    /// 1, or the digit that the file names.
    let version: Int
    let utIndicators: Int
    let standardIndicators: Int
    let leapSeconds: Int
    let transitions: Int
    let types: Int
    let characters: Int

    /// Takes a header of which every count is at most the number of bytes that follow.
    init(_ reader: inout ByteReader) throws(TimeZoneRules.Invalid) {
        guard try reader.take(4).elementsEqual("TZif".utf8) else { throw .notTZif }
        let version = try reader.byte()
        switch version {
        case 0: self.version = 1
        case UInt8(ascii: "2")...UInt8(ascii: "9"): self.version = Int(version - UInt8(ascii: "0"))
        default: throw .version(version)
        }
        _ = try reader.take(15)
        utIndicators = try reader.count()
        standardIndicators = try reader.count()
        leapSeconds = try reader.count()
        transitions = try reader.count()
        types = try reader.count()
        characters = try reader.count()
    }

    /// The size of the data that follows, in bytes. The counts are at most ``TimeZoneRules/largestFile``, so that
    /// nothing overflows.
    func size(timeSize: Int) -> Int {
        transitions * (timeSize + 1) + types * 6 + characters + leapSeconds * (timeSize + 4) + standardIndicators
            + utIndicators
    }
}

/// Takes big-endian numbers from the front of some bytes.
private struct ByteReader {
    private(set) var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    /// The next `count` bytes.
    mutating func take(_ count: Int) throws(TimeZoneRules.Invalid) -> ArraySlice<UInt8> {
        guard count >= 0, count <= rest.count else { throw .truncated }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    mutating func byte() throws(TimeZoneRules.Invalid) -> UInt8 {
        guard let byte = rest.first else { throw .truncated }
        rest = rest.dropFirst()
        return byte
    }

    /// A number of 4 bytes that counts something of at least one byte each.
    mutating func count() throws(TimeZoneRules.Invalid) -> Int {
        let count = try take(4).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard count <= UInt64(rest.count) else { throw .truncated }
        return Int(count)
    }

    /// A number in two's complement of `size` bytes, 4 or 8.
    mutating func signed(size: Int) throws(TimeZoneRules.Invalid) -> Int {
        let bits = try take(size).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return size == 4 ? Int(Int32(truncatingIfNeeded: bits)) : Int(Int64(bitPattern: bits))
    }
}
