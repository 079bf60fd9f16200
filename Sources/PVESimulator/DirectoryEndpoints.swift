import StrictJSON

/// The directory listings of the API. Each line has the path, the key of the names, and the names.
private let directories = """
    / subdir version cluster nodes storage access pools
    access subdir users groups roles acl domains openid tfa ticket password
    cluster name acme backup backup-info bulk-action ceph config firewall ha jobs log mapping metrics notifications \
        nextid options qemu replication resources status tasks sdn
    cluster/backup-info subdir not-backed-up
    cluster/bulk-action name guest
    cluster/bulk-action/guest name start shutdown migrate suspend
    cluster/config name nodes totem join qdevice apiversion
    cluster/firewall name aliases rules options groups ipset macros refs
    cluster/ha id status resources groups rules
    cluster/ha/status name current manager_status
    cluster/jobs subdir schedule-analyze realm-sync
    nodes/{node} name aplinfo apt capabilities ceph certificates config disks dns firewall hardware hosts journal \
        lxc migrateall netstat network qemu query-oci-repo-tags query-url-metadata replication report rrd rrddata \
        scan sdn services spiceshell startall status stopall storage subscription suspendall syslog tasks termproxy \
        time version vncshell vzdump wakeonlan
    nodes/{node}/firewall name rules options log
    nodes/{node}/lxc/{vmid} subdir config pending status vncproxy termproxy vncwebsocket spiceproxy migrate clone \
        rrd rrddata firewall snapshot resize interfaces
    nodes/{node}/lxc/{vmid}/firewall name rules aliases ipset refs options
    nodes/{node}/lxc/{vmid}/snapshot/{snapname} cmd rollback config
    nodes/{node}/lxc/{vmid}/status subdir current start stop shutdown reboot migrate
    nodes/{node}/qemu/{vmid} subdir config cloudinit pending status unlink vncproxy termproxy migrate resize move \
        rrd rrddata monitor agent snapshot spiceproxy sendkey firewall mtunnel remote_migrate
    nodes/{node}/qemu/{vmid}/agent name exec exec-status file-read file-write fsfreeze-freeze fsfreeze-status \
        fsfreeze-thaw fstrim get-fsinfo get-host-name get-memory-block-info get-memory-blocks get-osinfo get-time \
        get-timezone get-users get-vcpus info network-get-interfaces ping set-user-password shutdown suspend-disk \
        suspend-hybrid suspend-ram
    nodes/{node}/qemu/{vmid}/firewall name rules aliases ipset refs options
    nodes/{node}/qemu/{vmid}/snapshot/{snapname} cmd rollback config
    nodes/{node}/qemu/{vmid}/status subdir current start stop shutdown reboot suspend resume reset
    nodes/{node}/services/{service} subdir state start stop restart reload
    nodes/{node}/storage/{storage} subdir content download-url file-restore import-metadata prunebackups rrd \
        rrddata status upload
    nodes/{node}/tasks/{upid} name log status
    """

/// The privileges for reading some of them.
private let directoryNeeds = [
    "cluster/config": "/ Sys.Audit", "cluster/ha": "/ Sys.Audit",
    "nodes/{node}/qemu/{vmid}/agent": "/vms/{vmid} VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted",
    "nodes/{node}/services/{service}": "/nodes/{node} Sys.Audit",
    "nodes/{node}/storage/{storage}": "/storage/{storage} Datastore.Audit|Datastore.AllocateSpace",
]

let directoryEndpoints: [Endpoint] = directories.split(separator: "\n").map { line in
    let words = line.split(separator: " ").map { String($0) }
    let path = words[0] == "/" ? "" : words[0]
    let rows: [JSON] = words.dropFirst(2).map { .object([words[1]: .string($0)]) }
    return .get(path, needs: directoryNeeds[path] ?? "") { world, call in
        if path.hasSuffix("{vmid}") { _ = try world.guest(call) }
        return .rows(rows)
    }
}

private let noCeph: Endpoint.Handler = { _, _ in throw Failure("binary not installed: /usr/bin/ceph-mon") }
private let cephNeeds = "/ Sys.Audit|Datastore.Audit"

/// A node's answers about features that it does not have, and about those that its emulator provides.
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
