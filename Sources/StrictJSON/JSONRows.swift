/// The rows of a large list answer, `{"data":[{…},{…}]}`, found in one pass and without building a tree.
///
/// The whole document is validated as strictly as ``JSON/parse(_:maximumDepth:)`` does it, but for duplicate keys:
/// those are refused only for the list itself and the wanted keys. Rows are ranges of ``bytes``.
package struct JSONRows: Sendable {
    /// The document.
    package let bytes: [UInt8]
    /// The keys whose values are known, in the order that ``Row/value(_:)`` counts them.
    package let wanted: [String]
    /// Bounds of the rows, and bounds of the wanted values of all rows, one after the other; empty for a missing one.
    private let rows: [Range<Int>]
    private let values: [Range<Int>]

    /// Scans a document whose top-level member `key` is an array of objects, and notes where each of them stands,
    /// and where in it the values of the `wanted` keys.
    ///
    /// Throws what ``JSON/parse(_:maximumDepth:)`` would throw, and an error where the list is missing, is no array, or
    /// holds something that is no object.
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
            // What is malformed the parser explains; the rest is what only a list can have wrong.
            _ = try JSON.parse(bytes)
            throw found.flaw ?? JSONError(path: JSONPath([.key(key)]), detail: "is not a list of objects")
        }
        return JSONRows(bytes: bytes, wanted: wanted, rows: found.rows, values: found.values)
    }
}

extension JSONRows: RandomAccessCollection {
    /// One row: a view of the document, good as long as one likes.
    package struct Row: Sendable {
        private let rows: JSONRows
        private let index: Int

        fileprivate init(_ rows: JSONRows, _ index: Int) {
            self.rows = rows
            self.index = index
        }

        /// Where the row's object stands, braces included.
        package var range: Range<Int> { rows.rows[index] }

        /// Where the value of `wanted[key]` stands; `nil` if the row has none.
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

        /// The whole row, parsed; here a key that is given twice is an error too.
        package func json() throws(JSONError) -> JSON { try JSON.parse(rows.bytes[range]) }

        /// Appends the row to `out` with one more member at its beginning: `{"environment":"home",` and the rest.
        ///
        /// `member` is key and value as ``JSONRows/member(_:_:)`` makes them, once for all rows.
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

    /// A member as text, `"environment":"home"`, to be written into rows.
    package static func member(_ key: String, _ value: JSON) -> [UInt8] {
        var out: [UInt8] = []
        JSON.writeString(key, to: &out)
        out.append(UInt8(ascii: ":"))
        value.write(to: &out)
        return out
    }
}
