package import FoundationEssentials
package import StrictJSON

/// Who asks: the authenticated principal, and the label that a shared token's user gave.
package struct Caller: Sendable, Hashable {
    package let principal: String
    package let label: String?

    package init(principal: String, label: String?) {
        self.principal = principal
        self.label = label
    }

    /// The name in records: with the shared token the label where there is one.
    package var actor: String { label ?? principal }
}

/// What policy says about a request.
package struct Decision: Sendable, Hashable {
    package var allowed: Bool
    package var risk: Risk
    package var requiresApproval: Bool
    package var reason: String
    /// The rules that said so: `base:start_vm`, `env:read_only`, `check:guest-exists`.
    package var rules: [String]

    package init(allowed: Bool, risk: Risk, requiresApproval: Bool, reason: String, rules: [String]) {
        self.allowed = allowed
        self.risk = risk
        self.requiresApproval = requiresApproval
        self.reason = reason
        self.rules = rules
    }

    package var json: JSON {
        [
            "allowed": .bool(allowed), "risk_level": .string(risk.rawValue),
            "requires_approval": .bool(requiresApproval), "reason": .string(reason), "rules": JSON(rules),
        ]
    }
}

/// One thing that planning looked at.
package struct Check: Sendable, Hashable {
    package enum Level: String, Sendable, Hashable {
        case ok, warn, block
    }

    package let id: String
    package let level: Level
    /// What was found and, for a block, the cure.
    package let detail: String

    package init(_ id: String, _ level: Level, _ detail: String) {
        self.id = id
        self.level = level
        self.detail = detail
    }
}

/// A difference that the plan would make.
package struct Change: Sendable, Hashable {
    package let key: String
    package let from: JSON
    package let to: JSON

    package init(_ key: String, from: JSON, to: JSON) {
        self.key = key
        self.from = from
        self.to = to
    }
}

/// The live state a plan was made on.
package struct Observed: Sendable, Hashable {
    /// All that was seen, as the preview shows it.
    package var shown: JSONObject
    /// The fields that must be the same at apply.
    package var compared: [String]

    package init(shown: JSONObject = [:], compared: [String] = []) {
        self.shown = shown
        self.compared = compared
    }

    /// The compared fields that differ now.
    package func moved(to found: Observed) -> [Moved] {
        compared.compactMap { field in
            let planned = shown[field] ?? .null
            let now = found.shown[field] ?? .null
            return planned == now ? nil : Moved(field: field, planned: planned, found: now)
        }
    }
}

/// A field of the observed state that is no longer what was planned on.
package struct Moved: Sendable, Hashable {
    package let field: String
    package let planned: JSON
    package let found: JSON
}

/// What applying a plan would do, from live state.
package struct Preview: Sendable {
    package var calls: [Call]
    package var observed: Observed
    package var changes: [Change]
    package var noop: Bool
    package var irreversible: Bool
    /// A ready plan request that takes the change back; `nil` where there is none.
    package var undo: JSON?
    package var checks: [Check]
    /// The digest of the object that an edit names, as PVE gave it.
    package var digest: String?

    package init(
        calls: [Call] = [], observed: Observed = Observed(), changes: [Change] = [], noop: Bool = false,
        irreversible: Bool = false, undo: JSON? = nil, checks: [Check] = []
    ) {
        self.calls = calls
        self.observed = observed
        self.changes = changes
        self.noop = noop
        self.irreversible = irreversible
        self.undo = undo
        self.checks = checks
    }

    package var json: JSON {
        [
            "calls": .array(calls.map(\.json)), "observed": .object(observed.shown),
            "changes": .array(changes.map { ["key": .string($0.key), "from": $0.from, "to": $0.to] }),
            "noop": .bool(noop), "irreversible": .bool(irreversible), "undo": undo ?? .null,
            "checks": .array(
                checks.map {
                    ["id": .string($0.id), "level": .string($0.level.rawValue), "detail": .string($0.detail)]
                }),
        ]
    }
}

/// How much an approval is worth.
package enum Assurance: String, Sendable, Hashable {
    /// A name in the body of the apply request, vouched for by the holder of the shared token.
    case declared
    /// Given under the approver's own token.
    case verified
}

/// How many approvals a plan needs, and of which worth.
package struct Requirement: Sendable, Hashable {
    package var approvals: Int
    package var assurance: Assurance

    package init(approvals: Int, assurance: Assurance) {
        self.approvals = approvals
        self.assurance = assurance
    }

    package var json: JSON { ["approvals": JSON(approvals), "assurance": .string(assurance.rawValue)] }
}

/// An approver's yes to one plan.
package struct Approval: Sendable, Hashable {
    package let approver: String
    package let assurance: Assurance
    package let at: Date

    package init(approver: String, assurance: Assurance, at: Date) {
        self.approver = approver
        self.assurance = assurance
        self.at = at
    }
}

/// A stored wish: what it would do, what policy says, and where it stands. Only the last group ever changes.
package struct Plan: Sendable {
    package let id: RecordID
    package private(set) var request: ActionRequest
    package let requestHash: String
    package let planHash: String
    package let requester: Caller
    package let environmentIdentity: String
    package let decision: Decision
    package private(set) var preview: Preview
    package let requires: Requirement
    package let createdAt: Date
    package let expiresAt: Date

    package private(set) var state: PlanState
    package private(set) var approvals: [Approval] = []
    /// The operation that claimed the plan.
    package private(set) var operationID: RecordID?
    package private(set) var endedAt: Date?

    package init(
        id: RecordID, request: ActionRequest, requestHash: String, planHash: String, requester: Caller,
        environmentIdentity: String, decision: Decision, preview: Preview, requires: Requirement, createdAt: Date,
        expiresAt: Date
    ) {
        self.id = id
        self.request = request
        self.requestHash = requestHash
        self.planHash = planHash
        self.requester = requester
        self.environmentIdentity = environmentIdentity
        self.decision = decision
        self.preview = preview
        self.requires = requires
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        state = !decision.allowed ? .denied : requires.approvals > 0 ? .awaitingApproval : .approved
        if state.isEnded { end(at: createdAt) }
    }

    /// Moves on. Returns false, changing nothing, when the table has no such step.
    package mutating func move(to next: PlanState, at now: Date) -> Bool {
        guard state.successors.contains(next) else { return false }
        state = next
        if next.isEnded { end(at: now) }
        return true
    }

    /// Adds a yes and moves to `approved` when it was the last one needed.
    package mutating func approve(_ approval: Approval) -> Bool {
        guard state == .awaitingApproval, !approvals.contains(where: { $0.approver == approval.approver }) else {
            return false
        }
        approvals.append(approval)
        return approvals.count < requires.approvals || move(to: .approved, at: approval.at)
    }

    /// Binds the plan to the operation that carries it out; `nil` frees it again.
    package mutating func claim(by operation: RecordID?) { operationID = operation }

    private mutating func end(at now: Date) {
        endedAt = now
        request.eraseSecrets()
        preview.calls = preview.calls.map { $0.withoutSecrets() }
    }
}
