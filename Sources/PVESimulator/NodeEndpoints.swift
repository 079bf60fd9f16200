import StrictJSON

private let options =
    "acme|acmedomain0|acmedomain1|acmedomain2|acmedomain3|acmedomain4|acmedomain5|ballooning-target|description"
    + "|startall-onboot-delay|wakeonlan"

let nodeEndpoints: [Endpoint] = [
    .get("nodes") { world, call in
        .rows(
            world.nodes.map { node in
                var row = world.nodeRow(node, for: call.caller)
                row["ssl_fingerprint"] = .string(node.fingerprint)
                return .object(row)
            })
    },
    .get("nodes/{node}/status", needs: "/nodes/{node} Sys.Audit") { world, call in .data(world.nodeStatus(call.node)) },
    .change("POST", "nodes/{node}/status", "command!:enum(reboot|shutdown)", needs: "/nodes/{node} Sys.PowerMgmt") {
        world, call in world.switchOffNode(call.node, returns: call["command"] == "reboot")
    },
    .post("nodes/{node}/wakeonlan", needs: "/nodes/{node} Sys.PowerMgmt") { world, call in
        guard call.node != world.nodes.first?.name else {
            throw Failure("'\(call.node)' is local node, cannot wake my self!")
        }
        let setting = world.node(call.node)?.options["wakeonlan"].map { PropertyList($0, leading: "mac") }
        guard let mac = setting?["mac"] else { throw Failure("No wake on LAN MAC address defined for '\(call.node)'!") }
        world.switchOnNode(call.node)
        return .text(mac)
    },
    .get("nodes/{node}/apt/update", needs: "/nodes/{node} Sys.Modify") { _, _ in .data([]) },
    .get("nodes/{node}/version") { _, _ in .data(["release": "9.2", "repoid": "14a22df3", "version": "9.2.6"]) },
    .get("nodes/{node}/config", "property:enum(\(options))", needs: "/ Sys.Audit") { world, call in
        guard let node = world.node(call.node) else { return .null }
        var json = node.options.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { $0[$1.key] = .string($1.value) }
        json["digest"] = node.optionsDigest.map { .string($0) }
        return .object(json)
    },
    .change(
        "PUT", "nodes/{node}/config",
        """
        acme:acme acmedomain[n]:acmedomain ballooning-target:int(0..100) delete:configid-list description:str(..65536)
        digest:str(..40) startall-onboot-delay:int(0..300) wakeonlan:wakeonlan
        """, needs: "/ Sys.Modify"
    ) { world, call in
        try call.checkDigest(world.node(call.node)?.optionsDigest)
        world.changeNode(call.node) { node in
            node.options.take(call)
            if let text = call["description"] { node.options["description"] = text + "\n" }
        }
    },
    .get("nodes/{node}/dns", needs: "/nodes/{node} Sys.Audit") { _, _ in .data(["dns1": "198.51.100.53"]) },
]

extension Node {
    /// `nil` while there is no configuration file.
    fileprivate var optionsDigest: String? { options.isEmpty ? nil : options.digest }
}

extension ClusterState {
    fileprivate func nodeStatus(_ name: String) -> JSON {
        guard let node = node(name) else { return .null }
        return [
            "boot-info": ["mode": "legacy-bios"], "cpu": .number(0.0423), "idle": 0, "ksm": ["shared": 0],
            "cpuinfo": [
                "cores": JSON(node.cores), "cpus": JSON(node.cores), "family": "25", "flags": "fpu vme sse sse2 avx2",
                "hvm": "1", "mhz": "2596.146", "model": "AMD EPYC", "sockets": 1, "user_hz": 100,
                "vendor": "AuthenticAMD",
            ],
            "current-kernel": [
                "machine": "x86_64", "release": "6.17.2-1-pve", "sysname": "Linux",
                "version": "#1 SMP PREEMPT_DYNAMIC PMX 6.17.2-1",
            ], "kversion": "Linux 6.17.2-1-pve #1 SMP PREEMPT_DYNAMIC PMX 6.17.2-1",
            "loadavg": ["0.42", "0.38", "0.31"],
            "memory": [
                "available": JSON(node.memory / 3 * 2), "free": JSON(node.memory / 2), "total": JSON(node.memory),
                "used": JSON(node.memory / 3),
            ], "pveversion": "pve-manager/9.2.6/14a22df3",
            "rootfs": [
                "avail": JSON(node.disk / 12 * 10), "free": JSON(node.disk / 12 * 11), "total": JSON(node.disk),
                "used": JSON(node.disk / 12),
            ], "swap": ["free": JSON(8 << 30), "total": JSON(8 << 30), "used": 0], "uptime": JSON(node.uptime),
            "wait": .number(0.0013),
        ]
    }
}

