package import AgentModel
package import FoundationEssentials
import StrictJSON

/// What a decision is made of.
package struct PolicyInput: Sendable {
    package var request: ActionRequest
    package var requester: Caller
    /// The roles that the requester has now.
    package var roles: Set<Role>
    package var environment: EnvironmentSettings
    /// All that the request reaches, as planning found it; `nil` if only the target's name is known.
    package var reach: Reach?
    /// The checks of planning.
    package var checks: [Check]

    package init(
        _ request: ActionRequest, by requester: Caller, roles: Set<Role>, in environment: EnvironmentSettings,
        reach: Reach? = nil, checks: [Check] = []
    ) {
        self.request = request
        self.requester = requester
        self.roles = roles
        self.environment = environment
        self.reach = reach
        self.checks = checks
    }
}

/// A request as rules look at it: its facts, once for each action that it amounts to, and its subjects.
struct RuleView {
    let input: PolicyInput
    let now: Date
    let assessment: RiskAssessment
    let subjects: [Subject]
    let facts: [SubjectFacts]
    let variants: [RuleFacts]
    private let isChange: Bool

    init(_ input: PolicyInput, at now: Date) {
        let request = input.request
        let known = input.reach ?? Reach()
        let reach = known.subjects.isEmpty ? Reach(request.target) : known
        self.input = input
        self.now = now
        isChange = request.definition.effect == .change
        assessment = request.assessment(live: reach.liveEscalations)
        subjects = reach.subjects
        facts = subjects.map(SubjectFacts.init)
        var actions = request.equivalents
        actions.formUnion(
            request.definition.escalations.filter { reach.liveEscalations.contains($0.id) }.compactMap(\.equivalent))
        let base = RuleFacts(input, facts, risk: assessment.risk, at: now)
        variants = actions.sorted { $0.rawValue < $1.rawValue }.map { action in
            var facts = base
            facts.action = action
            return facts
        }
    }

    /// The request's action, and those that it amounts to.
    var actions: [Action] { variants.compactMap(\.action) }

    /// Whether the request, or what it amounts to, destroys the guests that it is about.
    var destroysGuests: Bool {
        variants.contains { facts in
            facts.action.map { ActionCatalog.definition(of: $0).destroysGuests } ?? false
        }
    }

    /// Whether the rule looks at the subject: one about guests does not at what is none.
    private func isJudged(_ subject: Int, by rule: PolicyRule) -> Bool {
        !rule.isAboutGuests || facts[subject].isGuest || !facts[subject].pools.isEmpty
    }

    /// The places of the subjects that the rule looks at.
    func judged(by rule: PolicyRule) -> [Int] {
        let judged = subjects.indices.filter { isJudged($0, by: rule) }
        // For one that allows the target counts too, whatever it is: what reaches no guest is no milder than what
        // reaches some.
        return rule.effect == .allow && judged.first != 0 ? [0] + judged : judged
    }

    /// Whether the rule could match a subject, as far as the request alone tells.
    func couldMatch(_ rule: PolicyRule) -> Bool {
        guard rule.namesActions || isChange else { return false }
        return variants.contains { rule.match.holds($0, nil) > .no }
    }

    /// The places of the subjects that the rule matches, if it ``couldMatch(_:)``. A rule that tightens matches where it
    /// may hold for one action that the request amounts to; one that allows must hold for all of them and for every
    /// subject. `some` are the only subjects that one that tightens could match; `nil` for all.
    func matched(by rule: PolicyRule, among some: [Int]? = nil) -> [Int] {
        if rule.effect == .allow {
            let judged = judged(by: rule)
            let holds = variants.allSatisfy { rule.match.holds($0, on: facts, at: judged).allSatisfy { $0 == .yes } }
            return holds ? judged : []
        }
        guard rule.isAboutSubjects else { return Array(subjects.indices) }
        let judged = (some ?? Array(subjects.indices)).filter { isJudged($0, by: rule) }
        var isMatched = Array(repeating: false, count: judged.count)
        // Variants differ only in their action.
        for variant in rule.namesActions ? variants[...] : variants.prefix(1) {
            let truths = rule.match.holds(variant, on: facts, at: judged)
            for index in judged.indices where truths[index] > .no { isMatched[index] = true }
        }
        return zip(judged, isMatched).filter(\.1).map(\.0)
    }
}

