package import StrictJSON

/// What a request must say for a part of a definition to apply: certain parameters, and a target of certain forms.
package struct Condition: Sendable, Hashable {
    package enum Test: Sendable, Hashable {
        case given
        case missing
        /// The parameter is one of these words.
        case among([String])
    }

    /// By the parameter's name; all must hold.
    package private(set) var tests: [String: Test] = [:]
    /// Empty where any form will do.
    package private(set) var targets: Set<TargetForm> = []

    package static let always = Condition()

    static func with(_ name: String) -> Self { Condition(tests: [name: .given]) }
    static func without(_ name: String) -> Self { Condition(tests: [name: .missing]) }
    static func when(_ name: String, _ words: String...) -> Self { Condition(tests: [name: .among(words)]) }
    static func on(_ forms: TargetForm...) -> Self { Condition(targets: Set(forms)) }

    /// Both conditions.
    func and(_ other: Condition) -> Self {
        Condition(
            tests: tests.merging(other.tests) { $1 },
            targets: targets.isEmpty
                ? other.targets : other.targets.isEmpty ? targets : targets.intersection(other.targets))
    }

    package func holds(for params: JSONObject, on target: Target) -> Bool {
        guard targets.isEmpty || targets.contains(target.form) else { return false }
        return tests.allSatisfy { name, test in
            switch test {
            case .given: params[name] != nil
            case .missing: params[name] == nil
            case .among(let words): params[name]?.string.map(words.contains) ?? false
            }
        }
    }

    /// The condition in words, `op add or change, on vm/ID`; empty for the one that always holds.
    package var text: String {
        var parts = tests.sorted { $0.key < $1.key }.map { name, test in
            switch test {
            case .given: "with \(name)"
            case .missing: "without \(name)"
            case .among(let words): "with \(name) \(words.joined(separator: " or "))"
            }
        }
        if !targets.isEmpty { parts.append("on " + targets.map(\.rawValue).sorted().joined(separator: " or ")) }
        return parts.joined(separator: ", ")
    }
}
