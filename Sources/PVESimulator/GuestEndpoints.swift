import StrictJSON

let guestEndpoints: [Endpoint] =
    ["qemu", "lxc"].flatMap { word in
        lifecycleEndpoints("nodes/{node}/\(word)") + powerEndpoints("nodes/{node}/\(word)")
    } + [
        .post(
            "nodes/{node}/qemu/{vmid}/status/reset", "skiplock:bool", needs: "/vms/{vmid} VM.PowerMgmt"
        ) { (world, call) throws(Failure) in try world.reset(call) },
        .put("nodes/{node}/qemu/{vmid}/sendkey", "key!:str skiplock:bool", needs: "/vms/{vmid} VM.Console") {
            (world, call) throws(Failure) in
            guard try world.guest(call).power.isOn else { throw .plain("VM \(call.vmid) not running") }
            let isKnown = call.text("key").split(separator: "-").allSatisfy { $0.count <= 6 }
            guard isKnown else { throw Failure(status: 400, message: "Bad Request", body: .none) }
            return .null
        },
        .get("nodes/{node}/lxc/{vmid}/interfaces", needs: "/vms/{vmid} VM.Audit") { (world, call) throws(Failure) in
            guard try world.guest(call).power.isOn else { return .null }
            return .data([["hwaddr": "bc:24:11:00:00:01", "inet": "192.0.2.10/24", "name": "eth0"]])
        },
    ]

private let migrateParameters = """
    bwlimit:num(0..) force:bool migration_network:str migration_type:enum(secure|insecure) online:bool target!:node
    targetstorage:str target-storage:str with-conntrack-state:bool with-local-disks:bool restart:bool timeout:int
    """

private func lifecycleEndpoints(_ base: String) -> [Endpoint] {
    let guest = base + "/{vmid}"
    let isVM = base.hasSuffix("qemu")
    return [
        .get(base, isVM ? "full:bool" : "") { (world, call) throws(Failure) in .data(.array(world.list(call))) },
        .get(guest) { (world, call) throws(Failure) in
            _ = try world.guest(call)
            return .data(names(isVM ? vmIndex : containerIndex, key: "subdir"))
        },
        .delete(
            guest, "destroy-unreferenced-disks:bool force:bool purge:bool skiplock:bool",
            needs: "/vms/{vmid} VM.Allocate"
        ) { (world, call) throws(Failure) in try world.destroy(call) },
        .post(
            guest + "/clone",
            """
            bwlimit:num(0..) description:str format:enum(raw|qcow2|vmdk) full:bool \(isVM ? "name" : "hostname"):dns
            newid!:vmid pool:str snapname:configid(..40) storage:storage-id target:node
            """, needs: "/vms/{vmid} VM.Clone"
        ) { (world, call) throws(Failure) in try world.clone(call) },
        .get(guest + "/migrate", "target:node", needs: "/vms/{vmid} VM.Migrate") { (world, call) throws(Failure) in
            .data(world.migrationPreconditions(try world.guest(call)))
        },
        .post(guest + "/migrate", migrateParameters, needs: "/vms/{vmid} VM.Migrate") { (world, call) throws(Failure) in
            try world.migrate(call)
        },
        .post(guest + "/template", isVM ? "disk:disk" : "", needs: "/vms/{vmid} VM.Allocate") {
            (world, call) throws(Failure) in try world.makeTemplate(call)
        },
        .get(
            guest + "/feature", "feature!:enum(snapshot|clone|copy) snapname:configid(..40)",
            needs: "/vms/{vmid} VM.Audit"
        ) { (world, call) throws(Failure) in
            let guest = try world.guest(call)
            let has: JSON = world.has(call.text("feature"), guest) ? 1 : 0
            return .data(isVM ? ["hasFeature": has, "nodes": JSON(world.nodes.map(\.name))] : ["hasFeature": has])
        },
    ]
}

