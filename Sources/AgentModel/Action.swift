/// What a caller can ask for: one of the catalogue's names. Only the catalogue makes values of this type.
package struct Action: RawRepresentable, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// The one spelling, everywhere: `start_vm`.
    package let rawValue: String

    /// The action of that name; `nil` where the catalogue has none.
    package init?(rawValue: String) {
        guard ActionCatalog.has(rawValue) else { return nil }
        self.rawValue = rawValue
    }

    /// For the catalogue, and for the names below.
    init(_ name: String) { rawValue = name }

    /// In the order of the catalogue.
    package static var allCases: [Action] { ActionCatalog.all.map(\.action) }
    package var description: String { rawValue }
}

/// Names for the actions that code and tests speak of. What an action is and does is in its definition alone.
extension Action {
    package static let readVM = Action("read_vm")
    package static let readInventory = Action("read_inventory")
    package static let readNodes = Action("read_nodes")
    package static let readTasks = Action("read_tasks")
    package static let readTaskStatus = Action("read_task_status")
    package static let startVM = Action("start_vm")
    package static let stopVM = Action("stop_vm")
    package static let snapshotVM = Action("snapshot_vm")
    package static let rollbackSnapshot = Action("rollback_snapshot")
    package static let deleteSnapshot = Action("delete_snapshot")
    package static let revertPending = Action("revert_pending_vm")
    package static let cloneVM = Action("clone_vm")
    package static let migrateVM = Action("migrate_vm")
    package static let deleteVM = Action("delete_vm")
    package static let storageEdit = Action("storage_edit")
    package static let firewallEdit = Action("firewall_edit")
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
