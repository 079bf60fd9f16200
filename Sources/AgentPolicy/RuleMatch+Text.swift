import AgentModel
package import StrictJSON

/// A rule's conditions as a policy file and as a sentence have them.
extension RuleMatch {
    /// As a policy file has it, with sorted lists: the same for the same conditions.
    package var document: JSON {
        switch self {
        case .all(let parts):
            let keys = parts.map(\.key)
            let isFlat = Set(keys).count == keys.count && !keys.contains("all")
            return isFlat
                ? .object(parts.reduce(into: JSONObject()) { $0.append($1.key, $1.value) })
                : ["all": .array(parts.map(\.document))]
        case .any, .not, .environments, .label, .actions, .risks, .forms, .principals, .roles, .parameter, .guests,
            .subjects, .checks, .time, .targets, .ids, .names, .tags, .pools, .nodes, .storages:
            return .object(JSONObject(dictionaryLiteral: (key, value)))
        }
    }

    /// The key of this condition in a policy file.
    var key: String {
        switch self {
        case .all: "all"
        case .any: "any"
        case .not: "not"
        case .environments: "environments"
        case .label: "labels"
        case .actions: "actions"
        case .risks: "risk"
        case .forms: "forms"
        case .principals: "principals"
        case .roles: "roles"
        case .parameter: "params"
        case .guests: "guests_at_least"
        case .subjects: "subjects_at_least"
        case .checks: "checks"
        case .time: "time"
        case .targets: "targets"
        case .ids: "vmids"
        case .names: "names"
        case .tags: "tags"
        case .pools: "pools"
        case .nodes: "nodes"
        case .storages: "storages"
        }
    }

    var value: JSON {
        switch self {
        case .all(let parts), .any(let parts): .array(parts.map(\.document))
        case .not(let part): part.document
        case .environments(let names), .checks(let names), .names(let names), .tags(let names), .pools(let names),
            .nodes(let names), .storages(let names):
            JSON(names.spelled.sorted())
        case .label(let key, let values): .object(JSONObject(dictionaryLiteral: (key, JSON(values.spelled.sorted()))))
        case .actions(let spelled, _), .principals(let spelled, _), .forms(let spelled): JSON(spelled.sorted())
        case .risks(let risks): JSON(risks.sorted().map(\.rawValue))
        case .roles(let roles): JSON(roles.map(\.rawValue).sorted())
        case .parameter(let key, let test): .object(JSONObject(dictionaryLiteral: (key.description, test.document)))
        case .guests(let least), .subjects(let least): JSON(least)
        case .time(let schedule): schedule.document
        case .targets(let patterns): JSON(patterns.map(\.description).sorted())
        case .ids(let ranges):
            JSON(
                ranges.sorted { $0.lowerBound < $1.lowerBound }.map {
                    $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
                })
        }
    }

    /// In words, behind the rule's effect: `in home for start_vm on vm/101 tagged prod by alice`.
    package var phrase: String {
        switch self {
        case .all(let parts): parts.map(\.phrase).joined(separator: " ")
        case .any(let parts): "(" + parts.map(\.phrase).joined(separator: ") or (") + ")"
        case .not(let part): "not (\(part.phrase))"
        case .environments: "in \(list)"
        case .label(let key, let values): "where \(key) is \(values.spelled.sorted().joined(separator: ", "))"
        case .actions: "for \(list)"
        case .risks: "of \(list) risk"
        case .forms: "at \(list)"
        case .principals: "by \(list)"
        case .roles: "by role \(list)"
        case .parameter(let key, let test): "with \(key)\(test.phrase)"
        case .guests(let least): "reaching \(least) guests or more"
        case .subjects(let least): "reaching \(least) subjects or more"
        case .checks: "with check \(list)"
        case .time(let schedule): "during \(schedule)"
        case .targets: "on \(list)"
        case .ids: "on vmid \(list)"
        case .names: "named \(list)"
        case .tags: "tagged \(list)"
        case .pools: "in pool \(list)"
        case .nodes: "on node \(list)"
        case .storages: "on storage \(list)"
        }
    }

    private var list: String { (value.array ?? []).compactMap(\.string).joined(separator: ", ") }
}

extension ParameterTest {
    fileprivate var document: JSON {
        var object = JSONObject()
        for (key, limit) in limits { if let limit { object.append(key, .string(limit.description)) } }
        if let values { object.append("is", .array(values.sorted { $0.text < $1.text })) }
        if let like { object.append("like", .string(like.description)) }
        return .object(object)
    }

    private var limits: [(String, Quantity?)] {
        [("above", above), ("below", below), ("at_least", atLeast), ("at_most", atMost)]
    }

    fileprivate var phrase: String {
        let words = limits.compactMap { key, limit in
            limit.map { " \(key.split(separator: "_").joined(separator: " ")) \($0)" }
        }
        let values = values.map { " = " + $0.map { $0.string ?? $0.text }.sorted().joined(separator: " or ") } ?? ""
        return words.joined() + values + (like.map { " like \($0)" } ?? "")
    }
}
