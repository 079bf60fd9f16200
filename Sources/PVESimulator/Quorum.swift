/// The effect of missing quorum on a change: without it, the cluster's file system is read-only.
enum WithoutQuorum {
    /// The change does not touch the file system.
    case works
    /// Refused before any other check.
    case refused(Failure)
    /// Refused at the write, after all other checks have passed.
    case refusedAtEnd(Failure)
    /// Its task fails with this text.
    case taskFails(String)
}

extension Endpoint {
    func withoutQuorum(_ call: EndpointCall) -> WithoutQuorum {
        guard method != "GET" else { return .works }
        let parts = path.split(separator: "/").map(String.init)
        if path.hasPrefix("nodes/") { return ofNode(parts, call) }
        let verb = ["POST": "create", "PUT": "update", "DELETE": "delete"][method] ?? ""
        switch (parts[0], parts.dropFirst().first) {
        case ("pools", _):
            return .refused(.noLock("file-user_cfg", "\(verb) pool\(method == "PUT" ? "s" : "") failed: "))
        case ("storage", _): return .refused(.noLock("file-storage_cfg", "\(verb) storage failed: "))
        case ("cluster", "backup"): return .refused(.noLock("file-jobs_cfg"))
        case ("cluster", "options"): return .refused(.noLock("file-datacenter_cfg"))
        case ("cluster", "firewall"): return .refused(.noLock("firewall-cluster"))
        case ("cluster", "replication"): return .refusedAtEnd(.noLock("file-replication_cfg"))
        case ("cluster", "bulk-action"): return .works
        case ("cluster", "ha"): return ofHA(parts, verb)
        default: return .refused(.notReady)
        }
    }

    private func ofHA(_ parts: [String], _ verb: String) -> WithoutQuorum {
        if ["migrate", "relocate"].contains(parts.last) { return .refused(.noLock("domain-ha")) }
        guard method != "POST" else { return .refused(.notReady) }
        return .refused(
            .noLock("domain-ha", parts[2] == "rules" ? "\(verb) ha rule failed: " : "\(verb) resources config failed: ")
        )
    }

    private func ofNode(_ parts: [String], _ call: EndpointCall) -> WithoutQuorum {
        let last = parts.last ?? ""
        switch parts.dropFirst(2).first {
        case "qemu", "lxc": break
        case "status", "services", "tasks", "wakeonlan", "migrateall", "startall", "stopall", "suspendall", nil:
            return .works
        case "storage":
            return last.hasPrefix("{") || last == "content"
                ? .refused(.noLock("storage-\(call.text("storage"))")) : .works
        case "firewall": return .refused(.noLock("firewall-host-\(call.node)"))
        case "vzdump": return .taskFails("job errors")
        default: return .refused(.notReady)
        }
        if parts.contains("firewall") { return .refused(.noLock("firewall-vm-\(call.vmid)")) }
        if parts.contains("agent") || ["stop", "shutdown", "suspend", "resume", "reset", "sendkey"].contains(last) {
            return .works
        }
        if parts.count == 3 || ["start", "reboot", "clone", "migrate"].contains(last) { return .refused(.notReady) }
        let text =
            "unable to open file '/etc/pve/nodes/\(call.node)/\(call.kind.folder)/\(call.vmid).conf.tmp.4711' - "
            + "Permission denied"
        return method == "PUT" && last == "config" ? .refusedAtEnd(Failure(text)) : .taskFails(text)
    }
}

extension Failure {
    /// The error for a lock of the cluster's file system that is unavailable.
    fileprivate static func noLock(_ name: String, _ before: String = "") -> Failure {
        Failure("\(before)cfs-lock '\(name)' error: no quorum!")
    }
}
