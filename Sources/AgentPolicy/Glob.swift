/// A pattern of a whole text: `*` stands for any run of characters, `?` for one, everything else for itself.
///
/// Matching takes at most the product of both lengths; there is nothing else to write that could take longer.
package struct Glob: Sendable, Hashable, CustomStringConvertible {
    package let description: String
    private let pattern: [UInt8]

    /// - Returns: `nil` for an empty text, one of more than 200 bytes, and one with control characters.
    package init?(_ text: String) {
        guard (1...200).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            return nil
        }
        description = text
        pattern = Array(text.utf8)
        isLiteral = !pattern.contains { $0 == Self.star || $0 == Self.mark }
    }

    /// Whether it stands for one text only, itself.
    package let isLiteral: Bool

    package func matches(_ text: some StringProtocol) -> Bool {
        isLiteral ? text == description : matches(String(text).utf8.span)
    }

    private static let star = UInt8(ascii: "*")
    private static let mark = UInt8(ascii: "?")

    /// Where it goes wrong behind a star, the star takes one character more; earlier stars never need to.
    private func matches(_ text: Span<UInt8>) -> Bool {
        var (place, at) = (0, 0)
        var retry: (place: Int, at: Int)?
        while at < text.count {
            if place < pattern.count, pattern[place] == Self.star {
                retry = (place + 1, at)
                place += 1
            } else if place < pattern.count, pattern[place] == Self.mark {
                at = Self.next(text, at)
                place += 1
            } else if place < pattern.count, pattern[place] == text[at] {
                (place, at) = (place + 1, at + 1)
            } else if let back = retry {
                retry = (back.place, Self.next(text, back.at))
                (place, at) = (back.place, Self.next(text, back.at))
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == Self.star }
    }

    /// The start of the next character.
    private static func next(_ text: Span<UInt8>, _ at: Int) -> Int {
        var next = at + 1
        while next < text.count, text[next] & 0xC0 == 0x80 { next += 1 }
        return next
    }
}

/// Names and patterns of names, of which one must fit.
package struct NameSet: Sendable, Hashable {
    /// As written.
    package let spelled: Set<String>
    /// Those that stand for themselves.
    package let exact: Set<String>
    private let globs: [Glob]

    package init(_ patterns: Set<Glob>) {
        spelled = Set(patterns.map(\.description))
        exact = Set(patterns.filter(\.isLiteral).map(\.description))
        globs = patterns.filter { !$0.isLiteral }.sorted { $0.description < $1.description }
    }

    /// Exactly these names.
    package init(exactly names: Set<String>) {
        spelled = names
        exact = names
        globs = []
    }

    /// Whether it has no patterns, so that ``exact`` is all of it.
    package var isExact: Bool { globs.isEmpty }

    /// Without names that are not among these, and patterns that fit none of them.
    func narrowed(to names: Set<String>) -> NameSet {
        let fitting = globs.filter { glob in names.contains(where: glob.matches) }
        return NameSet(Set(exact.intersection(names).compactMap(Glob.init) + fitting))
    }

    var isEmpty: Bool { spelled.isEmpty }

    package func matches(_ name: String) -> Bool {
        exact.contains(name) || globs.contains { $0.matches(name) }
    }
}
