import StrictJSON

let clusterEndpoints: [Endpoint] = [
    .get("version") { _, _ in .data(["release": "9.2", "repoid": "14a22df3", "simulator": true, "version": "9.2.6"]) },
    .get("cluster/resources", "type:enum(vm|storage|node|sdn)") { world, call in world.resources(call) },
    .get("cluster/status", needs: "/ Sys.Audit") { world, _ in .data(world.clusterStatus) },
    .get("cluster/nextid", "vmid:vmid") { world, call in
        guard let wanted = call.int("vmid") else {
            let free = (100...).first { world.guests[$0] == nil } ?? 100
            return .text(String(free))
        }
        guard world.guests[wanted] == nil else { throw Failure.parameters(["vmid": "VM \(wanted) already exists"]) }
        return .text(String(wanted))
    },
    .get("cluster/options") { world, call in
        let tags = Set(
            world.guests.values.flatMap { guest in
                call.caller.may("VM.Audit", on: "/vms/\(guest.vmid)") ? Format.list(guest.tags) : []
            })
        var options: JSONObject = ["allowed-tags": JSON(tags.sorted())]
        guard call.caller.may("Sys.Audit", on: "/") else { return .object(options) }
        options["mac_prefix"] = "BC:24:11"
        options["description"] = ""
        for (key, value) in world.options.sorted(by: { $0.key < $1.key }) {
            options[key] = key == "tag-style" ? tagStyle(value) : .string(value)
        }
        return .object(options)
    },
    .change(
        "PUT", "cluster/options",
        """
        bwlimit:bwlimits consent-text:str(..65536) console:enum(applet|vv|html5|xtermjs) crs:crs delete:configid-list
        description:str(..65536) email_from:str fencing:enum(watchdog|hardware|both) ha:ha http_proxy:str
        keyboard:enum(\(GuestOptions.keyboards)) language:enum(\(languages)) mac_prefix:str max_workers:int(1..)
        migration:migration migration_unsecure:bool next-id:next-id notify:notify registered-tags:str
        replication:replication tag-style:tag-style u2f:u2f user-tag-access:user-tag-access webauthn:webauthn
        """, needs: "/ Sys.Modify"
    ) { world, call in world.options.take(call) },
    .get("cluster/log", "max:int(1..)") { world, call in .rows(world.logRows(call)) },
    .get("cluster/config/nodes", needs: "/ Sys.Audit") { world, _ in
        guard world.clusterName != nil else { return .data([]) }
        return .rows(
            world.nodes.map { node in
                [
                    "name": .string(node.name), "node": .string(node.name), "nodeid": .string(String(node.number)),
                    "quorum_votes": "1", "ring0_addr": .string(node.address),
                ]
            })
    },
    .get("cluster/config/qdevice", needs: "/ Sys.Audit") { world, _ in
        .data(world.hasQDevice ? ["Model": "Net", "State": "Connected"] : [:])
    },
    .get("cluster/metrics/server", needs: "/ Sys.Audit") { _, _ in .data([]) },
    .get("cluster/mapping/pci", "check-node:node") { _, _ in .data([]) },
]

private let languages = "ar|ca|da|de|en|es|eu|fa|fr|hr|he|it|ja|ka|kr|nb|nl|nn|pl|pt_BR|ru|sl|sv|tr|ukr|zh_CN|zh_TW"

/// As the options show it: taken apart.
private func tagStyle(_ text: String) -> JSON {
    .object(
        PropertyList(text, leading: "").items.reduce(into: JSONObject()) { all, item in
            all[item.key] = item.key == "case-sensitive" ? JSON(Int(item.value) ?? 1) : .string(item.value)
        })
}

extension ClusterState {
    /// The cluster's log: who started which task.
    fileprivate func logRows(_ call: EndpointCall) -> [JSON] {
        let seesAll = call.caller.may("Sys.Syslog", on: "/")
        let entries = tasks.order.suffix(1000).compactMap { tasks.all[$0] }.enumerated().reversed().filter {
            seesAll || $0.element.identity == call.caller.identity
        }
        return entries.prefix(call.int("max") ?? 50).map { number, task in
            [
                "id": .string("\(number + 1):\(task.node)"), "msg": .string("starting task \(task.upid)"),
                "node": .string(task.node), "pid": JSON(126), "pri": 6, "tag": "pvedaemon", "time": JSON(task.start),
                "uid": .string(String(number + 1)), "user": .string(task.identity),
            ]
        }
    }

    fileprivate mutating func resources(_ call: EndpointCall) -> Reply {
        let type = call["type"]
        if type == "vm", call.caller.grants == nil { return .bytes(guestRowBytes()) }
        var rows: [JSON] = []
        if type == nil { rows += poolRows(for: call.caller) }
        if type == nil || type == "vm" {
            rows += sortedGuests.lazy.filter { call.caller.may("VM.Audit", on: "/vms/\($0.vmid)") }.map {
                .object(self.resource($0))
            }
        }
        if type == nil || type == "node" {
            rows += nodes.map { node in
                var row = nodeRow(node, for: call.caller)
                row["cgroup-mode"] = 2
                return .object(row)
            }
        }
        if type == nil || type == "storage" { rows += storageRows(for: call.caller) }
        if type == nil {
            rows += nodes.compactMap { node in
                guard call.caller.may("SDN.Audit", on: "/sdn/zones/localnetwork") else { return nil }
                return [
                    "id": "network/\(node.name)/zone/localnetwork", "network": "localnetwork", "network-type": "zone",
                    "node": .string(node.name), "status": "ok", "type": "network",
                ]
            }
        }
        return .rows(rows)
    }

    private func poolRows(for caller: Caller) -> [JSON] {
        pools.keys.sorted().filter { caller.may("Pool.Audit", on: "/pool/\($0)") }.map {
            ["id": "/pool/\($0)", "pool": .string($0), "type": "pool"]
        }
    }

    private func storageRows(for caller: Caller) -> [JSON] {
        nodes.flatMap { node in
            storages.filter { $0.isOn(node.name) && $0.isVisible(to: caller) }.map { .object(storageRow($0, on: node)) }
        }
    }

    /// A storage as `/cluster/resources` lists it.
    func storageRow(_ storage: StorageDefinition, on node: Node) -> JSONObject {
        [
            "content": .string(storage.contentText), "disk": JSON(storage.used),
            "id": .string("storage/\(node.name)/\(storage.id)"), "maxdisk": JSON(storage.size),
            "node": .string(node.name), "plugintype": .string(storage.type), "shared": storage.isShared ? 1 : 0,
            "status": .string(storage.isActive && node.isOnline ? "available" : "unknown"),
            "storage": .string(storage.id), "type": "storage",
        ]
    }

    fileprivate var clusterStatus: JSON {
        var rows: [JSON] = []
        if let clusterName {
            rows.append([
                "id": "cluster", "name": .string(clusterName), "nodes": JSON(nodes.count), "quorate": isQuorate ? 1 : 0,
                "type": "cluster", "version": JSON(nodes.count + 2),
            ])
        }
        rows += nodes.enumerated().map { index, node in
            [
                "id": .string("node/\(node.name)"), "ip": .string(node.address), "level": "",
                "local": index == 0 ? 1 : 0, "name": .string(node.name), "nodeid": JSON(node.number),
                "online": node.isOnline ? 1 : 0, "type": "node",
            ]
        }
        return .array(rows)
    }
}
