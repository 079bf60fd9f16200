/// Finds the rows of a list while it validates the document; see ``JSONRows``.
///
/// It only answers whether the document is valid. The parser can tell why it is not.
struct JSONRowScanner {
    private(set) var rows: [Range<Int>] = []
    private(set) var values: [Range<Int>] = []
    /// Why a well-formed document is refused.
    private(set) var flaw: JSONError?

    private var text: JSONSkipper
    private let list: String
    private let listKey: JSONKeys
    private let wanted: JSONKeys

    init(bytes: UnsafeBufferPointer<UInt8>, list: String, wanted: [String]) {
        text = unsafe JSONSkipper(bytes)
        self.list = list
        listKey = JSONKeys([list])
        self.wanted = JSONKeys(wanted)
        rows.reserveCapacity(bytes.count / 256)
        values.reserveCapacity(bytes.count / 256 * wanted.count)
    }

    /// Scans the whole document.
    mutating func document() -> Bool {
        text.space()
        guard text.byte == UInt8(ascii: "{") else { return refuse("expected an object", under: []) }
        guard members(), text.isAtEndAfterSpace() else { return false }
        return true
    }

    private mutating func members() -> Bool {
        var isFound = false
        guard text.open(0) else { return false }
        if text.byte != UInt8(ascii: "}") {
            repeat {
                let start = text.at
                guard let key = text.key() else { return false }
                if unsafe listKey.index(of: key, in: text.bytes) == nil {
                    guard text.value(depth: 1) else { return false }
                } else {
                    guard !isFound else { return refuse("key given twice", under: [.key(list)], at: start) }
                    isFound = true
                    guard elements() else { return false }
                }
            } while text.next()
        }
        guard text.take(UInt8(ascii: "}")) else { return false }
        return isFound || refuse("expected an array, but there is none", under: [.key(list)])
    }

    /// More than any cluster has; each row costs memory in addition to its text.
    static let maximumRows = 250_000

    private mutating func elements() -> Bool {
        guard text.byte == UInt8(ascii: "[") else { return refuse("expected an array", under: [.key(list)]) }
        guard text.open(1) else { return false }
        if text.take(UInt8(ascii: "]")) { return true }
        repeat {
            guard text.byte == UInt8(ascii: "{") else { return refuse("expected an object", under: row) }
            guard rows.count < Self.maximumRows else { return refuse("more than \(Self.maximumRows) rows", under: row) }
            guard object() else { return false }
        } while text.next()
        return text.take(UInt8(ascii: "]"))
    }

    private mutating func object() -> Bool {
        let start = text.at
        let base = values.count
        values.append(contentsOf: repeatElement(0..<0, count: wanted.count))
        guard text.open(2) else { return false }
        if text.byte != UInt8(ascii: "}") {
            repeat {
                guard let key = text.key() else { return false }
                let value = text.at
                guard text.value(depth: 3) else { return false }
                guard let index = unsafe wanted.index(of: key, in: text.bytes) else { continue }
                guard values[base + index].isEmpty else {
                    return refuse("key given twice", under: row + [.key(wanted[index])], at: key.lowerBound - 1)
                }
                values[base + index] = value..<text.at
            } while text.next()
        }
        guard text.take(UInt8(ascii: "}")) else { return false }
        rows.append(start..<text.at)
        return true
    }

    private var row: [JSONPath.Step] { [.key(list), .index(rows.count)] }

    private mutating func refuse(_ detail: String, under path: [JSONPath.Step], at offset: Int? = nil) -> Bool {
        flaw = JSONError(path: JSONPath(path), offset: offset ?? text.at, detail: detail)
        return false
    }
}

/// A few keys to search for in raw text.
private struct JSONKeys {
    private let names: [String]
    private let texts: [[UInt8]]
    /// Bit n is set if one of the keys has n bytes, or 63 and more.
    private let lengths: UInt64

    init(_ names: [String]) {
        self.names = names
        texts = names.map { Array($0.utf8) }
        lengths = texts.reduce(0) { $0 | 1 << UInt64(min($1.count, 63)) }
    }

    var count: Int { names.count }
    subscript(index: Int) -> String { names[index] }

    /// The index of the key in `range` of `bytes`, which excludes its quotes.
    @inline(__always)
    func index(of range: Range<Int>, in bytes: UnsafeBufferPointer<UInt8>) -> Int? {
        let text = unsafe UnsafeBufferPointer(rebasing: bytes[range])
        if lengths >> UInt64(min(text.count, 63)) & 1 == 1 {
            for index in texts.indices where unsafe texts[index].count == text.count && text.elementsEqual(texts[index])
            {
                return index
            }
        }
        guard unsafe text.contains(UInt8(ascii: "\\")) else { return nil }
        return unsafe indexOfEscaped(bytes[range.lowerBound - 1...range.upperBound])
    }

    private func indexOfEscaped(_ quoted: Slice<UnsafeBufferPointer<UInt8>>) -> Int? {
        guard let text = unsafe (try? JSON.parse(quoted))?.string else { return nil }
        return names.firstIndex { $0.isSameText(as: text) }
    }
}
