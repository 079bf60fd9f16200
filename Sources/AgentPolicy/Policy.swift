package import AgentModel
import StrictJSON

/// Decides what is allowed and what needs approvals: the catalogue's defaults, and rules. Total and pure: the same input
/// gives the same decision.
package struct Policy: Sendable, Hashable {
    /// Sorted by their ids: their order in the file makes no difference.
    package let rules: [PolicyRule]
    /// The ids of the principals in each group, those of included groups among them.
    package let groups: [String: Set<String>]
    private let index: RuleIndex
    /// The labels of environments, for questions that name an environment only.
    private let labels: [EnvironmentName: [String: String]]
    /// Names this policy: `base@7d1c03f2` or `base@7d1c03f2+rules@90ab12cd`. Another version may decide otherwise.
    package let version: String

    package init(
        rules: [PolicyRule] = [], groups: [String: Set<String>] = [:],
        labels: [EnvironmentName: [String: String]] = [:]
    ) {
        self.labels = labels
        self.rules = rules.sorted { $0.id < $1.id }
        self.groups = groups
        index = RuleIndex(self.rules)
        let canonical: JSON = [
            "rules": .array(self.rules.map(\.document)),
            "groups": .object(
                groups.sorted { $0.key < $1.key }.reduce(into: JSONObject()) {
                    $0.append($1.key, JSON($1.value.sorted()))
                }
            ),
        ]
        version = Self.base + (rules.isEmpty ? "" : "+rules@" + PlanDigest.hash(canonical).prefix(8))
    }

    private static let base: String = {
        let matrix = ActionCatalog.all.map { entry -> JSON in
            [
                "action": .string(entry.action.rawValue), "effect": .string(entry.effect.rawValue),
                "risk": .string(entry.risk.rawValue), "approval": .bool(entry.needsApproval),
                "touches": .array(
                    entry.escalations.map { touch in
                        [
                            "id": .string(touch.id), "parameters": JSON(touch.parameters),
                            "value": .string(touch.value.rawValue), "live": touch.live.map { .string($0.rawValue) },
                            "when": .string(touch.when.text), "risk": .string(touch.risk.rawValue),
                            "approval": .bool(touch.needsApproval),
                        ]
                    }),
            ]
        }
        return "base@" + PlanDigest.hash(.array(matrix)).prefix(8)
    }()

    /// The same policy where environments have these labels.
    package func knowing(labels: [EnvironmentName: [String: String]]) -> Policy {
        Policy(rules: rules, groups: groups, labels: labels)
    }

    /// What is known where only an environment is: its name and its labels.
    func facts(_ environment: EnvironmentName, principal: String? = nil, action: Action? = nil) -> RuleFacts {
        var facts = RuleFacts(environment: environment, principal: principal, action: action)
        facts.labels = labels[environment]
        return facts
    }

    /// The rules that match, in their order, each with the places of the subjects that it matches.
    func matches(in view: RuleView) -> [(rule: PolicyRule, subjects: [Int])] {
        index.candidates(for: view, where: { view.couldMatch(rules[$0]) }).compactMap { candidate in
            let rule = rules[candidate.rule]
            let matched = view.matched(by: rule, among: candidate.subjects)
            return matched.isEmpty ? nil : (rule, matched)
        }
    }

    /// The guests that rules name by number. A request that reaches all guests must look these up.
    package var namedGuests: Set<VMID> { Set(rules.flatMap(\.match.namedGuests)) }

    /// Whether a rule about subjects could match a request for the action, so that its reach matters.
    package func looksAtSubjects(of action: Action) -> Bool {
        let isChange = ActionCatalog.definition(of: action).effect == .change
        return rules.contains { rule in
            rule.isAboutSubjects && (rule.namesActions || isChange)
                && rule.match.holds(RuleFacts(action: action), nil) > .no
        }
    }

    /// Whether a rule could ask for a backup of what the request reaches, so that backups must be looked up.
    package func asksForBackups(of request: ActionRequest) -> Bool {
        let facts = facts(request.environment, action: request.action)
        return request.changes
            && rules.contains { $0.effect.requirement?.backupSeconds != nil && $0.match.holds(facts, nil) > .no }
    }

    /// The approvals that a decision on what `requester` asks for requires: by principals with their own token or, for
    /// the holder of the shared token, by names that it declares.
    package func requirement(
        of decision: Decision, for requester: Caller, in environment: EnvironmentSettings, among directory: Directory
    ) -> Requirement {
        let mayDeclare = requester.isShared && directory.isShared && environment.acceptsDeclaredApprovals
        let least: Assurance = mayDeclare && decision.clauses.isEmpty ? .declared : .verified
        guard decision.allowed, decision.requiresApproval else { return Requirement(approvals: 0, assurance: least) }
        return Requirement(
            approvals: decision.approvals, assurance: max(least, decision.assurance ?? least),
            clauses: decision.clauses)
    }

    /// Whether an approval by `approver` counts for a rule's condition on who approves what `requester` asks for.
    package func counts(
        _ approver: String, for clause: ApprovalClause, of requester: Caller, among directory: Directory
    ) -> Bool {
        let isNamed =
            clause.principals.contains(approver) || !clause.roles.isDisjoint(with: directory.roles(of: approver))
            || clause.groups.contains { groups[$0]?.contains(approver) == true }
        let isAnybody = clause.principals.isEmpty && clause.roles.isEmpty && clause.groups.isEmpty
        let sharesGroup = groups.values.contains { $0.contains(approver) && $0.contains(requester.principal) }
        return (isNamed || isAnybody) && !(clause.isFromOtherGroup && sharesGroup)
    }
}

