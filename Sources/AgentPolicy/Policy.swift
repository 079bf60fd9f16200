package import AgentModel
import StrictJSON

/// Decides what is allowed and what needs approvals: the catalogue's defaults, and rules that tighten them. Total and
/// pure: the same input gives the same decision.
package struct Policy: Sendable, Hashable {
    package let rules: [PolicyRule]
    /// Names this policy: `base@7d1c03f2` or `base@7d1c03f2+rules@90ab12cd`. Another version may decide otherwise.
    package let version: String

    package init(rules: [PolicyRule] = []) {
        self.rules = rules
        let canonical = JSON.array(rules.map(\.canonicalForm))
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

    /// Decides on `request` by all that it reaches, as planning found it, and by `checks`. The most restrictive rule
    /// wins. The decision lists every rule that matched, with the subjects that it matched.
    ///
    /// Without a `reach`, rules can only match the target's name.
    package func evaluate(
        _ request: ActionRequest, by requester: Caller, in environment: EnvironmentSettings, reach: Reach? = nil,
        checks: [Check] = []
    ) -> Decision {
        let known = reach ?? Reach()
        let reach = known.subjects.isEmpty ? Reach(request.target) : known
        let assessment = request.assessment(live: reach.liveEscalations)
        var decision = Decision(
            allowed: true, risk: assessment.risk, requiresApproval: assessment.needsApproval && request.changes,
            reason: assessment.reason, rules: assessment.rules,
            subjects: reach.subjects.map { JudgedSubject($0.role, $0.name) })
        if environment.readOnly, request.changes {
            decision.deny("env:read_only", "environment \(environment.name) is read-only")
        }
        if let loss = ruledLoss(of: reach, in: environment), request.changes { decision.guardLoss(loss) }
        var actions = request.equivalents
        actions.formUnion(
            request.definition.escalations.filter { reach.liveEscalations.contains($0.id) }.compactMap(\.equivalent))
        for rule in rules where rule.covers(request, doing: actions, by: requester) {
            let matched = reach.subjects.indices.filter { rule.matches(reach.subjects[$0]) }
            guard !matched.isEmpty else { continue }
            decision.tighten(by: rule, for: request)
            // A rule without targets and tags is noted at the target.
            for index in rule.isAboutSubjects ? matched : [0] {
                decision.subjects[index].rules.append("rule:\(rule.id)")
            }
        }
        if request.dryRun, request.definition.effect == .change {
            decision.rules.append("base:dry_run")
            decision.reason = "a dry run changes nothing"
        }
        for check in checks where check.level == .block { decision.deny("check:\(check.id)", check.detail) }
        return decision
    }

    /// The guests that rules name by number. A request that reaches all guests must look these up.
    package var namedGuests: Set<VMID> {
        Set(rules.flatMap { $0.scope.targets ?? [] }.compactMap { Target($0.description)?.guest?.id })
    }

    /// Whether a rule about targets or tags could match a request for the action, so that its reach matters.
    package func looksAtSubjects(of action: Action) -> Bool {
        rules.contains { $0.isAboutSubjects && $0.scope.actions?.contains(action) == true }
    }

    /// The rules that deny the caller the settings of something that the request reaches. A preview hides those
    /// settings from the caller.
    package func rulesHiding(
        _ reach: Reach, of request: ActionRequest, from caller: Caller
    ) -> [String] {
        let known = reach.subjects.isEmpty ? Reach(request.target) : reach
        return rules.filter { rule in
            rule.hidesSettings(in: request.environment, from: caller)
                && (known.subjects.contains(where: rule.matches) || rule.matches(Subject(.cluster)))
        }.map { "rule:\($0.id)" }
    }

    /// The rules that deny the caller any settings in the environment. For lists, which do not look up the reach of
    /// each row.
    package func rulesHidingAnything(in environment: EnvironmentName, from caller: Caller) -> [String] {
        rules.filter { $0.hidesSettings(in: environment, from: caller) }.map { "rule:\($0.id)" }
    }

    /// Whether a rule denies settings in the environment to anybody. For texts whose readers are not known.
    package func hidesAnything(in environment: EnvironmentName) -> Bool {
        rules.contains { $0.hidesSettings(in: environment) }
    }

    /// The first tag or pool that a guest loses and that a rule of that environment names, with the rule.
    private func ruledLoss(of reach: Reach, in environment: EnvironmentSettings) -> (name: String, rule: String)? {
        for loss in reach.losses {
            if let rule = rules.first(where: { $0.names(loss, in: environment.name) }) { return (loss, rule.id) }
        }
        return nil
    }

    /// The approvals that a decision on what `requester` asks for requires: by principals with their own token or, for
    /// the holder of the shared token, by names that it declares.
    package func requirement(
        of decision: Decision, for requester: Caller, in environment: EnvironmentSettings, among directory: Directory
    ) -> Requirement {
        let mayDeclare = requester.isShared && directory.isShared && environment.acceptsDeclaredApprovals
        let least: Assurance = mayDeclare ? .declared : .verified
        let isNeeded = decision.allowed && decision.requiresApproval
        return Requirement(
            approvals: isNeeded ? decision.approvals : 0,
            assurance: isNeeded ? max(least, decision.assurance ?? least) : least)
    }
}

extension Decision {
    /// The first denial gives the reason.
    fileprivate mutating func deny(_ rule: String, _ why: String) {
        if allowed { reason = why }
        allowed = false
        rules.append(rule)
    }

    /// Removing a rule's tag or pool from a guest takes the guest out of the rule's scope.
    fileprivate mutating func guardLoss(_ loss: (name: String, rule: String)) {
        if !requiresApproval {
            reason =
                "takes \(loss.name.split(separator: "/", maxSplits: 1).joined(separator: " ")) from a guest, by which rule \(loss.rule) knows it"
        }
        requiresApproval = true
        risk = .high
        rules.append("base:touches-rules")
    }

    /// A dry run changes nothing: it lists the rules, but is not bound by them.
    fileprivate mutating func tighten(by rule: PolicyRule, for request: ActionRequest) {
        let name = "rule:\(rule.id)"
        guard !request.dryRun else {
            rules.append(name)
            return
        }
        switch rule.effect {
        case .deny: deny(name, rule.reason ?? "rule \(rule.id) denies it")
        case .requireApproval:
            rules.append(name)
            guard request.changes else { return }
            let before = Requirement(approvals: approvals, assurance: assurance ?? .verified)
            let needed = before.tightened(
                by: Requirement(approvals: rule.approvals, assurance: rule.assurance ?? .verified))
            if !requiresApproval || needed != before, allowed {
                let what = needed.approvals == 1 ? needed.assurance.one : needed.phrase
                reason = rule.reason ?? "rule \(rule.id) asks for \(what)"
            }
            requiresApproval = true
            approvals = needed.approvals
            assurance = needed.assurance > .verified ? needed.assurance : nil
        }
    }
}
