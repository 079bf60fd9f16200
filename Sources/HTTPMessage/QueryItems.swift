/// The decoded parameters of a query, in order, each name once.
package struct QueryItems: Sendable, Hashable {
    package struct Item: Sendable, Hashable {
        package let name: String
        package let value: String
    }

    package let items: [Item]

    /// No parameters.
    package init() { items = [] }

    /// Parses `a=1&b=x+y%21`. No query and an empty one have no items; a name without `=` has an empty value.
    ///
    /// - Throws: ``QueryError``, whose texts are safe to show to the client.
    package init(_ query: String?) throws(QueryError) {
        var items: [Item] = []
        guard let query, !query.isEmpty else {
            self.items = items
            return
        }
        for piece in query.split(separator: "&", omittingEmptySubsequences: false) {
            let halves = piece.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = try Self.decode(halves[0])
            guard !name.isEmpty else { throw .namelessItem }
            guard !items.contains(where: { $0.name == name }) else { throw .duplicate(name) }
            items.append(Item(name: name, value: halves.count > 1 ? try Self.decode(halves[1]) : ""))
        }
        self.items = items
    }

    /// The value of the parameter `name`; `nil` if it is absent.
    package subscript(name: String) -> String? { items.first { $0.name == name }?.value }

    /// The names in order, to find unknown ones.
    package var names: [String] { items.map(\.name) }

    private static func decode(_ text: Substring) throws(QueryError) -> String {
        do throws(PercentDecoding.Failure) {
            return try PercentDecoding.decode(text, plusIsSpace: true)
        } catch {
            switch error {
            case .badEscape: throw .badEscape(String(text))
            case .notUTF8: throw .notUTF8(String(text))
            case .controlCharacter: throw .controlCharacter(String(text))
            }
        }
    }
}

/// Why a query cannot be parsed. The texts are the offending name or value as it was sent, still encoded.
package enum QueryError: Error, Sendable, Hashable {
    /// A `%` without two hex digits after it.
    case badEscape(String)
    case notUTF8(String)
    /// A control character, encoded or not.
    case controlCharacter(String)
    /// The parameter of this (decoded) name occurs more than once.
    case duplicate(String)
    /// Nothing before `=`, or nothing between two `&`.
    case namelessItem
}

extension QueryError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .badEscape(let text): "\(text): a % without two hex digits"
        case .notUTF8(let text): "\(text): not UTF-8"
        case .controlCharacter(let text): "\(text): a control character"
        case .duplicate(let name): "\(name): given more than once"
        case .namelessItem: "a parameter without a name"
        }
    }
}
