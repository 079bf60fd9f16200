/// Every action. To add one, add an entry to the file of its topic, and tests.
package enum ActionCatalog {
    /// All entries, topic by topic.
    package static let all: [ActionDefinition] =
        reads + GuestKind.allCases.flatMap(power) + GuestKind.allCases.flatMap(life)
        + GuestKind.allCases.flatMap(configuration) + disks + snapshots + backups + storage + network + availability
        + nodes + guestAgent + sdn

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.action.rawValue, $0) })

    /// Whether there is an action of that name.
    static func has(_ name: String) -> Bool { byName[name] != nil }

    /// The entry of `action`. It always exists, because every action comes from the catalogue.
    package static func definition(of action: Action) -> ActionDefinition {
        guard let entry = byName[action.rawValue] else { preconditionFailure("no entry for \(action)") }
        return entry
    }

    // The parameters follow the PVE endpoints' own names and bounds.

    /// The node a guest is on.
    static let node = ParameterDefinition(
        "node", .text(.node), agentOnly: true, "the node the guest is on; found by itself when missing")
    static let bandwidth = ParameterDefinition("bwlimit", .integer(0...1_000_000_000), "KiB/s; 0 is unlimited")
    static let pool = ParameterDefinition("pool", .text(.pool), "pool that takes the new guest")
    static let vmid = 100...999_999_999
}

/// What the definitions of one kind of guest have in common.
extension GuestKind {
    /// The guest's path at PVE.
    var path: String { "/nodes/{node}/\(rawValue)/{vmid}" }
    /// The suffix of its actions.
    var suffix: String { self == .vm ? "vm" : "container" }
    /// The action of this kind of guest for a verb: `start_vm`.
    package func action(_ verb: String) -> String { "\(verb)_\(suffix)" }
    /// The types of task for a verb, and the HA manager's type for the same.
    func tasks(_ verb: String, ha: String? = nil) -> [String] { [taskPrefix + verb] + (ha.map { ["ha" + $0] } ?? []) }

    /// A virtual machine's migration task has an irregular name.
    var migrationTasks: [String] { [self == .vm ? "qmigrate" : "vzmigrate", "hamigrate"] }
}