private func powerEndpoints(_ base: String) -> [Endpoint] {
    let guest = base + "/{vmid}"
    let isVM = base.hasSuffix("qemu")
    let power = "/vms/{vmid} VM.PowerMgmt"
    return [
        .get(guest + "/status") { (_, _) throws(Failure) in
            let always = ["current", "start", "stop", "shutdown", "reboot"]
            return .data(names(isVM ? always + ["suspend", "resume", "reset"] : always + ["migrate"], key: "subdir"))
        },
        .get(guest + "/status/current", needs: "/vms/{vmid} VM.Audit") { (world, call) throws(Failure) in
            .data(.object(world.current(try world.guest(call))))
        },
        .post(
            guest + "/status/start",
            """
            force-cpu:str machine:str migratedfrom:node migration_network:str migration_type:str skiplock:bool
            stateuri:str targetstorage:str timeout:int(0..) with-conntrack-state:bool debug:bool
            """, needs: power
        ) { (world, call) throws(Failure) in try world.powerOn(call) },
        .post(
            guest + "/status/stop",
            "keepActive:bool migratedfrom:node overrule-shutdown:bool skiplock:bool timeout:int(0..)", needs: power
        ) { (world, call) throws(Failure) in try world.powerOff(call) },
        .post(
            guest + "/status/shutdown", "forceStop:bool keepActive:bool skiplock:bool timeout:int(0..)", needs: power
        ) { (world, call) throws(Failure) in try world.shutdown(call) },
        .post(guest + "/status/reboot", "timeout:int(0..)", needs: power) { (world, call) throws(Failure) in
            try world.reboot(call)
        },
        .post(guest + "/status/suspend", "skiplock:bool statestorage:str todisk:bool", needs: power) {
            (world, call) throws(Failure) in try world.pause(call)
        },
        .post(guest + "/status/resume", "nocheck:bool skiplock:bool", needs: power) { (world, call) throws(Failure) in
            try world.resume(call)
        },
    ]
}

private let vmIndex = [
    "config", "cloudinit", "pending", "status", "unlink", "vncproxy", "termproxy", "migrate", "resize", "move", "rrd",
    "rrddata", "monitor", "agent", "snapshot", "spiceproxy", "sendkey", "firewall", "mtunnel", "remote_migrate",
]
private let containerIndex = [
    "config", "pending", "status", "vncproxy", "termproxy", "vncwebsocket", "spiceproxy", "migrate", "clone", "rrd",
    "rrddata", "firewall", "snapshot", "resize", "interfaces",
]

extension World {
    fileprivate func list(_ call: Call) -> [JSON] {
        sortedGuests.lazy
            .filter {
                $0.node == call.node && $0.kind == call.kind && call.caller.may("VM.Audit", on: "/vms/\($0.vmid)")
            }
            .map { .object(self.status($0, full: call.flag("full"))) }
    }

    fileprivate func current(_ guest: Guest) -> JSONObject {
        var row = status(guest, full: true)
        let managed: JSONObject = ["managed": guest.haState == nil ? 0 : 1]
        var ha = managed
        if let resource = haResources[guest.haID] { ha["state"] = resource.crmState.map { .string($0) } ?? .null }
        row["ha"] = .object(ha)
        if guest.kind == .vm, let agent = guest.config["agent"],
            PropertyList(agent, leading: "enabled")["enabled"] == "1"
        {
            row["agent"] = 1
        }
        return row
    }

    /// Whether all disks of `guest` can do `feature`.
    func has(_ feature: String, _ guest: Guest) -> Bool {
        let disks = guest.disks.map(\.disk)
        return switch feature {
        case "snapshot":
            disks.allSatisfy { disk in storage(disk.storage)?.takesSnapshots(of: disk) ?? false }
        case "clone": guest.isTemplate
        default: true
        }
    }
}

extension Guest {
    var haID: String { "\(kind == .vm ? "vm" : "ct"):\(vmid)" }

    /// The disks and mount points it uses, by key.
    var disks: [(key: String, disk: Disk)] {
        config.sorted.compactMap { key, value in
            guard Disk.isKey(key, of: kind), let disk = Disk(value), !disk.isCDROM else { return nil }
            return (key, disk)
        }
    }
}
