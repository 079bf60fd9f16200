package import Signatures

/// A right that a caller may have in an environment.
package enum Right: String, Sendable, Hashable, CaseIterable {
    /// Read environments, inventory, plans and operations; make reads and dry runs.
    case view
    /// Request changes, and apply and cancel one's own plans.
    case change
    /// Approve, reject and cancel other callers' plans; settle unknown outcomes.
    case approve
    /// Read the audit records.
    case audit
    /// Set a freeze.
    case freeze
    /// Lift a freeze.
    case unfreeze
    /// Have the configuration read again.
    case reload
    /// Pass a change window, a limit or a freeze in an emergency.
    case breakGlass = "break_glass"
    /// Review what others passed in an emergency.
    case review
}

/// The role of a principal, with its name in the configuration.
package enum Role: String, Sendable, Hashable, CaseIterable {
    case viewer, `operator`, approver, auditor, administrator, emergency

    package var rights: Set<Right> {
        switch self {
        case .viewer: [.view]
        case .operator: [.view, .change, .freeze]
        case .approver: [.view, .approve, .freeze, .unfreeze, .review]
        case .auditor: [.audit]
        case .administrator: [.view, .reload, .review]
        case .emergency: [.breakGlass]
        }
    }
}

/// The holder of a token: an agent, a person or a script, with its rights and their environments.
package struct Principal: Sendable, Hashable {
    package let id: String
    package let roles: Set<Role>
    package let rights: Set<Right>
    /// `nil` for all environments, including future ones.
    package let environments: Set<EnvironmentName>?
    /// The public keys that sign its approvals; no other principal has one of them.
    package let approvalKeys: [ApprovalKey]
    /// The holder of the one shared token, whose approvals are declarations.
    package let isShared: Bool

    package init(
        id: String, roles: Set<Role>, environments: Set<EnvironmentName>? = nil, approvalKeys: [ApprovalKey] = []
    ) {
        self.id = id
        self.roles = roles
        rights = roles.reduce(into: []) { $0.formUnion($1.rights) }
        self.environments = environments
        self.approvalKeys = approvalKeys
        isShared = false
    }

    private init(sharedAs id: String) {
        self.id = id
        roles = Set(Role.allCases).subtracting([.emergency])
        // One who passes a freeze could also lift it, and nobody else could review that.
        rights = Set(Right.allCases).subtracting([.breakGlass])
        environments = nil
        approvalKeys = []
        isShared = true
    }

    /// The holder of the shared token: all rights but that to break the glass. Its approvals are not verified.
    package static let shared = Principal(sharedAs: "operator")
    /// An unauthenticated caller. It has no rights.
    package static let nobody = Principal(id: "anonymous", roles: [])

    /// Whether records use this name, in upper or lower case, for the agent itself, for an unknown caller or for a
    /// freeze by a file. No caller, label or approver can have such a name.
    package static func isReserved(_ name: String) -> Bool {
        ["proxmox-agent", "anonymous", "unauthenticated", "file"].contains(name.lowercased())
    }

    package func may(_ right: Right, in environment: EnvironmentName) -> Bool {
        rights.contains(right) && environments?.contains(environment) ?? true
    }

    /// Whether the right holds in every environment. Setting and lifting a global freeze require that.
    package func mayEverywhere(_ right: Right) -> Bool { rights.contains(right) && environments == nil }
}

/// All principals, by id.
package struct Directory: Sendable, Hashable {
    private let principals: [String: Principal]
    /// Only the holder of the shared token. Approvals are declared in the apply request.
    package let isShared: Bool

    /// - Parameter principals: with unique ids. Of two with the same id, the first counts.
    package init(_ principals: [Principal]) {
        self.principals = Dictionary(principals.map { ($0.id, $0) }) { first, _ in first }
        isShared = principals.contains(where: \.isShared)
    }

    /// The one shared token.
    package static let shared = Directory([.shared])

    package var isEmpty: Bool { principals.isEmpty }

    /// All principals, by id.
    package var all: [Principal] { principals.values.sorted { $0.id < $1.id } }

    /// The principal behind a caller at present; `nil` if it no longer exists.
    package func principal(of caller: Caller) -> Principal? {
        principals[caller.principal].flatMap { $0.isShared == caller.isShared ? $0 : nil }
    }

    /// Whether that is the id, in upper or lower case, of a principal with a token of its own.
    package func isPrincipal(_ name: String) -> Bool {
        principals.values.contains { !$0.isShared && $0.id.lowercased() == name.lowercased() }
    }

    /// Whether a principal of that id may approve there.
    package func isApprover(_ id: String, in environment: EnvironmentName) -> Bool {
        principals[id].map { !$0.isShared && $0.may(.approve, in: environment) } ?? false
    }

    /// The roles of the principal with that id; none if there is none.
    package func roles(of id: String) -> Set<Role> { principals[id]?.roles ?? [] }

    /// Whether a principal of that id has this key.
    package func isKey(_ key: ApprovalKey, of id: String) -> Bool {
        principals[id]?.approvalKeys.contains(key) ?? false
    }

    /// Whether an approval is signed with a key that is not its approver's any more.
    package func isKeyGone(of approval: Approval) -> Bool {
        approval.signed.map { !isKey($0.key, of: approval.approver) } ?? false
    }
}
