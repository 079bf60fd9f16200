package import FoundationEssentials
package import StrictJSON

/// The caller: the authenticated principal, and the label that the request carried.
package struct Caller: Sendable, Hashable {
    package let principal: String
    /// `X-Actor-ID` as the caller sent it.
    package let label: String?
    /// The request came with the one shared token. Only the label then distinguishes callers.
    package let isShared: Bool

    package init(principal: String, label: String?, isShared: Bool = false) {
        self.principal = principal
        self.label = label
        self.isShared = isShared
    }

    /// The name in records: the principal or, with the shared token, the label if there is one.
    package var actor: String { isShared ? label ?? principal : principal }

    /// Identifies a party. A party owns the plans that it made.
    package var party: String { isShared ? "label:\(label ?? "")" : "principal:\(principal)" }

    package func isSameParty(as other: Caller) -> Bool { party == other.party }
}

/// The policy's decision on a request.
package struct Decision: Sendable, Hashable {
    package var allowed: Bool
    package var risk: Risk
    package var requiresApproval: Bool
    package var reason: String
    /// The rules behind the decision: `base:start_vm`, `env:read_only`, `check:guest-exists`, `rule:two-for-prod`.
    package var rules: [String]
    /// The number of approvals, if any are required.
    package var approvals: Int
    /// How they must be signed; `nil` if no rule asks for a signature.
    package var assurance: Assurance?
    /// Who must be among the approvers, rule by rule.
    package var clauses: [ApprovalClause]
    /// The change windows that are closed at the time of the decision; `nil` if none is.
    package var window: ClosedWindow?
    /// Every subject that was judged, and the configured rules that matched it.
    package var subjects: [JudgedSubject]

    package init(
        allowed: Bool, risk: Risk, requiresApproval: Bool, reason: String, rules: [String], approvals: Int = 1,
        assurance: Assurance? = nil, clauses: [ApprovalClause] = [], window: ClosedWindow? = nil,
        subjects: [JudgedSubject] = []
    ) {
        self.allowed = allowed
        self.risk = risk
        self.requiresApproval = requiresApproval
        self.reason = reason
        self.rules = rules
        self.approvals = approvals
        self.assurance = assurance
        self.clauses = clauses
        self.window = window
        self.subjects = subjects
    }
}

/// Change windows that keep a plan from being applied now.
package struct ClosedWindow: Sendable, Hashable {
    /// The rules whose windows are closed.
    package var rules: [String]
    /// When all windows that concern the request are open; `nil` if they are not within 400 days.
    package var opensAt: Date?

    package init(rules: [String], opensAt: Date?) {
        self.rules = rules
        self.opensAt = opensAt
    }
}

/// A subject as policy judged it, with the configured rules that matched it.
package struct JudgedSubject: Sendable, Hashable {
    /// All that rules looked at. Audit records hold it; answers show its role and name alone, because a rule may hide
    /// the rest from a caller.
    package let subject: Subject
    package var rules: [String]

    package init(_ subject: Subject, rules: [String] = []) {
        self.subject = subject
        self.rules = rules
    }

    /// A subject of which only the name is known.
    package init(_ role: Subject.Role, _ name: String, rules: [String] = []) {
        self.init(Subject(role, name), rules: rules)
    }

    package var role: Subject.Role { subject.role }
    package var name: String { subject.name }

    /// The subject without what was read of it from PVE.
    var hidingSettings: JudgedSubject { JudgedSubject(role, name, rules: rules) }
}

/// The result of one check during planning.
package struct Check: Sendable, Hashable {
    package enum Level: String, Sendable, Hashable, CaseIterable {
        case ok, warn, block
    }

    package let id: String
    package let level: Level
    /// What was found and, for a block, how to fix it.
    package let detail: String

    package init(_ id: String, _ level: Level, _ detail: String) {
        self.id = id
        self.level = level
        self.detail = detail
    }
}

/// A change that the plan would make.
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

/// Something that an undo does not restore.
package struct UndoGap: Sendable, Hashable {
    /// The key of the change that it is about; otherwise a word for what it is.
    package let key: String
    package let detail: String

    package init(_ key: String, _ detail: String) {
        self.key = key
        self.detail = detail
    }
}

/// The live state that a plan is based on.
package struct Observed: Sendable, Hashable {
    /// Everything that was observed, as the preview shows it.
    package var shown: JSONObject
    /// The fields that must be unchanged when the plan is applied.
    package var compared: [String]

    package init(shown: JSONObject = [:], compared: [String] = []) {
        self.shown = shown
        self.compared = compared
    }

    /// The compared fields that have changed. For objects, such as the other named guests, it lists the objects'
    /// fields.
    package func moved(to found: Observed) -> [StateDrift] {
        // A field that only one of the two states compares has appeared or disappeared.
        let fields = compared + found.compared.filter { !compared.contains($0) }
        return fields.flatMap { Self.moved($0, shown[$0] ?? .null, found.shown[$0] ?? .null) }
    }

    private static func moved(_ field: String, _ planned: JSON, _ now: JSON) -> [StateDrift] {
        guard field == "guests" || field.hasPrefix("guests."), let before = planned.object, let after = now.object
        else {
            return planned == now ? [] : [StateDrift(field: field, planned: planned, found: now)]
        }
        let (old, new) = (Self.byKey(before), Self.byKey(after))
        let keys = before.keys + after.keys.filter { old[$0] == nil }
        return keys.flatMap { moved("\(field).\($0)", old[$0] ?? .null, new[$0] ?? .null) }
    }

    /// There may be thousands of guests.
    private static func byKey(_ object: JSONObject) -> [String: JSON] {
        Dictionary(object.members.map { ($0.key, $0.value) }) { first, _ in first }
    }
}

/// A field of the observed state that has changed since planning.
package struct StateDrift: Sendable, Hashable {
    package let field: String
    package let planned: JSON
    package let found: JSON

    package init(field: String, planned: JSON, found: JSON) {
        self.field = field
        self.planned = planned
        self.found = found
    }
}

/// What applying a plan would do, derived from live state.
package struct Preview: Sendable {
    package var calls: [Call]
    package var observed: Observed
    package var changes: [Change]
    package var noop: Bool
    /// The action cannot be undone.
    package var irreversible: Bool
    /// A ready plan request that undoes the change; `nil` if there is none.
    package var undo: FollowUp?
    /// What ``undo`` does not restore.
    package var undoLeaves: [UndoGap] = []
    package var checks: [Check]
    /// The digest of the object that an edit names, as PVE gave it.
    package var digest: String?
    /// What the policy judges.
    package var reach: Reach

    package init(
        calls: [Call] = [], observed: Observed = Observed(), changes: [Change] = [], noop: Bool = false,
        irreversible: Bool = false, undo: FollowUp? = nil, checks: [Check] = [], reach: Reach = Reach()
    ) {
        self.calls = calls
        self.observed = observed
        self.changes = changes
        self.noop = noop
        self.irreversible = irreversible
        self.undo = undo
        self.checks = checks
        self.reach = reach
    }
}

extension Preview {
    /// The preview without anything that was read from PVE. Calls lose their parameters, which may contain earlier
    /// settings, and checks lose their details.
    func hidingSettings(by rules: [String]) -> Preview {
        let detail = "hidden by \(rules.joined(separator: ", "))"
        return Preview(
            calls: calls.map { $0.with([]) },
            checks: [Check("settings", .warn, detail)] + checks.map { Check($0.id, $0.level, detail) },
            reach: Reach(subjects: reach.subjects.map { Subject($0.role, $0.name) }))
    }
}
