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
        guard let index = world.nodes.firstIndex(where: { $0.name == call.node }) else { return }
        try call.checkDigest(world.nodes[index].optionsDigest)
        for key in Format.list(call.text("delete")) { world.nodes[index].options[key] = nil }
        for (key, value) in call.values where !["delete", "digest", "node"].contains(key) {
            world.nodes[index].options[key] = key == "description" ? value + "\n" : value
        }
    },
    .get("nodes/{node}/dns", needs: "/nodes/{node} Sys.Audit") { _, _ in .data(["dns1": "198.51.100.53"]) },
]

extension Node {
    /// `nil` while there is no configuration file.
    fileprivate var optionsDigest: String? {
        guard !options.isEmpty else { return nil }
        return Digest.sha1(options.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }.joined())
    }
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
