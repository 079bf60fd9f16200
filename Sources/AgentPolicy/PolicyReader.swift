import AgentModel
package import StrictJSON

/// Reads a policy from JSON, and collects all errors.
package struct PolicyReader {
    let environments: KnownNames
    let principals: KnownNames
    /// The rules of a time zone, by its name.
    let zone: (String) throws(ZoneError) -> TimeZoneRules
    /// The principals in each group.
    private(set) var groups: [String: Set<String>] = [:]

    /// Why a time zone cannot be used, in words for the error about it.
    package struct ZoneError: Error {
        package let detail: String

        package init(_ detail: String) { self.detail = detail }
    }

    /// - Parameters:
    ///   - environments: those that rules may name.
    ///   - principals: those that rules may name.
    ///   - zone: finds the rules of a time zone by its name.
    package init(
        environments: KnownNames = .any, principals: KnownNames = .any,
        zone: @escaping (String) throws(ZoneError) -> TimeZoneRules
    ) {
        self.environments = environments
        self.principals = principals
        self.zone = zone
    }

    /// The keys of rules as they were before there was `match`, which mean the same inside it.
    static let flatKeys = ["environments", "actions", "targets", "tags", "principals"]

    /// Reads the members of a policy object.
    package mutating func policy(_ reader: inout ObjectReader) -> Policy {
        _ = reader.parsed("$schema", "the address of a JSON Schema") { $0 }
        readGroups(&reader)
        var rules: [PolicyRule] = []
        var places: [String: Int] = [:]
        reader.each("rules") { [self] index, reader in
            let rule = self.rule(&reader)
            if let id = rule.id {
                if places[id] != nil {
                    reader.report("id", "\"\(id)\" is taken by another rule; ids are unique")
                }
                places[id] = index
            }
            if let id = rule.id, let effect = rule.effect {
                rules.append(
                    PolicyRule(id: id, summary: rule.summary, match: rule.match, effect: effect, reason: rule.reason))
            }
        }
        return Policy(rules: rules, groups: groups)
    }

    private struct Parts {
        var id: String?
        var summary: String?
        var match = RuleMatch.always
        var effect: PolicyEffect?
        var reason: String?
    }

    private func rule(_ reader: inout ObjectReader) -> Parts {
        var parts = Parts()
        parts.id = reader.parsed("id", "1 to 64 of a-z 0-9 - _ .") { Self.isName($0) ? $0 : nil }
        reader.require("id", "a name such as two-for-prod")
        parts.summary = line("description", &reader)
        parts.reason = line("reason", &reader)
        parts.effect = effect(&reader)
        let isLoosening = parts.effect == .allow
        if let object = reader.object("match") {
            var inner = ObjectReader(object, at: reader.path.key("match"))
            parts.match = match(&inner, MatchPlace(isNegated: isLoosening))
            reader.report(inner.issues)
            for key in Self.flatKeys where reader.value(key) != nil {
                reader.report(key, "stands beside match; put it inside")
            }
        } else {
            parts.match = .all(Self.flatKeys.compactMap { condition($0, &reader, MatchPlace(isNegated: isLoosening)) })
        }
        checkReads(parts, &reader)
        return parts
    }

    /// Reads take no approval.
    private func checkReads(_ parts: Parts, _ reader: inout ObjectReader) {
        guard case .require? = parts.effect else { return }
        let named = parts.match.parts.compactMap { part in
            if case .actions(_, let actions) = part { actions } else { nil }
        }
        if let actions = named.first, !actions.isEmpty,
            actions.allSatisfy({ ActionCatalog.definition(of: $0).effect == .read })
        {
            reader.report("actions", "names reads alone, which take no approval; deny bounds them")
        }
    }

    private func line(_ key: String, _ reader: inout ObjectReader) -> String? {
        reader.parsed(key, "a text of 1 to 500 characters on one line") {
            !$0.isEmpty && TextForm.text(500).matches($0) && !$0.contains("\n") ? $0 : nil
        }
    }

    static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || "-_.".utf8.contains($0)
            }
    }

    // MARK: Groups

    private mutating func readGroups(_ reader: inout ObjectReader) {
        guard let object = reader.object("groups") else { return }
        let path = reader.path.key("groups")
        var inner = ObjectReader(object, at: path)
        var members: [String: Set<String>] = [:]
        for name in object.keys {
            if !Self.isName(name) { inner.report(name, "expected a name of 1 to 64 of a-z 0-9 - _ .") }
            members[name] = inner.set(name, "\(principals.form(of: "principal")), or @ and a group") { text in
                text.hasPrefix("@") ? (object[String(text.dropFirst())] == nil ? nil : text) : principals.known(text)
            }
        }
        for name in object.keys {
            if let cycle = Self.cycle(from: name, in: members) {
                inner.report(name, "includes itself: \(cycle.joined(separator: " includes ")); take one of them out")
            }
        }
        reader.report(inner.issues)
        guard inner.issues.isEmpty else { return }
        groups = members.mapValues { _ in [] }
        for name in members.keys { groups[name] = Self.resolve(name, in: members) }
    }

    private static func included(_ members: Set<String>?) -> [String] {
        (members ?? []).filter { $0.hasPrefix("@") }.map { String($0.dropFirst()) }.sorted()
    }

    /// The way from a group over included ones back to it, if there is one.
    private static func cycle(from start: String, in members: [String: Set<String>]) -> [String]? {
        var (ways, seen) = ([[start]], Set<String>())
        while let way = ways.popLast(), let last = way.last {
            for next in included(members[last]) {
                if next == start { return way + [start] }
                if seen.insert(next).inserted { ways.append(way + [next]) }
            }
        }
        return nil
    }

    private static func resolve(_ name: String, in members: [String: Set<String>]) -> Set<String> {
        var (waiting, seen, found) = ([name], Set([name]), Set<String>())
        while let next = waiting.popLast() {
            found.formUnion((members[next] ?? []).filter { !$0.hasPrefix("@") })
            for group in included(members[next]) where seen.insert(group).inserted { waiting.append(group) }
        }
        return found
    }
}
