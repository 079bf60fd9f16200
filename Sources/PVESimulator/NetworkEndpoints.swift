import StrictJSON

private let kinds =
    "bridge|bond|eth|alias|vlan|fabric|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|any_bridge|any_local_bridge|include_sdn"

/// The network interfaces of a node: one card, and the bridges on it.
let networkEndpoints: [Endpoint] = [
    .get("nodes/{node}/network", "type:enum(\(kinds))") { world, call in
        let rows = world.interfaces(of: call.node)
        guard let type = call["type"], type != "include_sdn" else { return .rows(rows.map { .object($0.row) }) }
        let wanted = type.hasPrefix("any_") ? "bridge" : type
        return .rows(rows.filter { $0.row["type"]?.string == wanted }.map { .object($0.row) })
    },
    .get("nodes/{node}/network/{iface}", "iface!:iface(2..20)", needs: "/nodes/{node} Sys.Audit") { world, call in
        guard var row = world.interfaces(of: call.node).first(where: { $0.name == call["iface"] })?.row else {
            throw Failure.parameters(["iface": "interface does not exist"])
        }
        row["iface"] = nil
        return .object(row)
    },
]

extension ClusterState {
    fileprivate func interfaces(of name: String) -> [(name: String, row: JSONObject)] {
        guard let node = node(name) else { return [] }
        // The configuration names one bridge at least, whether it is up or not.
        let bridges: [(String, JSONObject)] = node.bridges.union(["vmbr0"]).sorted().map { bridge in
            let isUp = node.bridges.contains(bridge)
            let row: JSONObject = [
                "active": isUp ? .some(1) : .none, "address": .string(node.address), "autostart": 1, "bridge_fd": "0",
                "bridge_ports": isUp ? "eth0" : "", "exists": isUp ? .some(1) : .none, "bridge_stp": "off",
                "cidr": .string(node.address + "/24"), "families": ["inet"], "iface": .string(bridge),
                "method": "static", "method6": "manual", "netmask": "24", "priority": 3, "type": "bridge",
            ]
            return (bridge, row)
        }
        let card: JSONObject = [
            "active": 1, "exists": 1, "families": ["inet"], "iface": "eth0", "method": "manual", "method6": "manual",
            "type": "eth",
        ]
        return bridges + [("eth0", card)]
    }
}
