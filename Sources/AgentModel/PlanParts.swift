package import FoundationEssentials
package import Signatures
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

/// How strong an approval is: the later, the stronger.
package enum Assurance: String, Sendable, Hashable, CaseIterable, Comparable {
    /// A name in the body of the apply request. The holder of the shared token vouches for it.
    case declared
    /// Given under the approver's own token.
    case verified
    /// Also signed with a key of the approver.
    case signed
    /// Signed with a security key, which somebody touched.
    case hardware

    package static func < (a: Assurance, b: Assurance) -> Bool { a.rank < b.rank }

    private var rank: Int {
        switch self {
        case .declared: 0
        case .verified: 1
        case .signed: 2
        case .hardware: 3
        }
    }

    /// Approvals of this strength, in words: `approval`, `signed approvals`.
    package func noun(_ count: Int) -> String {
        let word = count == 1 ? "approval" : "approvals"
        return switch self {
        case .declared, .verified: word
        case .signed: "signed \(word)"
        case .hardware: "\(word) signed with \(count == 1 ? "a security key" : "security keys")"
        }
    }

    /// One of them, with its article.
    package var one: String { (self == .signed ? "a " : "an ") + noun(1) }
}

extension SignedApproval {
    package var assurance: Assurance { key.isHardware ? .hardware : .signed }
}

/// How many approvals a plan needs, how strong they must be, and who must be among the approvers.
package struct Requirement: Sendable, Hashable {
    package var approvals: Int
    package var assurance: Assurance
    /// In the order of their rules.
    package var clauses: [ApprovalClause]

    package init(approvals: Int, assurance: Assurance, clauses: [ApprovalClause] = []) {
        self.approvals = approvals
        self.assurance = assurance
        self.clauses = clauses
    }

    /// `2 signed approvals`.
    package var phrase: String { "\(approvals) \(assurance.noun(approvals))" }

    /// What meets both.
    package func tightened(by other: Requirement) -> Requirement {
        Requirement(
            approvals: max(approvals, other.approvals), assurance: max(assurance, other.assurance),
            clauses: clauses + other.clauses.filter { !clauses.contains($0) })
    }
}

/// A rule's condition on who approves. An approval may count for several rules.
package struct ApprovalClause: Sendable, Hashable {
    package let rule: String
    package let approvals: Int
    /// The approver is one of these, has one of these roles, or is in one of these groups. All empty: anybody.
    package let principals: Set<String>
    package let roles: Set<Role>
    package let groups: Set<String>
    /// The approver shares no group with the requester.
    package let isFromOtherGroup: Bool

    package init(
        rule: String, approvals: Int, principals: Set<String> = [], roles: Set<Role> = [], groups: Set<String> = [],
        isFromOtherGroup: Bool = false
    ) {
        self.rule = rule
        self.approvals = approvals
        self.principals = principals
        self.roles = roles
        self.groups = groups
        self.isFromOtherGroup = isFromOtherGroup
    }

    /// `2 by group leads or role auditor, of another group than the requester's`.
    package var phrase: String {
        let who =
            principals.sorted() + groups.sorted().map { "group \($0)" } + roles.map { "role \($0.rawValue)" }.sorted()
        let other = isFromOtherGroup ? ["of another group than the requester's"] : []
        return "\(approvals) "
            + ((who.isEmpty ? [] : ["by " + who.joined(separator: " or ")]) + other)
            .joined(separator: ", ")
    }
}

/// An approver's decision on one plan.
package struct Approval: Sendable, Hashable {
    package let approver: String
    package let assurance: Assurance
    package let at: Date
    package let reason: String?
    /// A reference to where the decision was made, such as a ticket number.
    package let ticket: String?
    /// What makes it one that anybody can check; `nil` if it was not signed.
    package let signed: SignedApproval?

    package init(
        approver: String, assurance: Assurance, at: Date, reason: String? = nil, ticket: String? = nil,
        signed: SignedApproval? = nil
    ) {
        self.approver = approver
        self.assurance = assurance
        self.at = at
        self.reason = reason
        self.ticket = ticket
        self.signed = signed
    }

    /// Whether this is the approver's name. Upper and lower case, or another token, do not make another person.
    package func isBy(_ name: String) -> Bool { approver.lowercased() == name.lowercased() }
}
