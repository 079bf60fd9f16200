import AgentModel
import StrictJSON

/// Where a condition stands.
struct MatchPlace {
    /// How many `any`, `all` and `not` it is in.
    var depth = 0
    /// Whether more subjects should make it hold less: behind an odd number of `not`, or the other way round in a rule
    /// that loosens.
    var isNegated: Bool

    static let deepest = 8

    func inside(negating: Bool = false) -> MatchPlace {
        MatchPlace(depth: depth + 1, isNegated: negating ? !isNegated : isNegated)
    }
}

/// Reads a rule's conditions.
extension PolicyReader {
    private static let keys = [
        "environments", "labels", "actions", "risk", "forms", "principals", "roles", "params", "guests_at_least",
        "subjects_at_least", "checks", "time", "targets", "vmids", "names", "tags", "pools", "nodes", "storages", "all",
        "any", "not",
    ]

    /// Reads a `match`: all of its conditions must hold.
    func match(_ reader: inout ObjectReader, _ place: MatchPlace) -> RuleMatch {
        let parts = Self.keys.compactMap { condition($0, &reader, place) }
        reader.refuseUnknown()
        // Conditions of several members, such as labels, stand flat among the others.
        return .all(parts.flatMap { part in if case .all(let inner) = part { inner } else { [part] } })
    }

    func condition(_ key: String, _ reader: inout ObjectReader, _ place: MatchPlace) -> RuleMatch? {
        switch key {
        case "environments": return environmentNames(&reader).map(RuleMatch.environments)
        case "labels": return labels(&reader)
        case "actions": return actions(&reader)
        case "risk": return reader.set(key, "low, medium or high", Risk.init(rawValue:)).map(RuleMatch.risks)
        case "forms":
            let words = Set(TargetForm.allCases.map(\.word))
            return reader.set(key, "one of \(words.sorted().joined(separator: ", "))") {
                words.contains($0) ? $0 : nil
            }.map(RuleMatch.forms)
        case "principals": return principalNames(&reader)
        case "roles":
            let words = Role.allCases.map(\.rawValue).joined(separator: ", ")
            return reader.set(key, "one of \(words)", Role.init(rawValue:)).map(RuleMatch.roles)
        case "params": return parameters(&reader)
        case "guests_at_least": return least(key, &reader, place).map { .guests(atLeast: $0) }
        case "subjects_at_least": return least(key, &reader, place).map { .subjects(atLeast: $0) }
        case "checks": return names(key, "the id of a check, such as guest-exists", &reader).map(RuleMatch.checks)
        case "time": return schedule(key, &reader).map(RuleMatch.time)
        case "targets":
            return reader.set(
                key, "a target such as vm/101, or the beginning of one with a * behind it, as in vm/*",
                TargetPattern.init
            ).map(RuleMatch.targets)
        case "vmids": return vmids(&reader)
        case "tags":
            return reader.set(
                key, "a tag, of A-Z a-z 0-9 _ - + . and not beginning with - + .; * and ? stand for others"
            ) { Self.isTag($0) ? Glob($0.lowercased()) : nil }.map { .tags(NameSet($0)) }
        case "names": return names(key, "the name of a guest; * and ? stand for others", &reader).map(RuleMatch.names)
        case "pools": return names(key, "a pool; * and ? stand for others", &reader).map(RuleMatch.pools)
        case "nodes": return names(key, "a node; * and ? stand for others", &reader).map(RuleMatch.nodes)
        case "storages": return names(key, "a storage; * and ? stand for others", &reader).map(RuleMatch.storages)
        case "all", "any": return several(key, &reader, place)
        default: return negation(&reader, place)
        }
    }

    // MARK: Conditions of conditions

    private func several(_ key: String, _ reader: inout ObjectReader, _ place: MatchPlace) -> RuleMatch? {
        guard isShallow(key, &reader, place) else { return nil }
        var parts: [RuleMatch] = []
        let isGiven = reader.value(key) != nil
        reader.each(key) { _, inner in parts.append(match(&inner, place.inside())) }
        if isGiven, parts.isEmpty { reader.report(key, "is empty; give it one condition or more") }
        guard isGiven else { return nil }
        return key == "all" ? .all(parts) : .any(parts)
    }

    private func negation(_ reader: inout ObjectReader, _ place: MatchPlace) -> RuleMatch? {
        guard isShallow("not", &reader, place), let object = reader.object("not") else { return nil }
        var inner = ObjectReader(object, at: reader.path.key("not"))
        let part = match(&inner, place.inside(negating: true))
        if object.keys.isEmpty { inner.report([JSONError(path: inner.path, detail: "is empty, which never holds")]) }
        reader.report(inner.issues)
        return .not(part)
    }

    private func isShallow(_ key: String, _ reader: inout ObjectReader, _ place: MatchPlace) -> Bool {
        guard place.depth >= MatchPlace.deepest, reader.value(key) != nil else { return true }
        reader.report(key, "is nested deeper than \(MatchPlace.deepest); write it flatter, or as two rules")
        return false
    }

    // MARK: The request

    private func environmentNames(_ reader: inout ObjectReader) -> NameSet? {
        reader.set("environments", environments.form(of: "environment")) { text in
            Glob(text).flatMap { glob in
                if glob.isLiteral { return environments.known(text).flatMap(EnvironmentName.init).map { _ in glob } }
                return environments.all?.contains(where: glob.matches) ?? true ? glob : nil
            }
        }.map(NameSet.init)
    }

