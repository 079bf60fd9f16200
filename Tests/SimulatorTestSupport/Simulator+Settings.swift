@testable package import PVESimulator

/// All settings that an administrator can see, so that a test can compare two moments.
extension Simulator {
    /// Values by setting: `vm/101.memory`, `storage/nas.content`, `firewall/cluster.alias.home`. Times and derived
    /// values are left out.
    package var settings: [String: String] {
        change { world in
            var found: [String: String] = [:]
            for guest in world.sortedGuests { found.merge(guest.settings) { $1 } }
            for node in world.nodes {
                found["node/\(node.name).online"] = "\(node.isOnline)"
                found["node/\(node.name).stopped"] = node.stoppedServices.sorted().joined(separator: " ")
                for (key, value) in node.options { found["node/\(node.name).\(key)"] = value }
            }
            for storage in world.storages {
                found["storage/\(storage.id).type"] = storage.type
                for (key, value) in storage.options { found["storage/\(storage.id).\(key)"] = value }
            }
            for volume in world.volumes { found["volume/\(volume.id)"] = "\(volume.content) \(volume.bytes)" }
            for (name, pool) in world.pools {
                found["pool/\(name)"] = "\(pool.comment ?? "") \(pool.storages.sorted())"
            }
            for (sid, resource) in world.haResources.all {
                found["ha/\(sid)"] = resource.wanted
                for (key, value) in resource.options where key != "state" { found["ha/\(sid).\(key)"] = value }
            }
            for (name, rule) in world.haRules.all {
                for (key, value) in rule where key != "digest" { found["rule/\(name).\(key)"] = Self.sorted(value) }
            }
            for (id, job) in world.backupJobs.all {
                found["job/\(id).enabled"] = "1"
                for (key, value) in job { found["job/\(id).\(key)"] = Self.sorted(value) }
            }
            for (id, job) in world.replications.all {
                for (key, value) in job.options { found["replication/\(id).\(key)"] = value }
            }
            for (scope, firewall) in world.firewalls {
                for (key, value) in firewall.settings { found["firewall/\(scope.name).\(key)"] = value }
            }
            for (file, sections) in world.sections {
                for (id, options) in sections {
                    for (key, value) in options { found["\(file)/\(id).\(key)"] = Self.sorted(value) }
                }
            }
            return found
        }
    }

    private static func sorted(_ list: String) -> String { Format.list(list).sorted().joined(separator: ",") }
}

extension Guest {
    fileprivate var settings: [String: String] {
        let name = "\(kind == .vm ? "vm" : "lxc")/\(vmid)"
        var found = [
            "\(name).status": qmpStatus, "\(name).node": node, "\(name).pool": pool ?? "",
            "\(name).snapshots": snapshots.map(\.name).joined(separator: " "),
        ]
        for (key, value) in config.sorted { found["\(name).\(key)"] = value }
        for (key, value) in pending { found["\(name).pending.\(key)"] = value ?? "deleted" }
        for (key, value) in cloudInitDrive ?? [:] { found["\(name).cloudinit.\(key)"] = value }
        return found
    }
}

extension FirewallScope {
    fileprivate var name: String {
        switch self {
        case .cluster: "cluster"
        case .node(let node): "node/\(node)"
        case .guest(let id): "guest/\(id)"
        }
    }
}

extension Firewall {
    fileprivate var settings: [String: String] {
        var found: [String: String] = [:]
        for (key, value) in options { found["options.\(key)"] = value }
        for (place, rule) in rules.enumerated() { found["rule.\(place)"] = rule.text }
        for (name, alias) in aliases.all { found["alias.\(name)"] = "\(alias["cidr"] ?? "") \(alias["comment"] ?? "")" }
        for (name, set) in sets.all {
            found["ipset.\(name)"] = set.options["comment"] ?? ""
            for (cidr, entry) in set.entries.all {
                found["ipset.\(name).\(cidr)"] = "\(entry["nomatch"] == "1" ? "not " : "")\(entry["comment"] ?? "")"
            }
        }
        for (name, group) in groups.all {
            found["group.\(name)"] = group.options["comment"] ?? ""
            for (place, rule) in group.rules.enumerated() { found["group.\(name).\(place)"] = rule.text }
        }
        return found
    }
}
