package import StrictJSON

/// A parameter of an action.
package struct ParameterDefinition: Sendable, Hashable {
    package indirect enum Form: Sendable, Hashable {
        case boolean
        case integer(ClosedRange<Int>)
        /// A number that may have a fraction.
        case number(ClosedRange<Double>)
        case text(TextForm)
        case choice([String])
        /// A list of values of the form: at least one, and at most the given number.
        case list(Form, upTo: Int)
        /// Names and scalar values, passed to PVE unchanged.
        case object
    }

    /// How the value is sent to PVE.
    package enum Encoding: Sendable, Hashable {
        case plain
        /// A list, with each value sent as a separate parameter.
        case repeated
        /// A secret that PVE decodes a second time, after the form.
        case percent
    }

    /// How the parameter identifies the object that an edit is about.
    package enum Identity: Sendable, Hashable {
        case name
        /// A position in a list. A new entry without one goes first.
        case place
    }

    /// The name; `net[n]` for a family `net0`, `net1`, ….
    package let name: String
    package let form: Form
    package let summary: String
    /// Read by the agent and not passed on as a parameter of the call.
    package let agentOnly: Bool
    /// When it may be given.
    package let when: Condition
    /// When it must be given; `nil` for never.
    package let requiredWhen: Condition?
    /// The number of members of a family; `nil` for a single parameter.
    package let count: Int?
    /// How it identifies the edited object; `nil` if it is one of the object's settings.
    package let identity: Identity?
    package let encoding: Encoding

    init(
        _ name: String, _ form: Form, required: Bool = false, requiredWhen: Condition? = nil, agentOnly: Bool = false,
        when: Condition = .always, count: Int? = nil, identity: Identity? = nil, encoding: Encoding = .plain,
        _ summary: String
    ) {
        self.name = name
        self.form = form
        self.summary = summary
        self.agentOnly = agentOnly
        self.when = when
        self.requiredWhen = required ? when : requiredWhen
        self.count = count
        self.identity = identity
        self.encoding = encoding
    }

    /// Whether every request must have it.
    package var required: Bool { requiredWhen == .always }

    /// Whether `key` is this parameter or a member of this family.
    package func matches(_ key: String) -> Bool {
        guard let count else { return key == name }
        return name.names(key) && Int(key.dropFirst(name.count - "[n]".count)).map { $0 < count } ?? false
    }

    /// The same definition with another condition.
    func only(_ when: Condition, required: Condition? = nil) -> Self {
        Self(
            name, form, requiredWhen: required ?? requiredWhen?.and(when), agentOnly: agentOnly, when: when,
            count: count, identity: identity, encoding: encoding, summary)
    }

    /// Names whose values are secrets wherever they occur among parameters.
    ///
    /// `input-data` and `env` may hold anything. PVE itself hides the values of the others in reads.
    package static let secretNames: Set<String> = [
        "password", "cipassword", "keyring", "encryption-key", "master-pubkey", "sshkeys", "secret", "token",
        "token-value", "private-key", "input-data", "env",
    ]

    /// Whether the key is one of a guest's network devices.
    package static func isNetworkDevice(_ key: String) -> Bool { "net[n]".names(key) }

    /// Parts of names that only secrets have. A misspelt name, which PVE will refuse, is therefore hidden as well.
    private static let secretParts = [
        "passw", "passphrase", "secret", "keyring", "private-key", "api-key", "credential",
    ]

    /// Whether a parameter of this name holds a secret, in any spelling.
    package static func isSecret(_ name: String) -> Bool {
        let name = name.lowercased().replacing("_", with: "-")
        return secretNames.contains(name) || secretParts.contains { name.contains($0) }
    }
}

extension ParameterDefinition.Form {
    /// Free text with a maximum number of characters.
    static func text(_ limit: Int) -> Self { .text(.text(limit)) }

    /// The value for a request, converted from the value that PVE shows; `nil` if PVE shows something else.
    package func value(shownByPVE shown: JSON) -> JSON? {
        // PVE returns some texts already split: `{"keep-last": "3"}`.
        let settings = shown.object?.members.map { "\($0.key)=\($0.value.string ?? $0.value.text)" }
        let text = shown.string ?? settings?.sorted().joined(separator: ",") ?? shown.text
        switch self {
        case .boolean: return text == "1" ? true : text == "0" ? false : nil
        case .integer(let bounds): return Int(text).flatMap { bounds.contains($0) ? JSON($0) : nil }
        case .number(let bounds):
            if let whole = Int(text), bounds.contains(Double(whole)) { return JSON(whole) }
            return Double(text).flatMap { bounds.contains($0) ? JSON($0) : nil }
        case .text(let form): return form.matches(text) ? .string(text) : nil
        case .choice(let words): return words.contains(text) ? .string(text) : nil
        case .list(let element, _):
            let parts = text.split(whereSeparator: { ",; ".contains($0) }).map { JSON.string(String($0)) }
            let values = parts.compactMap(element.value(shownByPVE:))
            return parts.isEmpty || values.count < parts.count ? nil : .array(values)
        case .object: return nil
        }
    }
}