    private func labels(_ reader: inout ObjectReader) -> RuleMatch? {
        guard let object = reader.object("labels") else { return nil }
        var inner = ObjectReader(object, at: reader.path.key("labels"))
        let parts = object.keys.compactMap { key in
            inner.set(key, "a label's value; * and ? stand for others", Glob.init).map {
                RuleMatch.label(key, NameSet($0))
            }
        }
        if object.keys.isEmpty { reader.report("labels", "is empty; name a label of environments, with its values") }
        reader.report(inner.issues)
        return .all(parts)
    }

    private func actions(_ reader: inout ObjectReader) -> RuleMatch? {
        var found: Set<Action> = []
        let expected = "an action, as GET /v1/actions lists them"
        let spelled = reader.set("actions", expected) { text -> String? in
            guard let glob = Glob(text) else { return nil }
            let meant =
                glob.isLiteral
                ? [Action(rawValue: text)].compactMap(\.self)
                : Action.allCases.filter { glob.matches($0.rawValue) }
            found.formUnion(meant)
            return meant.isEmpty ? nil : text
        }
        return spelled.map { .actions($0, found) }
    }

    private func principalNames(_ reader: inout ObjectReader) -> RuleMatch? {
        var found: Set<String> = []
        let spelled = reader.set("principals", principals.form(of: "principal")) { text -> String? in
            let ids = text.hasPrefix("@") ? groups[String(text.dropFirst())] : principals.known(text).map { [$0] }
            found.formUnion(ids ?? [])
            return ids == nil ? nil : text
        }
        return spelled.map { .principals($0, found) }
    }

    private func parameters(_ reader: inout ObjectReader) -> RuleMatch? {
        guard let object = reader.object("params") else { return nil }
        var inner = ObjectReader(object, at: reader.path.key("params"))
        var parts: [RuleMatch] = []
        for key in object.keys {
            guard let glob = Glob(key) else {
                inner.report(key, "expected the key of a parameter; * and ? stand for others")
                continue
            }
            inner.section(key) { reader in parts.append(.parameter(glob, parameterTest(&reader))) }
        }
        if object.keys.isEmpty { reader.report("params", "is empty; name a parameter, as in {\"memory\": {}}") }
        reader.report(inner.issues)
        return .all(parts)
    }

    private func parameterTest(_ reader: inout ObjectReader) -> ParameterTest {
        var test = ParameterTest()
        func limit(_ key: String) -> Quantity? {
            guard let value = reader.value(key) else { return nil }
            let limit = Quantity(value)
            if limit == nil { reader.report(key, "expected a number, or a size such as 32G, got \(value.shown)") }
            return limit
        }
        (test.above, test.below) = (limit("above"), limit("below"))
        (test.atLeast, test.atMost) = (limit("at_least"), limit("at_most"))
        if let value = reader.value("is") {
            let values = value.array ?? [value]
            if values.isEmpty || values.contains(where: { $0.array != nil || $0.object != nil }) {
                reader.report("is", "expected a text, number or flag, or a list of these, got \(value.shown)")
            }
            test.values = Set(values)
        }
        test.like = reader.parsed("like", "a text; * and ? stand for others", Glob.init)
        return test
    }

    /// More subjects must never make a decision milder.
    private func least(_ key: String, _ reader: inout ObjectReader, _ place: MatchPlace) -> Int? {
        let number = reader.integer(key, in: 2...100_000)
        if number != nil, place.isNegated {
            reader.report(
                key,
                "stands where more subjects would be judged more mildly than fewer; take it out of not, or, where "
                    + "the rule allows, put it into one")
        }
        return number
    }

    // MARK: Subjects

    private func names(_ key: String, _ expected: String, _ reader: inout ObjectReader) -> NameSet? {
        reader.set(key, expected, Glob.init).map(NameSet.init)
    }

    private func vmids(_ reader: inout ObjectReader) -> RuleMatch? {
        guard let elements = reader.array("vmids") else { return nil }
        var ranges: Set<ClosedRange<UInt32>> = []
        let expected = "a guest's number, or a range such as 100-199"
        if elements.isEmpty { reader.report("vmids", "is empty; expected \(expected)") }
        for (index, element) in elements.enumerated() {
            let ends = (element.string ?? element.text).split(separator: "-", omittingEmptySubsequences: false)
                .map { VMID($0)?.rawValue }
            guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1], first <= last
            else {
                reader.report([
                    JSONError(
                        path: reader.path.key("vmids").index(index),
                        detail: "expected \(expected), from 100 to 999999999, got \(element.shown)")
                ])
                continue
            }
            ranges.insert(first...last)
        }
        return .ids(ranges)
    }

    /// PVE's `pve-tag`, with stars and question marks: a letter, digit or `_`, then these and `-`, `+`, `.`.
    private static func isTag(_ text: String) -> Bool {
        let isEdge = { (byte: UInt8) in
            (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || "_*?".utf8.contains(byte)
        }
        return text.utf8.first.map(isEdge) == true && text.utf8.allSatisfy { isEdge($0) || "-+.".utf8.contains($0) }
    }
}