extension Policy {
    /// Decides on a request by all that it reaches. The most restrictive rule wins. The decision lists every rule that
    /// matched, with the subjects that it matched.
    package func evaluate(_ input: PolicyInput, at now: Date) -> Decision {
        let view = RuleView(input, at: now)
        let request = input.request
        var making = DecisionMaking(view)
        if input.environment.readOnly, request.changes {
            making.decision.deny("env:read_only", "environment \(input.environment.name) is read-only")
        }
        if request.changes, let mark = ruledMark(of: input) { making.guardMark(mark) }
        for (rule, matched) in matches(in: view) {
            making.apply(rule, at: matched)
            // A rule without conditions on subjects is noted at the target.
            let name = "rule:\(rule.id)"
            for index in rule.isAboutSubjects ? matched : [0] {
                making.decision.subjects[index].rules.append(name)
            }
        }
        return making.end()
    }

    /// The first tag, pool or name by which a rule of that environment knows guests, and that a guest loses, so that
    /// the rule would not hold any more; or gains, so that a rule that allows would hold, or one with a `not` would not.
    private func ruledMark(of input: PolicyInput) -> (text: String, rule: String)? {
        guard let reach = input.reach, !(reach.losses.isEmpty && reach.gains.isEmpty) else { return nil }
        var facts = RuleFacts(environment: input.environment.name)
        facts.labels = input.environment.labels
        let here = rules.filter { $0.match.holds(facts, nil) > .no }
        let marks = reach.losses.map { ($0, false) } + reach.gains.map { ($0, true) }
        for (mark, isGain) in marks {
            let rule = here.first { $0.match.names(mark, isNegated: isGain != ($0.effect == .allow)) }
            if let rule {
                let name = mark.split(separator: "/", maxSplits: 1).joined(separator: " ")
                return (isGain ? "gives a guest \(name)" : "takes \(name) from a guest", rule.id)
            }
        }
        return nil
    }
}

/// A decision while rules are applied to it.
private struct DecisionMaking {
    var decision: Decision
    private let view: RuleView
    /// Approvals that something else than the catalogue's own word asks for.
    private var isAsked = false
    private var loosening: [String] = []
    private var schedules: [ChangeSchedule] = []
    private var closed: [String] = []

    init(_ view: RuleView) {
        self.view = view
        let assessment = view.assessment
        decision = Decision(
            allowed: true, risk: assessment.risk,
            requiresApproval: assessment.needsApproval && view.input.request.changes, reason: assessment.reason,
            rules: assessment.rules, subjects: view.subjects.map { JudgedSubject($0) })
    }

    /// Taking a rule's tag, pool or name from a guest, or giving it one, may take the guest out of the rule's scope.
    mutating func guardMark(_ mark: (text: String, rule: String)) {
        if !decision.requiresApproval {
            decision.reason = "\(mark.text), by which rule \(mark.rule) knows it"
        }
        isAsked = true
        decision.requiresApproval = true
        decision.risk = .high
        decision.rules.append("base:touches-rules")
    }

    /// A dry run of a change changes nothing: it lists the rules, but is not bound by them. A read is a read.
    mutating func apply(_ rule: PolicyRule, at matched: [Int]) {
        let name = "rule:\(rule.id)"
        let request = view.input.request
        guard !request.dryRun || request.definition.effect == .read else { return decision.rules.append(name) }
        switch rule.effect {
        case .deny: decision.deny(name, rule.reason ?? "rule \(rule.id) denies it")
        case .require(let requirement):
            if view.input.request.changes, let lack = lack(of: requirement, rule, matched) {
                decision.deny(name, lack)
            } else {
                decision.rules.append(name)
            }
            if view.input.request.changes, requirement.approvals > 0 { ask(for: requirement, rule) }
        case .raiseRisk(let risk):
            decision.rules.append(name)
            guard risk > decision.risk else { return }
            decision.risk = risk
            if decision.allowed {
                decision.reason = rule.reason ?? "rule \(rule.id) raises the risk to \(risk.rawValue)"
            }
        case .allow:
            decision.rules.append(name)
            if view.assessment.needsApproval, view.input.request.changes { loosening.append(rule.id) }
        case .windows(let schedule):
            decision.rules.append(name)
            guard view.input.request.changes else { return }
            schedules.append(schedule)
            if !schedule.isOpen(at: view.now) { closed.append(rule.id) }
        case .limits: decision.rules.append(name)
        }
    }

