/// Where a value stands in a document's text.
extension JSON {
    /// The number of the line, from 1, with that byte.
    package static func line(ofByte offset: Int, in bytes: [UInt8]) -> Int {
        1 + bytes.prefix(max(0, offset)).count { $0 == UInt8(ascii: "\n") }
    }

    /// The number of the line, from 1, where the value at `path` begins in a valid document; for a value that is
    /// missing, that of what should contain it.
    package static func line(of path: JSONPath, in bytes: [UInt8]) -> Int {
        let offset = unsafe bytes.withUnsafeBufferPointer { buffer in
            var skipper = unsafe JSONSkipper(buffer)
            skipper.space()
            for step in path.steps {
                let here = skipper.at
                guard skipper.enter(step) else { return here }
            }
            return skipper.at
        }
        return line(ofByte: offset, in: bytes)
    }
}

extension JSONSkipper {
    /// Moves from the start of an array or object to the start of one of its values.
    fileprivate mutating func enter(_ step: JSONPath.Step) -> Bool {
        let isObject = byte == UInt8(ascii: "{")
        guard isObject || byte == UInt8(ascii: "["), open(0) else { return false }
        var index = 0
        while byte != UInt8(ascii: "}"), byte != UInt8(ascii: "]") {
            var name: String?
            if isObject {
                guard let range = key() else { return false }
                name = unsafe Self.text(bytes[range])
            }
            switch step {
            case .key(let wanted): if name == wanted { return true }
            case .index(let wanted): if !isObject, index == wanted { return true }
            }
            guard value(depth: 0), next() else { return false }
            index += 1
        }
        return false
    }

    /// A key's text; `nil` where it is spelled with escapes that stand for nothing.
    private static func text(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> String? {
        let name = unsafe Array(bytes)
        return try? JSON.parse([UInt8(ascii: "\"")] + name + [UInt8(ascii: "\"")]).string
    }
}
