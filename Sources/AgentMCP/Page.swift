import StrictJSON

/// As many rows as an answer has room for. What it holds stands in it twice: as structured content and as text.
struct Page {
    /// The largest answer, in bytes.
    static let limit = 20_000
    /// What an answer needs beside its rows.
    private static let head = 1000

    private(set) var rows: [JSON] = []
    private var used = Page.head
    /// Where the cost of a row is counted.
    private var scratch: [UInt8] = []

    /// Adds a row if there is room, or if it is the first.
    mutating func add(_ row: JSON) -> Bool {
        scratch.removeAll(keepingCapacity: true)
        row.write(to: &scratch)
        guard take(scratch) else { return false }
        rows.append(row)
        return true
    }

    /// Takes up the room of a row that is written already, if there is as much, or if it is the first.
    mutating func take(_ row: [UInt8]) -> Bool {
        let cost = Self.cost(of: row)
        guard used == Page.head || used + cost <= Self.limit else { return false }
        used += cost
        return true
    }

    /// The rows from `start` on, and where the next page starts; `nil` if these are the last.
    static func of(_ rows: [JSON], from start: Int) -> (rows: [JSON], next: JSON?) {
        var page = Page()
        for row in rows.dropFirst(start) where !page.add(row) { break }
        let end = start + page.rows.count
        return (page.rows, end < rows.count ? .string("\(end)") : nil)
    }

    /// The bytes that a value takes as JSON and, behind backslashes, as text.
    private static func cost(of bytes: [UInt8]) -> Int {
        2 * bytes.count + bytes.count { $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") } + 2
    }

    /// Whether an answer can hold all of it.
    static func hasRoom(for object: JSONObject) -> Bool { cost(of: JSON.object(object).bytes) <= limit - head }

    /// The object as an answer can hold it: with long texts and lists cut, and `cut: true`, where it is too large.
    static func fitted(_ object: JSONObject) -> JSONObject {
        guard !hasRoom(for: object) else { return object }
        for (text, count) in [(2000, 100), (500, 50), (200, 25), (80, 10), (40, 5)] {
            let shorter = cut(.object(object), text, count)
            if let object = shorter.object, hasRoom(for: object) { return object.merging(["cut": true]) }
        }
        // So many members that none has room: what is short stays, and the schema is kept.
        var rest: JSONObject = ["cut": true]
        for member in object.members {
            switch member.value {
            case .array: rest[member.key] = []
            case .object: rest[member.key] = [:]
            case .null, .bool, .integer, .number, .string: rest[member.key] = cut(member.value, 200, 0)
            }
        }
        return rest
    }

    private static func cut(_ value: JSON, _ text: Int, _ count: Int) -> JSON {
        switch value {
        case .null, .bool, .integer, .number: value
        case .string(let string): .string(string.utf8.count <= text ? string : string.prefix(text) + "…")
        case .array(let elements): .array(elements.prefix(count).map { cut($0, text, count) })
        case .object(let object):
            .object(object.members.reduce(into: JSONObject()) { $0[$1.key] = cut($1.value, text, count) })
        }
    }
}