    private mutating func ask(for requirement: RuleRequirement, _ rule: PolicyRule) {
        let before = Requirement(approvals: decision.approvals, assurance: decision.assurance ?? .verified)
        let needed = before.tightened(
            by: Requirement(approvals: requirement.approvals, assurance: requirement.assurance ?? .verified))
        if !decision.requiresApproval || needed != before, decision.allowed {
            let what = needed.approvals == 1 ? needed.assurance.one : needed.phrase
            decision.reason = rule.reason ?? "rule \(rule.id) asks for \(what)"
        }
        isAsked = true
        decision.requiresApproval = true
        decision.approvals = needed.approvals
        decision.assurance = needed.assurance > .verified ? needed.assurance : nil
        if let clause = requirement.clause(of: rule.id) { decision.clauses.append(clause) }
    }

    /// What the request lacks of what the rule requires of it, with the cure.
    private func lack(of requirement: RuleRequirement, _ rule: PolicyRule, _ matched: [Int]) -> String? {
        let request = view.input.request
        if requirement.needsReason, request.reason?.isEmpty ?? true {
            return "rule \(rule.id) requires a reason; say why in reason"
        }
        if let ticket = requirement.ticket, !(request.approvalTicket.map(ticket.matches) ?? false) {
            return "rule \(rule.id) requires a ticket of the form \(ticket); name it in approval_ticket"
        }
        if requirement.needsSafetySnapshot, request.params["safety_snapshot"] != true {
            return request.definition.takesSafetySnapshot
                ? "rule \(rule.id) requires a safety snapshot; set params.safety_snapshot to true"
                : "rule \(rule.id) requires a safety snapshot, which \(request.action) cannot take; the rule must not cover it"
        }
        return requirement.backupSeconds.flatMap { backupLack($0, rule, matched) }
    }

    /// Which of the matched guests has no backup that is new enough. A guest that the request makes needs none.
    private func backupLack(_ seconds: Int, _ rule: PolicyRule, _ matched: [Int]) -> String? {
        let oldest = view.now.addingTimeInterval(-Double(seconds))
        let claimed = Set(view.input.request.claimedIDs)
        for index in matched where view.facts[index].isGuest && claimed.isDisjoint(with: view.facts[index].ids) {
            let name = view.subjects[index].name
            let found = view.input.reach?.backups[name]
            if let found, found >= oldest { continue }
            let what = found.map { "its newest is of \($0.rfc3339)" } ?? "no storage that the token sees lists one"
            return
                "rule \(rule.id) requires a backup of \(name) from the last \(UsageLimit.text(seconds: seconds)); \(what)"
        }
        return nil
    }

    /// The decision, once every rule had its word.
    mutating func end() -> Decision {
        let request = view.input.request
        if !loosening.isEmpty, !isAsked, decision.allowed {
            decision.requiresApproval = false
            decision.reason =
                "rule \(loosening.joined(separator: ", ")) drops the approval that the catalogue asks for: "
                + decision.reason
            decision.rules += loosening.map { "override:\($0)" }
        }
        if request.dryRun, request.definition.effect == .change {
            decision.rules.append("base:dry_run")
            decision.reason = "a dry run changes nothing"
        }
        if !closed.isEmpty {
            decision.window = ClosedWindow(
                rules: closed, opensAt: ChangeSchedule.opening(of: schedules, after: view.now))
        }
        for check in view.input.checks where check.level == .block {
            decision.deny("check:\(check.id)", check.detail)
        }
        return decision
    }
}

extension Decision {
    /// The first denial gives the reason.
    fileprivate mutating func deny(_ rule: String, _ why: String) {
        if allowed { reason = why }
        allowed = false
        rules.append(rule)
    }
}