/// Switches nodes off and on.
extension ClusterState {
    /// Whether `name` is down and is not the first node, which serves the API.
    func isUnreachable(_ name: String) -> Bool { name != nodes.first?.name && node(name)?.isOnline == false }

    /// Stops a node and all its guests. The first node serves the API, so it stays online.
    mutating func switchOffNode(_ name: String, returns: Bool) {
        for guest in sortedGuests where guest.node == name && guest.power.isOn { switchOff(guest.vmid) }
        let (isFirst, back) = (name == nodes.first?.name, returns ? now + taskDuration : nil)
        changeNode(name) { ($0.isOnline, $0.uptime, $0.returnsAt) = (isFirst, 0, back) }
        bringBackNodes()
    }

    /// Starts a node and its guests with `onboot`.
    mutating func switchOnNode(_ name: String) {
        changeNode(name) { ($0.isOnline, $0.returnsAt) = (true, nil) }
        for guest in sortedGuests where guest.node == name && guest.config["onboot"] == "1" && !guest.power.isOn {
            switchOn(guest.vmid)
        }
    }

    /// Starts the nodes whose reboot is over.
    mutating func bringBackNodes() {
        for node in nodes where node.returnsAt.map({ $0 <= now }) == true { switchOnNode(node.name) }
    }
}

private let kinds =
    "bridge|bond|eth|alias|vlan|fabric|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|any_bridge|any_local_bridge|include_sdn"

/// The network interfaces of a node: one card, and its bridges.
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
        // The configuration names at least one bridge, whether it is up or not.
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

private let one = "nodes/{node}/services/{service}"

/// The services of a node, and starting and stopping them.
let serviceEndpoints: [Endpoint] =
    [
        .get("nodes/{node}/services", needs: "/nodes/{node} Sys.Audit") { world, call in
            .rows(ParameterType.services.map { world.serviceRow($0, on: call.node) })
        },
        .get(one + "/state", needs: "/nodes/{node} Sys.Audit") { world, call in
            .data(world.serviceRow(call.text("service"), on: call.node))
        },
    ]
    + ["start", "stop", "restart", "reload"].map { verb in
        .post(one + "/\(verb)", needs: "/nodes/{node} Sys.Modify") { world, call in
            let service = call.text("service")
            return world.run(type: "srv\(verb)", id: service, call) { world, _ in
                if verb == "stop", ["pveproxy", "pvedaemon", "pve-cluster"].contains(service) {
                    throw Failure("invalid service cmd '\(service) \(verb)': refusing to stop essential service!")
                }
                world.changeNode(call.node) { node in
                    if verb == "stop" {
                        node.stoppedServices.insert(service)
                    } else {
                        node.stoppedServices.remove(service)
                    }
                }
            }
        }
    }

extension ClusterState {
    private func isRunning(_ service: String, on node: String) -> Bool {
        if service == "corosync", clusterName == nil { return false }
        return self.node(node)?.stoppedServices.contains(service) != true
    }

    fileprivate func serviceRow(_ service: String, on node: String) -> JSON {
        let isRunning = isRunning(service, on: node)
        return [
            "active-state": isRunning ? "active" : "inactive", "desc": .string("\(service) service"),
            "name": .string(service), "service": .string(service), "state": isRunning ? "running" : "dead",
            "unit-state": "enabled",
        ]
    }
}
