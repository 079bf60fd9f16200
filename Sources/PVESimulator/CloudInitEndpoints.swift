import StrictJSON

/// Options of which the cloud-init drive is made.
private let options = [
    "cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "nameserver", "searchdomain", "sshkeys",
]

let cloudInitEndpoints: [Endpoint] = [
    .get("nodes/{node}/qemu/{vmid}/cloudinit", needs: "/vms/{vmid} VM.Audit") { world, call in
        let guest = try world.guest(call)
        let rows: [JSON] = options.compactMap { key in
            let wanted = guest.config[key].map { Config.json($0, key: key, of: .vm) }
            guard let drive = guest.cloudInitDrive else { return wanted.map { ["key": .string(key), "value": $0] } }
            let current = drive[key].map { Config.json($0, key: key, of: .vm) }
            guard wanted != nil || current != nil else { return nil }
            let isPending = drive[key] != guest.config[key]
            return [
                "delete": isPending && wanted == nil ? .some(1) : .none, "key": .string(key),
                "pending": isPending ? wanted : nil, "value": current,
            ]
        }
        return .rows(rows)
    },
    .change("PUT", "nodes/{node}/qemu/{vmid}/cloudinit", needs: "/vms/{vmid} VM.Config.Cloudinit") { world, call in
        if let text = try world.guest(call).lockedText { throw Failure(text) }
        world.change(call.vmid) { guest in if guest.power.isOn { guest.writeCloudInitDrive() } }
    },
    .get("nodes/{node}/qemu/{vmid}/cloudinit/dump", "type!:enum(user|network|meta)", needs: "/vms/{vmid} VM.Audit") {
        world, call in
        let guest = try world.guest(call)
        guard call["type"] == "user" else { return .data("version: 1\nconfig: []\n") }
        var text = "#cloud-config\nhostname: \(guest.name)\nmanage_etc_hosts: true\n"
        if let user = guest.config["ciuser"] { text += "user: \(user)\n" }
        return .text(text + "chpasswd:\n  expire: False\nusers:\n  - default\npackage_upgrade: true\n")
    },
]

extension Guest {
    /// Makes the cloud-init drive anew, if there is one.
    mutating func writeCloudInitDrive() {
        let config = config
        guard config.sorted.contains(where: { $0.value.contains("cloudinit") && $0.value.contains("media=cdrom") })
        else { return }
        cloudInitDrive = options.reduce(into: [:]) { $0[$1] = config[$1] }
    }
}
