package import FoundationEssentials
package import StrictJSON

/// Who asks: the authenticated principal, and the label that was sent along.
package struct Caller: Sendable, Hashable {
    package let principal: String
    /// `X-Actor-ID` as it was sent.
    package let label: String?
    /// Came with the one shared token: then the label is all that tells callers apart.
    package let isShared: Bool

    package init(principal: String, label: String?, isShared: Bool = false) {
        self.principal = principal
        self.label = label
        self.isShared = isShared
    }

    /// The name in records: the principal; with the shared token the label where there is one.
    package var actor: String { isShared ? label ?? principal : principal }

    /// The same text for the same party: its plans are its own.
    package var party: String { isShared ? "label:\(label ?? "")" : "principal:\(principal)" }

    package func isSameParty(as other: Caller) -> Bool { party == other.party }
}

/// What policy says about a request.
package struct Decision: Sendable, Hashable {
    package var allowed: Bool
    package var risk: Risk
    package var requiresApproval: Bool
    package var reason: String
    /// The rules that said so: `base:start_vm`, `env:read_only`, `check:guest-exists`, `rule:two-for-prod`.
    package var rules: [String]
    /// How many approvals, where any is required.
    package var approvals: Int
    /// Everything that was judged, and by which of the configured rules.
    package var subjects: [JudgedSubject]

    package init(
        allowed: Bool, risk: Risk, requiresApproval: Bool, reason: String, rules: [String], approvals: Int = 1,
        subjects: [JudgedSubject] = []
    ) {
        self.allowed = allowed
        self.risk = risk
        self.requiresApproval = requiresApproval
        self.reason = reason
        self.rules = rules
        self.approvals = approvals
        self.subjects = subjects
    }
}

/// A subject as a decision names it, with the configured rules that matched it.
package struct JudgedSubject: Sendable, Hashable {
    package let role: Subject.Role
    package let name: String
    package var rules: [String]

    package init(_ role: Subject.Role, _ name: String, rules: [String] = []) {
        self.role = role
        self.name = name
        self.rules = rules
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

/// Something that an undo does not bring back.
package struct UndoGap: Sendable, Hashable {
    /// The key of a change, where it is about one; else a word for what it is.
    package let key: String
    package let detail: String

    package init(_ key: String, _ detail: String) {
        self.key = key
        self.detail = detail
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

    /// The compared fields that differ now; of objects, such as the other guests that are named, their own fields.
    package func moved(to found: Observed) -> [StateDrift] {
        // What only one of them has to compare has come, or gone.
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

/// A field of the observed state that is no longer what was planned on.
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

/// What applying a plan would do, from live state.
package struct Preview: Sendable {
    package var calls: [Call]
    package var observed: Observed
    package var changes: [Change]
    package var noop: Bool
    /// Nothing brings back what the action is about.
    package var irreversible: Bool
    /// A ready plan request that takes the change back; `nil` where there is none.
    package var undo: FollowUp?
    /// What ``undo`` does not bring back.
    package var undoLeaves: [UndoGap] = []
    package var checks: [Check]
    /// The digest of the object that an edit names, as PVE gave it.
    package var digest: String?
    /// What policy judges.
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
    /// What is left of it without anything that was read from PVE: the calls without their parameters, which may hold what
    /// was there before, and what was checked without the details.
    func hidingSettings(by rules: [String]) -> Preview {
        let detail = "hidden by \(rules.joined(separator: ", "))"
        return Preview(
            calls: calls.map { $0.with([]) },
            checks: [Check("settings", .warn, detail)] + checks.map { Check($0.id, $0.level, detail) },
            reach: Reach(subjects: reach.subjects.map { Subject($0.role, $0.name) }))
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
}

/// An approver's word on one plan.
package struct Approval: Sendable, Hashable {
    package let approver: String
    package let assurance: Assurance
    package let at: Date
    package let reason: String?
    /// A reference to where the decision was made, such as a ticket's number.
    package let ticket: String?

    package init(approver: String, assurance: Assurance, at: Date, reason: String? = nil, ticket: String? = nil) {
        self.approver = approver
        self.assurance = assurance
        self.at = at
        self.reason = reason
        self.ticket = ticket
    }

    /// Whether that is the approver's name; one person has it in any case, and with any token.
    package func isBy(_ name: String) -> Bool { approver.lowercased() == name.lowercased() }
}
