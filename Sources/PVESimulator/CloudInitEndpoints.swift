import StrictJSON

/// Options of which the cloud-init drive is made.
private let options = [
    "cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "nameserver", "searchdomain", "sshkeys",
]

let cloudInitEndpoints: [Endpoint] = [
    .get("nodes/{node}/qemu/{vmid}/cloudinit", needs: "/vms/{vmid} VM.Audit") { (world, call) throws(Failure) in
        let guest = try world.guest(call)
        let rows: [JSON] = options.compactMap { key in
            guest.config[key].map { ["key": .string(key), "value": Config.json($0, key: key, of: .vm)] }
        }
        return .data(.array(rows))
    },
    .put("nodes/{node}/qemu/{vmid}/cloudinit", needs: "/vms/{vmid} VM.Config.Cloudinit") {
        (world, call) throws(Failure) in
        if let text = try world.guest(call).lockedText { throw .plain(text) }
        return .null
    },
    .get(
        "nodes/{node}/qemu/{vmid}/cloudinit/dump", "type!:enum(user|network|meta)", needs: "/vms/{vmid} VM.Audit"
    ) { (world, call) throws(Failure) in
        let guest = try world.guest(call)
        guard call["type"] == "user" else { return .data("version: 1\nconfig: []\n") }
        var text = "#cloud-config\nhostname: \(guest.name)\nmanage_etc_hosts: true\n"
        if let user = guest.config["ciuser"] { text += "user: \(user)\n" }
        return .data(.string(text + "chpasswd:\n  expire: False\nusers:\n  - default\npackage_upgrade: true\n"))
    },
]
