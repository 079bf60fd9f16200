import StrictJSON

private let noCeph: Endpoint.Handler = { _, _ in throw Failure("binary not installed: /usr/bin/ceph-mon") }
private let cephNeeds = "/ Sys.Audit|Datastore.Audit"

/// What a node says of things that it does not have, and of those that it has from its emulator.
let absentEndpoints: [Endpoint] = [
    .get("nodes/{node}/ceph/status", needs: cephNeeds, noCeph), .get("nodes/{node}/ceph/osd", needs: cephNeeds, noCeph),
    .get("cluster/ceph/status", needs: cephNeeds, noCeph),
    .get("cluster/config/join", "node:node", needs: "/ Sys.Audit") { world, _ in
        guard world.clusterName != nil else {
            throw Failure(status: 424, message: "node is not in a cluster, no join info available!")
        }
        let rows: [JSON] = world.nodes.map { ["name": .string($0.name), "nodeid": .string(String($0.number))] }
        return .data(["nodelist": .array(rows), "preferred_node": .string(world.nodes.first?.name ?? "")])
    },
    .get("nodes/{node}/capabilities/qemu/cpu", "arch:enum(x86_64|aarch64)") { _, _ in
        let models = [("EPYC", "AuthenticAMD"), ("Skylake-Server", "GenuineIntel"), ("x86-64-v2-AES", "default")]
        return .rows(models.map { ["custom": 0, "name": .string($0.0), "vendor": .string($0.1)] })
    },
    .get("nodes/{node}/capabilities/qemu/cpu-flags", "arch:enum(x86_64|aarch64)") { _, _ in
        .data([["description": "Nested virtualization.", "name": "nested-virt", "supported-on": []]])
    },
    .post("nodes/{node}/qemu/{vmid}/monitor", "command!:str", needs: "/vms/{vmid} Sys.Audit|Sys.Modify") {
        world, call in
        let guest = try world.guest(call)
        guard guest.power.isOn else { throw Failure("VM \(call.vmid) not running") }
        return .text("VM status: \(guest.qmpStatus)\r\n")
    },
]
