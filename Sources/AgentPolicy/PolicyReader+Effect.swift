import AgentModel
import StrictJSON

/// Reads what a rule does.
extension PolicyReader {
    private static let words = ["deny", "require", "raise_risk", "windows", "limits", "allow"]
    private static let form =
        "deny or require_approval, or an object with one of \(words.joined(separator: ", "))"

    func effect(_ reader: inout ObjectReader) -> PolicyEffect? {
        reader.require("effect", Self.form)
        let approvals = reader.integer("approvals", in: 1...10)
        let assurance = self.assurance(&reader)
        let value = reader.value("effect")
        if value != "require_approval" {
            for (key, isGiven) in [("approvals", approvals != nil), ("assurance", assurance != nil)] where isGiven {
                reader.report(
                    key,
                    value == "deny"
                        ? "is for require_approval; what is denied cannot be approved"
                        : "is for require_approval; here it belongs into effect.require")
            }
        }
        switch value {
        case nil: return nil
        case "deny": return .deny
        case "require_approval": return .require(RuleRequirement(approvals: approvals ?? 1, assurance: assurance))
        case .object(let object)?:
            let given = object.keys.filter(Self.words.contains)
            guard given.count == 1, object.keys.count == 1, let word = given.first else {
                let what = object.keys.isEmpty ? "nothing" : object.keys.joined(separator: ", ")
                reader.report("effect", "expected \(Self.form), got \(what); several effects are several rules")
                return nil
            }
            var inner = ObjectReader(object, at: reader.path.key("effect"))
            let effect = effect(word, &inner)
            inner.refuseUnknown()
            reader.report(inner.issues)
            return effect
        case let other?:
            reader.report("effect", "expected \(Self.form), got \(other.shown)")
            return nil
        }
    }

    private func effect(_ word: String, _ reader: inout ObjectReader) -> PolicyEffect? {
        switch word {
        case "deny":
            if reader.bool("deny") == false { reader.report("deny", "is true, or is not there") }
            return .deny
        case "require":
            var requirement = RuleRequirement()
            reader.section("require") { requirement = self.requirement(&$0) }
            return .require(requirement)
        case "raise_risk":
            return reader.parsed("raise_risk", "medium or high") { $0 == "low" ? nil : Risk(rawValue: $0) }
                .map(PolicyEffect.raiseRisk)
        case "windows": return schedule("windows", &reader).map(PolicyEffect.windows)
        case "limits": return .limits(limits(&reader))
        default:
            var isSaid = false
            reader.section("allow") { reader in
                isSaid = reader.bool("override_base") == true
                if !isSaid {
                    reader.report("override_base", "must be true: the rule drops approvals that the catalogue asks for")
                }
            }
            return isSaid ? .allow : nil
        }
    }

    private func assurance(_ reader: inout ObjectReader) -> Assurance? {
        reader.parsed("assurance", "signed or hardware") { ["signed": Assurance.signed, "hardware": .hardware][$0] }
    }

    private func requirement(_ reader: inout ObjectReader) -> RuleRequirement {
        let approvals = reader.integer("approvals", in: 1...10)
        var requirement = RuleRequirement(assurance: assurance(&reader))
        reader.section("approvers") { reader in
            requirement.principals =
                reader.set("principals", principals.form(of: "principal"), principals.known) ?? []
            requirement.roles =
                reader.set("roles", "a role, as approver", Role.init(rawValue:)) ?? []
            requirement.groups =
                reader.set("groups", "a group of this policy") { groups[$0] == nil ? nil : $0 } ?? []
            let isEmpty = requirement.principals.isEmpty && requirement.roles.isEmpty && requirement.groups.isEmpty
            if isEmpty, reader.issues.isEmpty {
                reader.report([JSONError(path: reader.path, detail: "is empty; name principals, roles or groups")])
            }
        }
        let distinct = reader.parsed("distinct_from", "requester or group") {
            ["requester", "group"].contains($0) ? $0 : nil
        }
        requirement.isFromOtherGroup = distinct == "group"
        if requirement.isFromOtherGroup, groups.isEmpty {
            reader.report("distinct_from", "compares groups, and the policy has none; define groups")
        }
        let isAboutApprovals = requirement.clause(of: "") != nil || requirement.assurance != nil || distinct != nil
        requirement.approvals = approvals ?? (isAboutApprovals ? 1 : 0)
        requirement.ticket = reader.parsed("ticket", "a form such as OPS-*; * and ? stand for others", Glob.init)
        requirement.needsReason = flag("reason", &reader)
        requirement.needsSafetySnapshot = flag("safety_snapshot", &reader)
        requirement.backupSeconds = period("backup_within", &reader)
        if requirement == RuleRequirement(), reader.issues.isEmpty {
            reader.report([
                JSONError(path: reader.path, detail: "is empty; say what it requires, as in {\"approvals\": 2}")
            ])
        }
        return requirement
    }

    /// A requirement that is there or not; false would only look like one that loosens.
    private func flag(_ key: String, _ reader: inout ObjectReader) -> Bool {
        let flag = reader.bool(key)
        if flag == false {
            reader.report(key, "is true, or is not there; a rule cannot take away what another requires")
        }
        return flag == true
    }

    private func period(_ key: String, _ reader: inout ObjectReader) -> Int? {
        reader.parsed(key, "a period such as 90s, 15m, 24h or 7d, of at most 31d", UsageLimit.seconds(parsing:))
    }

    // MARK: Limits

    private func limits(_ reader: inout ObjectReader) -> [UsageLimit] {
        var limits: [UsageLimit] = []
        reader.each("limits") { _, reader in
            let words = UsageLimit.Counted.allCases.map(\.rawValue).joined(separator: ", ")
            let count = reader.parsed("count", "one of \(words)", UsageLimit.Counted.init(rawValue:))
            reader.require("count", "one of \(words)")
            let most = amount("most", count, &reader)
            reader.require("most", "a number")
            let seconds = period("per", &reader)
            if count == .concurrent, seconds != nil {
                reader.report("per", "is for what is counted over a time; concurrent counts what runs now")
            } else if count != nil, count != .concurrent {
                reader.require("per", "a period such as 1h")
            }
            let scopes = UsageLimit.Scope.allCases.map(\.rawValue).joined(separator: ", ")
            let by = reader.parsed("by", "one of \(scopes)", UsageLimit.Scope.init(rawValue:)) ?? .all
            guard let count, let most else { return }
            if let limit = UsageLimit(count: count, most: most, seconds: seconds, by: by) { limits.append(limit) }
        }
        if reader.issues.isEmpty, limits.isEmpty { reader.report("limits", "is empty; give it one limit or more") }
        return limits
    }

    /// A number, or for bytes a size such as `500G`.
    private func amount(_ key: String, _ count: UsageLimit.Counted?, _ reader: inout ObjectReader) -> Int64? {
        guard let value = reader.value(key) else { return nil }
        if count == .bytesDestroyed, value.string != nil {
            if let bytes = Quantity(value).flatMap({ Int64(exactly: $0.value.rounded(.down)) }),
                UsageLimit.amounts.contains(bytes)
            {
                return bytes
            }
        } else if case .integer(let number) = value, UsageLimit.amounts.contains(number) {
            return number
        }
        reader.report(
            key,
            "expected \(count == .bytesDestroyed ? "bytes, or a size such as 500G" : "a whole number"), from 0, got \(value.shown)"
        )
        return nil
    }
}
