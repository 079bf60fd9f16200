package import StrictJSON

/// What a request must contain for a part of a definition to apply: certain parameters, and a target of certain forms.
package struct Condition: Sendable, Hashable {
    package enum Test: Sendable, Hashable {
        case given
        case missing
        /// The parameter is a flag that is set.
        case set
        /// The parameter is not a flag that is set.
        case notSet
        /// The parameter is a list that contains one of these names or a member of one of these families.
        case lists([String])
        /// The parameter is one of these words.
        case among([String])
    }

    /// By the parameter's name; all must hold.
    private var tests: [String: Test] = [:]
    /// One of these parameters, or of these families, is given. Empty for no such requirement.
    private var given: [String] = []
    /// Empty for any form.
    package private(set) var targets: Set<TargetForm> = []
    /// One of these holds. Empty for no such requirement.
    private var alternatives: [Condition] = []

    package static let always = Condition()

    static func with(_ name: String) -> Self { Condition(tests: [name: .given]) }
    static func without(_ name: String) -> Self { Condition(tests: [name: .missing]) }
    static func flag(_ name: String) -> Self { Condition(tests: [name: .set]) }
    static func unless(_ name: String) -> Self { Condition(tests: [name: .notSet]) }
    static func lists(_ name: String, _ names: [String]) -> Self { Condition(tests: [name: .lists(names)]) }
    static func when(_ name: String, _ words: String...) -> Self { Condition(tests: [name: .among(words)]) }
    static func among(_ name: String, _ words: [String]) -> Self { Condition(tests: [name: .among(words)]) }
    static func any(_ names: [String]) -> Self { Condition(given: names) }
    static func on(_ forms: TargetForm...) -> Self { Condition(targets: Set(forms)) }
    static func anyOf(_ alternatives: Condition...) -> Self { Condition(alternatives: alternatives) }

    /// Both conditions.
    func and(_ other: Condition) -> Self {
        Condition(
            tests: tests.merging(other.tests) { $1 }, given: given + other.given,
            targets: targets.isEmpty || other.targets.isEmpty
                ? targets.union(other.targets) : targets.intersection(other.targets),
            alternatives: alternatives + other.alternatives)
    }

    package func holds(for params: JSONObject, on target: Target) -> Bool {
        guard targets.isEmpty || targets.contains(target.form) else { return false }
        guard alternatives.isEmpty || alternatives.contains(where: { $0.holds(for: params, on: target) }) else {
            return false
        }
        guard given.isEmpty || params.keys.contains(where: { key in given.contains { $0.names(key) } }) else {
            return false
        }
        return tests.allSatisfy { name, test in
            switch test {
            case .given: params[name] != nil
            case .missing: params[name] == nil
            case .set: params[name] == true
            case .notSet: params[name] != true
            case .lists(let names):
                params[name]?.array?.compactMap(\.string).contains { key in names.contains { $0.names(key) } } ?? false
            case .among(let words): params[name]?.string.map(words.contains) ?? false
            }
        }
    }

    /// The condition in words, `with op add or change, on vm/ID`; empty for the one that always holds.
    package var text: String {
        var parts = tests.sorted { $0.key < $1.key }.map { name, test in
            switch test {
            case .given: "with \(name)"
            case .missing: "without \(name)"
            case .set: "with \(name): true"
            case .notSet: "unless \(name) is true"
            case .lists(let names): "with \(name) of \(names.joined(separator: " or "))"
            case .among(let words): "with \(name) \(words.joined(separator: " or "))"
            }
        }
        if !given.isEmpty { parts.append("with one of \(given.joined(separator: ", "))") }
        if !targets.isEmpty { parts.append("on " + targets.map(\.rawValue).sorted().joined(separator: " or ")) }
        if !alternatives.isEmpty { parts.append(alternatives.map(\.text).joined(separator: "; or ")) }
        return parts.joined(separator: ", ")
    }
}

extension String {
    /// Whether this is the parameter's name or the name of its family: `net[n]` names `net0`.
    package func names(_ key: String) -> Bool {
        guard hasSuffix("[n]") else { return key == self }
        let stem = dropLast("[n]".count)
        let digits = key.dropFirst(stem.count)
        return key.hasPrefix(stem) && !digits.isEmpty && digits.utf8.allSatisfy(TextForm.isDigit)
            && (digits == "0" || digits.first != "0")
    }
}
