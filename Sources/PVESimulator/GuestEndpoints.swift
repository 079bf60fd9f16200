import StrictJSON

let guestEndpoints: [Endpoint] =
    ["qemu", "lxc"].flatMap { word in
        lifecycleEndpoints("nodes/{node}/\(word)") + powerEndpoints("nodes/{node}/\(word)")
    } + [
        .post("nodes/{node}/qemu/{vmid}/status/reset", "skiplock:bool", needs: "/vms/{vmid} VM.PowerMgmt") {
            world, call in try world.reset(call)
        },
        .change("PUT", "nodes/{node}/qemu/{vmid}/sendkey", "key!:str skiplock:bool", needs: "/vms/{vmid} VM.Console") {
            world, call in
            guard try world.guest(call).power.isOn else { throw Failure("VM \(call.vmid) not running") }
            let isKnown = call.text("key").split(separator: "-").allSatisfy { $0.count <= 6 }
            guard isKnown else { throw Failure(status: 400, message: "Bad Request", body: .none) }
        },
        .get("nodes/{node}/lxc/{vmid}/interfaces", needs: "/vms/{vmid} VM.Audit") { world, call in
            let guest = try world.guest(call)
            guard guest.power.isOn else { return .null }
            return .rows(guest.containerInterfaces)
        },
    ]

private let vmMigration = """
    bwlimit:int(0..) force:bool migration_network:cidr migration_type:enum(secure|insecure) online:bool target!:node
    targetstorage:storage-pair-list with-conntrack-state:bool with-local-disks:bool
    """
private let containerMigration = """
    bwlimit:num(0..) online:bool restart:bool target!:node target-storage:storage-pair-list timeout:int
    """
private let vmStart = """
    force-cpu:str machine:machine migratedfrom:node migration_network:cidr migration_type:enum(secure|insecure)
    nets-host-mtu:str skiplock:bool stateuri:str(..128) targetstorage:storage-pair-list timeout:int(0..)
    with-conntrack-state:bool
    """

private func lifecycleEndpoints(_ base: String) -> [Endpoint] {
    let guest = base + "/{vmid}"
    let isVM = base.hasSuffix("qemu")
    return [
        .get(base, isVM ? "full:bool" : "") { world, call in .rows(world.list(call)) },
        .delete(
            guest, "destroy-unreferenced-disks:bool purge:bool " + (isVM ? "skiplock:bool" : "force:bool"),
            needs: "/vms/{vmid} VM.Allocate"
        ) { world, call in try world.destroy(call) },
        .post(
            guest + "/clone",
            "description:str full:bool newid!:vmid pool:poolid snapname:configid(..40) storage:storage-id target:node "
                + (isVM ? "bwlimit:int(0..) format:enum(raw|qcow2|vmdk) name:dns" : "bwlimit:num(0..) hostname:dns"),
            needs: "/vms/{vmid} VM.Clone"
        ) { world, call in try world.clone(call) },
        .get(guest + "/migrate", "target:node", needs: "/vms/{vmid} VM.Migrate") { world, call in
            .data(try world.migrationPreconditions(call))
        },
        .post(guest + "/migrate", isVM ? vmMigration : containerMigration, needs: "/vms/{vmid} VM.Migrate") {
            world, call in try world.migrate(call)
        },
        .post(guest + "/template", isVM ? "disk:disk" : "", needs: "/vms/{vmid} VM.Allocate") { world, call in
            try world.makeTemplate(call)
        },
        .get(
            guest + "/feature", "feature!:enum(snapshot|clone|copy) snapname:configid(..40)",
            needs: "/vms/{vmid} VM.Audit"
        ) { world, call in
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
        .get(guest + "/status/current", needs: "/vms/{vmid} VM.Audit") { world, call in
            .object(world.current(try world.guest(call)))
        },
        .post(guest + "/status/start", isVM ? vmStart : "debug:bool skiplock:bool", needs: power) { world, call in
            try world.powerOn(call)
        },
        .post(
            guest + "/status/stop",
            "overrule-shutdown:bool skiplock:bool"
                + (isVM ? " keepActive:bool migratedfrom:node timeout:int(0..)" : ""), needs: power
        ) { world, call in try world.powerOff(call) },
        .post(
            guest + "/status/shutdown",
            "forceStop:bool timeout:int(0..)" + (isVM ? " keepActive:bool skiplock:bool" : ""), needs: power
        ) { world, call in try world.shutdown(call) },
        .post(guest + "/status/reboot", "timeout:int(0..)", needs: power) { world, call in try world.reboot(call) },
        .post(
            guest + "/status/suspend", isVM ? "skiplock:bool statestorage:storage-id^todisk todisk:bool" : "",
            needs: power
        ) { world, call in try world.pause(call) },
        .post(guest + "/status/resume", isVM ? "nocheck:bool skiplock:bool" : "", needs: power) { world, call in
            try world.resume(call)
        },
    ]
}

extension ClusterState {
    fileprivate func list(_ call: EndpointCall) -> [JSON] {
        sortedGuests.lazy.filter {
            $0.node == call.node && $0.kind == call.kind && call.caller.may("VM.Audit", on: "/vms/\($0.vmid)")
        }.map { .object(self.status($0, full: call.flag("full"))) }
    }

    fileprivate func current(_ guest: Guest) -> JSONObject {
        var row = status(guest, full: true)
        var ha: JSONObject = ["managed": isManaged(guest) ? 1 : 0]
        if isManaged(guest) { ha["state"] = haResources[guest.haID]?.crmState.map { .string($0) } ?? .null }
        row["ha"] = .object(ha)
        if guest.kind == .vm, let agent = guest.config["agent"],
            PropertyList(agent, leading: "enabled")["enabled"] == "1"
        {
            row["agent"] = 1
        }
        return row
    }

    /// Whether all disks of `guest` support `feature`.
    func has(_ feature: String, _ guest: Guest) -> Bool {
        let disks = guest.disks.map(\.disk)
        return switch feature {
        case "snapshot": disks.allSatisfy { disk in storage(disk.storage)?.takesSnapshots(of: disk) ?? false }
        case "clone": guest.isTemplate
        default: true
        }
    }
}

extension Guest {
    var haID: String { "\(kind == .vm ? "vm" : "ct"):\(vmid)" }

    /// The volumes that it uses, by key, including the images in its drives.
    var volumes: [(key: String, disk: Disk)] {
        config.sorted.compactMap { key, value in
            guard Disk.isKey(key, of: kind), let disk = Disk(value) else { return nil }
            return (key, disk)
        }
    }

    /// The disks and mount points it uses, by key.
    var disks: [(key: String, disk: Disk)] { volumes.filter { !$0.disk.isCDROM } }
}
