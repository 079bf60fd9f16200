package import FoundationEssentials
package import Signatures

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
