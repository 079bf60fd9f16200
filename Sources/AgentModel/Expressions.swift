import Synchronization

/// Regular expressions, each compiled once. There are as many as the catalogue's forms have.
final class Expressions: Sendable {
    static let shared = Expressions()

    private let compiled = Mutex<[String: Regex<AnyRegexOutput>]>([:])

    /// Whether the expression, one of our own, matches the whole text.
    func matches(_ expression: String, _ text: String) -> Bool {
        compiled.withLock { compiled in
            if let regex = compiled[expression] { return text.wholeMatch(of: regex) != nil }
            guard let regex = try? Regex(expression) else { return false }
            compiled[expression] = regex
            return text.wholeMatch(of: regex) != nil
        }
    }
}
