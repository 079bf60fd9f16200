package import AgentModel

/// What a policy makes of every action: a Markdown table with a row for each action and a column for each environment
/// and role.
///
/// Each cell is about the least request for the action, on a target with neither tags nor a pool.
package struct PolicyMatrix: Sendable {
    private let overview: PolicyOverview
    private let columns: [(environment: EnvironmentSettings, role: Role)]

    /// `environments` are those of the configuration; if none are known, the table is about one that no rule names.
    package init(_ policy: Policy, environments: [EnvironmentSettings]) {
        overview = PolicyOverview(policy)
        let places = environments.isEmpty ? [PolicySamples.anyEnvironment].compactMap(\.self) : environments
        // An auditor reads records alone. An administrator asks for what a viewer does, so the column would only repeat
        // the viewer's, unless a rule tells them apart.
        let named = policy.rules.flatMap(\.match.conditions).contains { condition in
            if case .roles(let roles) = condition { roles.contains(.administrator) } else { false }
        }
        let roles = Role.allCases.filter {
            !$0.rights.isDisjoint(with: [.view, .change]) && ($0 != .administrator || named)
        }
        columns = places.flatMap { place in roles.map { (place, $0) } }
    }

    /// The table, and below it what it does not show.
    package var lines: [String] {
        var shown: Set<String> = []
        let rows = ActionCatalog.all.map { definition in
            let requests = PolicySamples.requests(definition)
            return [definition.action.rawValue]
                + columns.map { column in cell(requests, column.environment, column.role, &shown) }
        }
        let heads = ["action"] + columns.map { "\($0.environment.name) \($0.role.rawValue)" }
        var lines = ([heads, heads.map { _ in "---" }] + rows).map { "| \($0.joined(separator: " | ")) |" }
        let hidden = overview.policy.rules.filter { !shown.contains($0.id) }
        if !hidden.isEmpty {
            lines += ["", "Rules that no cell shows, because of their other conditions:", ""]
            lines += hidden.map { "* `\($0.id)`: \($0.description.dropFirst($0.id.count + 2))" }
        }
        let timed = overview.timed.filter(shown.contains)
        if !timed.isEmpty { lines += ["", "Shown as if it were their time: \(timed.joined(separator: ", "))."] }
        return lines
    }

    /// One outcome or, where the forms of target differ, one for each form.
    private func cell(
        _ requests: [ActionRequest], _ environment: EnvironmentSettings, _ role: Role, _ shown: inout Set<String>
    ) -> String {
        let isChange = requests.first?.definition.effect == .change
        guard role.rights.contains(isChange ? .change : .view) else { return "–" }
        var texts: [(form: String, text: String)] = []
        for request in requests {
            let (outcome, rules) = overview.outcome(
                of: PolicyInput(request, by: PolicySamples.requester, roles: [role], in: environment))
            shown.formUnion(rules)
            texts.append(
                (
                    request.target.form.rawValue,
                    outcome.word + (rules.isEmpty ? "" : " (\(rules.joined(separator: ", ")))")
                ))
        }
        guard let first = texts.first?.text, texts.contains(where: { $0.text != first }) else {
            return texts.first?.text ?? "–"
        }
        return texts.map { "\($0.form): \($0.text)" }.joined(separator: "; ")
    }
}
