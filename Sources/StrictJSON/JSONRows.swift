internal import Glibc

/// The rows of a large list, `{"data":[{…},{…}]}`, found in one pass without building a tree.
///
/// Validates the whole document as strictly as ``JSON/parse(_:maximumDepth:)``, except for duplicate keys: it refuses
/// them only for the list itself and the wanted keys. Rows are ranges of ``bytes``.
package struct JSONRows: Sendable {
    /// The document.
    package let bytes: [UInt8]
    /// The keys whose values are located, in the order of the indices of ``Row/value(_:)``.
    package let wanted: [String]
    /// The bounds of the rows, and of the wanted values of all rows, one after the other; empty for a missing one.
    private let rows: [Range<Int>]
    private let values: [Range<Int>]

    /// Scans a document whose top-level member `key` is an array of objects. Notes the range of each object and, in it,
    /// of the values of the `wanted` keys.
    ///
    /// Throws what ``JSON/parse(_:maximumDepth:)`` throws, and an error if the list is missing, is not an array, or has
    /// an element that is not an object.
    package static func scan(
        _ bytes: [UInt8], list key: String = "data", wanted: [String]
    ) throws(JSONError) -> JSONRows {
        let found = unsafe bytes.withUnsafeBufferPointer { buffer in
            var scanner = unsafe JSONRowScanner(bytes: buffer, list: key, wanted: wanted)
            let isWhole = scanner.document()
            return (isWhole: isWhole, rows: scanner.rows, values: scanner.values, flaw: scanner.flaw)
        }
        guard found.isWhole else {
            if let flaw = found.flaw, found.rows.count >= JSONRowScanner.maximumRows { throw flaw }
            // The parser explains malformed text; the rest is an error of the list.
            _ = try JSON.parse(bytes)
            throw found.flaw ?? JSONError(path: JSONPath([.key(key)]), detail: "is not a list of objects")
        }
        return JSONRows(bytes: bytes, wanted: wanted, rows: found.rows, values: found.values)
    }
}

extension JSONRows: RandomAccessCollection {
    /// One row: a view of the document without a limited lifetime.
    package struct Row: Sendable {
        private let rows: JSONRows
        private let index: Int

        fileprivate init(_ rows: JSONRows, _ index: Int) {
            self.rows = rows
            self.index = index
        }

        /// The range of the row's object, including braces.
        package var range: Range<Int> { rows.rows[index] }

        /// The range of the value of `wanted[key]`; `nil` if the row has none.
        package func value(_ key: Int) -> Range<Int>? {
            let range = rows.values[index * rows.wanted.count + key]
            return range.isEmpty ? nil : range
        }

        /// The value of `wanted[key]`, parsed.
        package func json(_ key: Int) -> JSON? {
            value(key).flatMap { range in try? JSON.parse(rows.bytes[range]) }
        }

        /// Whether the value of `wanted[key]` is the string `text`.
        package func isString(_ key: Int, _ text: String) -> Bool {
            guard let range = value(key), rows.bytes[range.lowerBound] == UInt8(ascii: "\"") else { return false }
            let inner = rows.bytes[range.lowerBound + 1..<range.upperBound - 1]
            guard inner.contains(UInt8(ascii: "\\")) else { return inner.elementsEqual(text.utf8) }
            return json(key) == .string(text)
        }

        /// The whole row, parsed; a duplicate key is an error here.
        package func json() throws(JSONError) -> JSON { try JSON.parse(rows.bytes[range]) }

        /// Appends the row to `out` with one more member at the start: `{"environment":"home",` and the rest.
        ///
        /// `member` is the result of ``JSONRows/member(_:_:)``, made once for all rows.
        package func write(to out: inout [UInt8], first member: [UInt8]) {
            out.append(UInt8(ascii: "{"))
            out.append(contentsOf: member)
            var rest = rows.bytes[range].dropFirst()
            while let byte = rest.first, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { rest = rest.dropFirst() }
            if rest.first != UInt8(ascii: "}") { out.append(UInt8(ascii: ",")) }
            out.append(contentsOf: rest)
        }
    }

    package var startIndex: Int { 0 }
    package var endIndex: Int { rows.count }
    package subscript(position: Int) -> Row { Row(self, position) }

    /// A member as text, `"environment":"home"`, for ``Row/write(to:first:)``.
    package static func member(_ key: String, _ value: JSON) -> [UInt8] {
        var out: [UInt8] = []
        JSON.writeString(key, to: &out)
        out.append(UInt8(ascii: ":"))
        value.write(to: &out)
        return out
    }
}

extension [UInt8] {
    /// Whether both hold the same bytes. `==` looks at them one by one, which takes ten times as long.
    package func isSame(as other: [UInt8]) -> Bool {
        guard count == other.count else { return false }
        return unsafe withUnsafeBytes { own in
            unsafe other.withUnsafeBytes { other in
                guard let first = own.baseAddress, let second = other.baseAddress else { return true }
                return unsafe memcmp(first, second, own.count) == 0
            }
        }
    }
}
