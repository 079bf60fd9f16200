package import AgentModel
package import StrictJSON

/// The least that each action can be asked for with: a target that it takes, and the parameters that it needs.
package enum MinimalRequest {
    /// Parameters by action, where it needs any.
    private static let needed: [String: JSONObject] = [
        "read_metrics": ["timeframe": "day"],
        "create_vm": ["node": "pve1"],
        "create_container": ["node": "pve1", "ostemplate": "local:vztmpl/debian-13.tar.zst", "unprivileged": true],
        "clone_vm": ["newid": 900],
        "clone_container": ["newid": 900],
        "migrate_vm": ["target": "pve2"],
        "migrate_container": ["target": "pve2"],
        "configure_vm": ["memory": 2048],
        "configure_container": ["memory": 2048],
        "tag_vm": ["add": ["prod"]],
        "tag_container": ["add": ["prod"]],
        "revert_pending_vm": ["keys": ["memory"]],
        "resize_disk": ["disk": "scsi0", "size": "+1G"],
        "move_disk": ["disk": "scsi0", "storage": "nas"],
        "attach_disk": ["disk": "scsi5", "storage": "nas", "size": 8],
        "detach_disk": ["disk": "scsi1"],
        "snapshot_vm": ["snapname": "before"],
        "snapshot_container": ["snapname": "before"],
        "rollback_snapshot": ["snapname": "before"],
        "delete_snapshot": ["snapname": "before"],
        "backup_vm": ["storage": "nas"],
        "backup_container": ["storage": "nas"],
        "restore_backup": ["archive": "nas:backup/vzdump-qemu-101-2026_11_20-03_00_01.vma.zst"],
        "delete_backup": ["volume": "nas:backup/vzdump-qemu-101-2026_11_20-03_00_01.vma.zst"],
        "backup_job_edit": ["op": "remove", "id": "nightly"],
        "prune_backups": ["prune-backups": "keep-last=3"],
        "storage_edit": ["endpoint": "/storage/nas", "method": "PUT"],
        "delete_volume": ["volume": "nas:iso/debian-13.iso"],
        "download_to_storage": [
            "url": "https://example.org/debian-13.iso", "content": "iso", "filename": "debian-13.iso",
            "checksum": .string(String(repeating: "0f", count: 32)), "checksum-algorithm": "sha256",
        ],
        "firewall_edit": ["endpoint": "/cluster/firewall/options", "method": "PUT"],
        "pool_edit": ["op": "remove"],
        "ha_edit": ["op": "remove"],
        "ha_migrate": ["target": "pve2", "mode": "migrate"],
        "replication_edit": ["op": "remove", "job": 0],
        "replication_run": ["job": 0],
        "node_service": ["service": "cron", "command": "restart"],
        "bulk_migrate": ["target": "pve2"],
        "agent_exec": ["command": ["uptime"]],
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
