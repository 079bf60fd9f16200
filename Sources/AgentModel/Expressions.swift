import Synchronization

/// Regular expressions, each compiled once. Their number is bounded by the catalogue's forms.
final class Expressions: Sendable {
    static let shared = Expressions()

    private let compiled = Mutex<[String: Regex<AnyRegexOutput>]>([:])

    /// Whether the expression, which is one of our own, matches the whole text.
    func matches(_ expression: String, _ text: String) -> Bool {
        compiled.withLock { compiled in
            if let regex = compiled[expression] { return text.wholeMatch(of: regex) != nil }
            guard let regex = try? Regex(expression) else { return false }
            compiled[expression] = regex
            return text.wholeMatch(of: regex) != nil
        }
    }
}
