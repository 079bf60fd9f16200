package import AgentModel
package import StrictJSON

/// The least that each action can be asked for with: a target that it takes, and the parameters that it needs.
package enum Least {
    /// Parameters by action, where it needs any.
    private static let needed: [String: JSONObject] = [
        "snapshot_vm": ["snapname": "before"],
        "clone_vm": ["newid": 900],
        "migrate_vm": ["target": "pve2"],
        "storage_edit": ["endpoint": "/storage/nas", "method": "PUT"],
        "firewall_edit": ["endpoint": "/cluster/firewall/options", "method": "PUT"],
    ]

    package static func params(of action: Action) -> JSONObject { needed[action.rawValue] ?? [:] }

    package static func target(of action: Action) -> String {
        target(of: ActionCatalog.definition(of: action).targets[0])
    }

    /// A target of the form.
    package static func target(of form: TargetForm) -> String {
        switch form {
        case .vm: "vm/101"
        case .container: "lxc/200"
        case .node: "node/pve1"
        case .nodesAll: "nodes/all"
        case .storage: "storage/nas"
        case .pool: "pool/prod"
        case .cluster: "cluster"
        case .inventoryAll: "inventory/all"
        case .inventoryRunning: "inventory/running"
        case .tasksAll: "tasks/all"
        case .task: "task/UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:"
        case .firewallCluster: "firewall/cluster"
        case .firewallNode: "firewall/node/pve1"
        case .firewallVM: "firewall/vm/101"
        case .firewallContainer: "firewall/lxc/200"
        }
    }

    package static func request(_ action: Action, dryRun: Bool? = nil) throws(RequestError) -> ActionRequest {
        try .sample(action, target(of: action), .object(params(of: action)), dryRun: dryRun)
    }
}
