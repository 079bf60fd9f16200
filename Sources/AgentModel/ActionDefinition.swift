package import StrictJSON

/// One entry of the catalogue. Validation, planning, execution, `GET /v1/actions` and the documents use only this.
package struct ActionDefinition: Sendable, Hashable {
    package enum Effect: String, Sendable, Hashable, CaseIterable {
        case read, change
    }

    package let action: Action
    package let summary: String
    package let effect: Effect
    package let targets: [TargetForm]
    package let parameters: [ParameterDefinition]
    package let rules: [ParameterRule]
    package let risk: Risk
    package let needsApproval: Bool
    /// Why it has this risk, and why it does or does not need approval.
    package let reason: String
    /// What raises the risk above that.
    package let escalations: [RiskEscalation]
    /// In order. Calls whose conditions do not hold are left out.
    package let calls: [CallTemplate]
    /// The request may spell a call out in `params {endpoint, method, params}`, bounded by the target.
    package let takesEndpoint: Bool
    /// Whether the target guest must exist before the action.
    package let expects: Presence
    package let object: ObjectRule
    package let checks: [CheckKind]
    package let changes: ChangeRule
    package let undo: UndoRule
    package let privileges: [Privilege]
    /// `params.safety_snapshot` takes a snapshot first.
    package let takesSafetySnapshot: Bool
    /// When the action is done only once the guest runs, which takes a second PVE task; `nil` for never.
    package let runs: Condition?
    /// Other actions that this one amounts to.
    package let equivalents: [Equivalent]
    package let answer: AnswerRule
    /// Another action may end it while PVE is still running it, with `overrule-shutdown`.
    package let canBeOverruled: Bool
    /// A read of a storage shows the guests that have volumes on it.
    package let showsGuests: Bool
    /// Example parameters, one request each, on the first of the targets. The first example is the minimum; the others
    /// together use every other parameter. Without examples, the minimum is no parameters.
    package let examples: [JSONObject]

    /// This action cannot be undone.
    package var irreversible: Bool { effect == .change && undo == .none }

    /// Whether it deletes the guests that it works on.
    package var destroysGuests: Bool {
        changes == .exists(false) && targets.contains { $0 == .vm || $0 == .container }
    }

    /// The action that undoes this one.
    package var inverse: Action? {
        switch undo {
        case .none: nil
        case .action(let name, _, _, _), .wake(let name), .guests(let name): Action(name)
        case .opposite, .config, .tags, .pending, .edit, .pool, .migration: action
        case .attach, .detach, .moveBack, .restored: nil
        }
    }

    /// The calls as documents show them, without duplicates and with placeholders in braces.
    package var shownCalls: [String] {
        let all = calls.map { "\($0.method.rawValue) \($0.path)" }
        return all.enumerated().filter { !all[..<$0.offset].contains($0.element) }.map(\.element)
            + (takesEndpoint ? ["params.method params.endpoint"] : [])
    }

    static func read(
        _ name: String, _ summary: String, on targets: [TargetForm], _ parameters: [ParameterDefinition] = [],
        rules: [ParameterRule] = [], needs privileges: [Privilege] = [], calls: [CallTemplate],
        showsGuests: Bool = true, answer: AnswerRule = .final, examples: [JSONObject] = []
    ) -> Self {
        Self(
            action: Action(name), summary: summary, effect: .read, targets: targets, parameters: parameters,
            rules: rules, risk: .low, needsApproval: false, reason: "changes nothing", escalations: [], calls: calls,
            takesEndpoint: false, expects: .present, object: .none, checks: [], changes: .none, undo: .none,
            privileges: privileges,
            takesSafetySnapshot: false, runs: nil, equivalents: [], answer: answer, canBeOverruled: false,
            showsGuests: showsGuests, examples: examples)
    }

    static func change(
        _ name: String, _ summary: String, on targets: [TargetForm], _ parameters: [ParameterDefinition],
        rules: [ParameterRule] = [], risk: Risk, approval: Bool, because reason: String,
        escalations: [RiskEscalation] = [], _ calls: [CallTemplate], endpoint: Bool = false,
        expects: Presence = .present, object: ObjectRule = .none,
        checks: [CheckKind] = [], changes: ChangeRule = .none, undo: UndoRule = .none, needs privileges: [Privilege],
        safety: Bool = false, runs: Condition? = nil,
        also equivalents: [Equivalent] = [], answer: AnswerRule = .final, canBeOverruled: Bool = false,
        examples: [JSONObject] = []
    ) -> Self {
        Self(
            action: Action(name), summary: summary, effect: .change, targets: targets,
            parameters: parameters + (safety ? [.safetySnapshot] : []), rules: rules, risk: risk,
            needsApproval: approval, reason: reason, escalations: escalations, calls: calls, takesEndpoint: endpoint,
            expects: expects, object: object, checks: checks, changes: changes, undo: undo, privileges: privileges,
            takesSafetySnapshot: safety, runs: runs, equivalents: equivalents, answer: answer,
            canBeOverruled: canBeOverruled, showsGuests: false, examples: examples)
    }
}

extension ParameterDefinition {
    static let safetySnapshot = ParameterDefinition(
        "safety_snapshot", .boolean, agentOnly: true, "take a snapshot first, when the storage can")
}

/// How risky one request is, and the rules that say so.
package struct RiskAssessment: Sendable, Hashable {
    package var risk: Risk
    package var needsApproval: Bool
    package var reason: String
    /// `base:configure_vm`, `base:touches-devices`.
    package var rules: [String]
}

extension ActionRequest {
    /// The risk that the catalogue gives the action, raised by the parameters and by the touch rules in `live`, which
    /// planning found to hold.
    package func assessment(live: [String] = []) -> RiskAssessment {
        var assessment = RiskAssessment(
            risk: definition.risk, needsApproval: definition.needsApproval, reason: definition.reason,
            rules: ["base:\(action.rawValue)"])
        for touch in definition.escalations where touch.live == nil ? touch.applies(to: self) : live.contains(touch.id)
        {
            if touch.risk > assessment.risk || (touch.needsApproval && !assessment.needsApproval) {
                assessment.reason = touch.reason
            }
            assessment.risk = max(assessment.risk, touch.risk)
            assessment.needsApproval = assessment.needsApproval || touch.needsApproval
            assessment.rules.append("base:\(touch.id)")
        }
        return assessment
    }
}

extension RiskEscalation {
    /// Whether the request itself meets the rule. A rule with a ``live`` test must pass that test as well.
    package func applies(to request: ActionRequest) -> Bool {
        guard when.holds(for: request.params, on: request.target) else { return false }
        guard !parameters.isEmpty else { return true }
        if value == .notOn, parameters.contains(where: { request.params[$0] != true }) { return true }
        let touched = request.definition.parameters.filter { parameters.contains($0.name) }
        return request.params.members.contains { member in
            touched.contains { $0.matches(member.key) } && value.takes(member.value)
        }
    }
}

extension RiskEscalation.ValueTest {
    fileprivate func takes(_ value: JSON) -> Bool {
        switch self {
        case .any: true
        case .existingDisk: !VolumeName.isNewDisk(value.string ?? "")
        case .noTemplate: VolumeName(value.string ?? "")?.name.hasPrefix("vztmpl/") != true
        case .off: value == false
        case .notOn: value != true
        case .hostDevice: ["virtio-gl", "/dev/hwrng"].contains { (value.string ?? "").contains($0) }
        }
    }
}
