/// One thing that a caller may do in an environment.
package enum Right: String, Sendable, Hashable, CaseIterable {
    /// Look: environments, inventory, plans, operations; reads and dry runs.
    case view
    /// Ask for changes, and apply and cancel what one asked for.
    case change
    /// Approve, reject and cancel what others asked for; settle unknown outcomes.
    case approve
    /// Read the audit records.
    case audit
    /// Set a freeze.
    case freeze
    /// Lift one.
    case unfreeze
}

/// What a principal is there for; the names are those of the configuration.
package enum Role: String, Sendable, Hashable, CaseIterable {
    case viewer, `operator`, approver, auditor

    package var rights: Set<Right> {
        switch self {
        case .viewer: [.view]
        case .operator: [.view, .change, .freeze]
        case .approver: [.view, .approve, .freeze, .unfreeze]
        case .auditor: [.audit]
        }
    }
}

/// Somebody with a token: an agent, a person or a script, and what they may do where.
package struct Principal: Sendable, Hashable {
    package let id: String
    package let rights: Set<Right>
    /// `nil` for all environments, those of tomorrow too.
    package let environments: Set<EnvironmentName>?
    /// The holder of the one shared token, whose approvals are declarations.
    package let isShared: Bool

    package init(id: String, roles: Set<Role>, environments: Set<EnvironmentName>? = nil) {
        self.id = id
        rights = roles.reduce(into: []) { $0.formUnion($1.rights) }
        self.environments = environments
        isShared = false
    }

    private init(sharedAs id: String) {
        self.id = id
        rights = Set(Right.allCases)
        environments = nil
        isShared = true
    }

    /// Who holds the shared token: everything, but no verified approval.
    package static let shared = Principal(sharedAs: "operator")
    /// Nobody; has no rights.
    package static let nobody = Principal(id: "anonymous", roles: [])

    /// Whether records give this name, in any case, to the agent itself, to somebody it does not know, or to a freeze by a
    /// file: no caller, label or approver can have it.
    package static func isReserved(_ name: String) -> Bool {
        ["proxmox-agent", "anonymous", "unauthenticated", "file"].contains(name.lowercased())
    }

    package func may(_ right: Right, in environment: EnvironmentName) -> Bool {
        rights.contains(right) && environments?.contains(environment) ?? true
    }

    /// Whether nothing but the roles bounds the right, as a global freeze and its end need.
    package func mayEverywhere(_ right: Right) -> Bool { rights.contains(right) && environments == nil }
}

/// All who may get in, by id.
package struct Directory: Sendable, Hashable {
    private let principals: [String: Principal]
    /// Nobody but the holder of the shared token: approvals are declared in the apply request.
    package let isShared: Bool

    /// - Parameter principals: with unique ids; of two with one id the first counts.
    package init(_ principals: [Principal]) {
        self.principals = Dictionary(principals.map { ($0.id, $0) }) { first, _ in first }
        isShared = principals.contains(where: \.isShared)
    }

    /// The one shared token.
    package static let shared = Directory([.shared])

    package var isEmpty: Bool { principals.isEmpty }

    /// The principal behind a caller as things stand now; `nil` when there is none such any more.
    package func principal(of caller: Caller) -> Principal? {
        principals[caller.principal].flatMap { $0.isShared == caller.isShared ? $0 : nil }
    }

    /// Whether a principal of that id may approve there.
    package func isApprover(_ id: String, in environment: EnvironmentName) -> Bool {
        principals[id].map { !$0.isShared && $0.may(.approve, in: environment) } ?? false
    }
}