/// What a caller is shown.
extension Policy {
    /// The rules that concern one of these environments, without the names of others.
    package func rules(in environments: [EnvironmentSettings]) -> [PolicyRule] {
        let places = environments.map { settings in
            var facts = RuleFacts(environment: settings.name)
            facts.labels = settings.labels
            return facts
        }
        let names = Set(environments.map(\.name.description))
        return rules.filter { rule in places.contains { rule.match.holds($0, nil) > .no } }.map { rule in
            PolicyRule(
                id: rule.id, summary: rule.summary, match: rule.match.narrowed(to: names), effect: rule.effect,
                reason: rule.reason)
        }
    }
}

/// What rules hide of an answer.
extension Policy {
    /// The rules that deny the caller the settings of something that the request reaches. A preview hides those
    /// settings from the caller.
    package func rulesHiding(_ reach: Reach, of request: ActionRequest, from caller: Caller) -> [String] {
        let known = reach.subjects.isEmpty ? Reach(request.target) : reach
        let subjects = (known.subjects + [Subject(.cluster)]).map(SubjectFacts.init)
        let facts = self.facts(request.environment, principal: caller.principal)
        return rules.filter { rule in subjects.contains { rule.hidesSettings(facts, $0) } }.map { "rule:\($0.id)" }
    }

    /// The rules that deny the caller any settings in the environment. For lists, which do not look up the reach of
    /// each row.
    package func rulesHidingAnything(in environment: EnvironmentName, from caller: Caller) -> [String] {
        let facts = facts(environment, principal: caller.principal)
        return rules.filter { $0.hidesSettings(facts, nil) }.map { "rule:\($0.id)" }
    }

    /// Whether a rule denies settings in the environment to anybody. For texts whose readers are not known.
    package func hidesAnything(in environment: EnvironmentName) -> Bool {
        rules.contains { $0.hidesSettings(facts(environment), nil) }
    }
}

extension PolicyRule {
    /// Whether it denies a read of settings, or might.
    fileprivate func hidesSettings(_ facts: RuleFacts, _ subject: SubjectFacts?) -> Bool {
        guard effect == .deny, namesActions else { return false }
        return ActionCatalog.settingReads.contains { read in
            var facts = facts
            facts.action = read
            return match.holds(facts, subject) > .no
        }
    }
}
