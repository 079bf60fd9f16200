/// What can be asked for. The raw value is the one spelling, everywhere.
package enum Action: String, Sendable, Hashable, CaseIterable {
    case readVM = "read_vm"
    case readInventory = "read_inventory"
    case readNodes = "read_nodes"
    case readTasks = "read_tasks"
    case readTaskStatus = "read_task_status"
    case startVM = "start_vm"
    case stopVM = "stop_vm"
    case snapshotVM = "snapshot_vm"
    case cloneVM = "clone_vm"
    case migrateVM = "migrate_vm"
    case deleteVM = "delete_vm"
    case storageEdit = "storage_edit"
    case firewallEdit = "firewall_edit"
}

/// How much an action can destroy or interrupt.
package enum Risk: String, Sendable, Hashable, CaseIterable, Comparable {
    case low, medium, high

    package static func < (a: Risk, b: Risk) -> Bool { a.rank < b.rank }

    private var rank: Int {
        switch self {
        case .low: 0
        case .medium: 1
        case .high: 2
        }
    }
}

/// One entry of the catalogue: all that validation, planning, `GET /v1/actions` and the documents need to know.
package struct ActionDefinition: Sendable, Hashable {
    package enum Effect: String, Sendable, Hashable {
        case read, change
    }

    /// Where the calls to PVE come from.
    package enum Recipe: Sendable, Hashable {
        /// These calls, in order, with the given parameters passed on under their own names.
        case calls([CallTemplate])
        /// One call that the request spells out in `params {endpoint, method, params}`, bounded by the target.
        case endpoint
    }

    package let action: Action
    package let summary: String
    package let effect: Effect
    package let targets: [TargetForm]
    package let parameters: [ParameterDefinition]
    package let risk: Risk
    package let needsApproval: Bool
    /// Why it has this risk and this need of approval.
    package let reason: String
    package let recipe: Recipe
    /// The action that takes this one back, with the same target.
    package let inverse: Action?
    /// Nothing brings back what this action takes away.
    package let irreversible: Bool

    static func read(
        _ action: Action, _ summary: String, on targets: [TargetForm], _ parameters: [ParameterDefinition] = [],
        calls: [CallTemplate]
    ) -> Self {
        Self(
            action: action, summary: summary, effect: .read, targets: targets, parameters: parameters, risk: .low,
            needsApproval: false, reason: "changes nothing", recipe: .calls(calls), inverse: nil,
            irreversible: false)
    }

    static func change(
        _ action: Action, _ summary: String, on targets: [TargetForm], _ parameters: [ParameterDefinition],
        risk: Risk, approval: Bool = false, because reason: String, _ recipe: Recipe, inverse: Action? = nil,
        irreversible: Bool = false
    ) -> Self {
        Self(
            action: action, summary: summary, effect: .change, targets: targets, parameters: parameters, risk: risk,
            needsApproval: approval, reason: reason, recipe: recipe, inverse: inverse, irreversible: irreversible)
    }
}

/// A parameter of an action.
package struct ParameterDefinition: Sendable, Hashable {
    package enum Form: Sendable, Hashable {
        case boolean
        case integer(ClosedRange<Int>)
        case text(TextForm)
        case choice([String])
        /// Names and scalar values, passed to PVE as they are.
        case object
    }

    package let name: String
    package let form: Form
    package let required: Bool
    package let summary: String
    /// Used to find the guest; not passed on as a parameter of the call.
    package let isLocator: Bool

    init(_ name: String, _ form: Form, required: Bool = false, isLocator: Bool = false, _ summary: String) {
        self.name = name
        self.form = form
        self.required = required
        self.summary = summary
        self.isLocator = isLocator
    }

    /// Names whose values are secrets wherever they turn up among parameters.
    package static let secretNames: Set<String> = [
        "password", "cipassword", "keyring", "encryption-key", "sshkeys", "secret", "token", "token-value",
        "private-key",
    ]

    /// Whether a parameter of this name holds a secret, however it is spelt.
    package static func isSecret(_ name: String) -> Bool { secretNames.contains(name.lowercased()) }
}
