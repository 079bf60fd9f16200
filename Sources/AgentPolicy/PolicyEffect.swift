package import AgentModel
package import StrictJSON

/// What a rule does to the requests that it matches. All but ``allow`` tighten.
package enum PolicyEffect: Sendable, Hashable, CustomStringConvertible {
    case deny
    case require(RuleRequirement)
    case raiseRisk(Risk)
    /// The request is applied only while the schedule is open.
    case windows(ChangeSchedule)
    case limits([UsageLimit])
    /// The catalogue's own need for an approval falls away. It opens neither a read-only environment nor a check that
    /// blocks, and it holds only if all subjects match.
    case allow

    package var description: String {
        switch self {
        case .deny: "deny"
        case .require(let requirement): requirement.description
        case .raiseRisk(let risk): "raise_risk (\(risk.rawValue))"
        case .windows(let schedule): "only during \(schedule)"
        case .limits(let limits): limits.map(\.description).joined(separator: ", ")
        case .allow: "allow without the catalogue's approval"
        }
    }

    /// The words for effects, one each.
    package static let words = ["deny", "require_approval", "require", "raise_risk", "windows", "limits", "allow"]

    package var word: String {
        switch self {
        case .deny: "deny"
        case .require(let requirement): requirement.approvals > 0 ? "require_approval" : "require"
        case .raiseRisk: "raise_risk"
        case .windows: "windows"
        case .limits: "limits"
        case .allow: "allow"
        }
    }

    package var requirement: RuleRequirement? { if case .require(let requirement) = self { requirement } else { nil } }

    /// As a policy file has it.
    package var document: JSON {
        switch self {
        case .deny: "deny"
        case .require(let requirement): ["require": requirement.document]
        case .raiseRisk(let risk): ["raise_risk": .string(risk.rawValue)]
        case .windows(let schedule): ["windows": schedule.document]
        case .limits(let limits): ["limits": .array(limits.map(\.document))]
        case .allow: ["allow": ["override_base": true]]
        }
    }
}

/// What a rule requires of a request, and of its approvals.
package struct RuleRequirement: Sendable, Hashable, CustomStringConvertible {
    /// How many approvals; 0 if the rule requires none.
    package var approvals = 0
    /// ``Assurance/signed`` or ``Assurance/hardware``; `nil` if they need no signature.
    package var assurance: Assurance?
    /// Who may give these approvals; all empty for anybody who may approve.
    package var principals: Set<String> = []
    package var roles: Set<Role> = []
    package var groups: Set<String> = []
    /// The approvers share no group with the requester.
    package var isFromOtherGroup = false
    /// The request's `approval_ticket` must be of this form.
    package var ticket: Glob?
    package var needsReason = false
    /// The request must ask for a safety snapshot.
    package var needsSafetySnapshot = false
    /// Each guest must have a backup that is at most so many seconds old.
    package var backupSeconds: Int?

    package init(approvals: Int = 0, assurance: Assurance? = nil) {
        self.approvals = approvals
        self.assurance = assurance
    }

    /// The rule's condition on who approves; `nil` if anybody may.
    func clause(of rule: String) -> ApprovalClause? {
        guard !principals.isEmpty || !roles.isEmpty || !groups.isEmpty || isFromOtherGroup else { return nil }
        return ApprovalClause(
            rule: rule, approvals: approvals, principals: principals, roles: roles, groups: groups,
            isFromOtherGroup: isFromOtherGroup)
    }

    package var description: String {
        var words: [String] = []
        if approvals > 0 {
            let count = clause(of: "")?.phrase ?? "\(approvals)"
            words.append("require_approval (\(count)\(assurance.map { ", \($0.rawValue)" } ?? ""))")
        }
        if let ticket { words.append("require a ticket \(ticket)") }
        if needsReason { words.append("require a reason") }
        if needsSafetySnapshot { words.append("require a safety snapshot") }
        if let backupSeconds {
            words.append("require a backup of the last \(UsageLimit.text(seconds: backupSeconds))")
        }
        return words.joined(separator: ", ")
    }

    fileprivate var document: JSON {
        let approvers: JSON = [
            "principals": principals.isEmpty ? nil : JSON(principals.sorted()),
            "roles": roles.isEmpty ? nil : JSON(roles.map(\.rawValue).sorted()),
            "groups": groups.isEmpty ? nil : JSON(groups.sorted()),
        ]
        return [
            "approvals": approvals > 0 ? JSON(approvals) : nil,
            "approvers": approvers == .object([:]) ? nil : approvers, "distinct_from": isFromOtherGroup ? "group" : nil,
            "assurance": assurance.map { .string($0.rawValue) }, "ticket": ticket.map { .string($0.description) },
            "reason": needsReason ? true : nil, "safety_snapshot": needsSafetySnapshot ? true : nil,
            "backup_within": backupSeconds.map { .string(UsageLimit.text(seconds: $0)) },
        ]
    }
}
