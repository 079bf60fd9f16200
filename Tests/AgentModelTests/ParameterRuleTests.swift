import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

/// Parameters that are well-formed one by one and make no sense together.
struct ParameterRuleTests {
    /// Action, target, parameters, and where the first issue points.
    @Test(
        arguments: [
            ("configure_vm", "vm/101", [:], "/params/description"),
            ("configure_vm", "vm/101", ["net0": "virtio", "delete": ["net0"]], "/params/net0"),
            ("configure_vm", "vm/101", ["memory": 512, "delete": ["cores", "memory"]], "/params/memory"),
            ("configure_vm", "vm/101", ["memory": 512, "force": true], "/params/force"),
            ("configure_vm", "vm/101", ["name": "a;b"], "/params/name"),
            ("configure_vm", "vm/101", ["name": "a=b"], "/params/name"),
            ("configure_vm", "vm/101", ["digest": "abc"], "/params/digest"),
            ("configure_vm", "vm/101", ["net32": "virtio"], "/params/net32"),
            ("configure_vm", "vm/101", ["net0": "virtio\n"], "/params/net0"),
            ("configure_vm", "vm/101", ["delete": ["a;b"]], "/params/delete/0"),
            ("configure_vm", "vm/101", ["delete": ["net0", "net0"]], "/params/delete"),
            ("configure_container", "lxc/200", ["rootfs": "a:8", "delete": ["rootfs"]], "/params/rootfs"),
            ("tag_vm", "vm/101", [:], "/params/add"),
            ("tag_vm", "vm/101", ["add": ["a"], "remove": ["a"]], "/params/remove"),
            ("tag_vm", "vm/101", ["add": ["a;b"]], "/params/add/0"), ("tag_vm", "vm/101", ["add": []], "/params/add"),
            ("resize_disk", "vm/101", ["disk": "rootfs", "size": "1G"], "/params/disk"),
            ("resize_disk", "lxc/200", ["disk": "scsi0", "size": "1G"], "/params/disk"),
            ("resize_disk", "vm/101", ["disk": "scsi31", "size": "1G"], "/params/disk"),
            ("resize_disk", "vm/101", ["disk": "scsi0", "size": "-1G"], "/params/size"),
            ("move_disk", "lxc/200", ["disk": "rootfs", "storage": "nas", "format": "raw"], "/params/format"),
            ("attach_disk", "vm/101", ["disk": "scsi5"], "/params/storage"),
            ("attach_disk", "vm/101", ["disk": "scsi5", "volume": "nas:x-1", "size": 8], "/params/size"),
            ("attach_disk", "lxc/200", ["disk": "mp0", "storage": "nas", "size": 8], "/params/path"),
            ("attach_disk", "vm/101", ["disk": "scsi5", "volume": "nas:../x"], "/params/volume"),
            ("detach_disk", "lxc/200", ["disk": "mp0", "destroy": true], "/params/destroy"),
            ("suspend_vm", "vm/101", ["statestorage": "nas"], "/params/statestorage"),
            ("create_vm", "vm/101", [:], "/params/node"),
            ("create_vm", "vm/101", ["node": "pve1", "digest": "x"], "/params/digest"),
            ("clone_container", "lxc/200", ["newid": 900, "format": "raw"], "/params/format"),
            ("backup_job_edit", "cluster", ["op": "add", "id": "nightly"], "/params/schedule"),
            ("backup_job_edit", "cluster", ["op": "change", "id": "nightly"], "/params/op"),
            ("backup_job_edit", "cluster", ["op": "remove", "id": "nightly", "all": true], "/params/all"),
            (
                "backup_job_edit", "cluster", ["op": "change", "id": "nightly", "all": true, "vmid": [100]],
                "/params/vmid"
            ),
            ("delete_volume", "storage/nas", ["volume": "local:iso/a.iso"], "/params/volume"),
            ("storage_edit", "storage/nas", [:], "/params/endpoint"),
            ("storage_edit", "storage/nas", ["op": "add"], "/params/type"),
            ("storage_edit", "storage/nas", ["op": "change"], "/params/op"),
            ("storage_edit", "storage/nas", ["op": "change", "path": "/x", "disable": true], "/params/path"),
            (
                "storage_edit", "storage/nas", ["op": "remove", "endpoint": "/storage/nas", "method": "PUT"],
                "/params/endpoint"
            ),
            (
                "storage_edit", "storage/nas", ["op": "change", "content": "iso", "delete": ["content"]],
                "/params/content"
            ),
            ("firewall_edit", "firewall/cluster", ["op": "add"], "/params/object"),
            ("firewall_edit", "firewall/cluster", ["op": "add", "object": "rule"], "/params/type"),
            ("firewall_edit", "firewall/cluster", ["op": "change", "object": "rule", "enable": 1], "/params/pos"),
            ("firewall_edit", "firewall/cluster", ["op": "remove", "object": "options"], "/params/op"),
            (
                "firewall_edit", "firewall/node/pve1", ["op": "add", "object": "ipset", "name": "home"],
                "/params/object"
            ),
            ("firewall_edit", "firewall/vm/101", ["op": "add", "object": "group", "group": "web"], "/params/object"),
            (
                "firewall_edit", "firewall/vm/101", ["op": "change", "object": "options", "ebtables": true],
                "/params/ebtables"
            ),
            (
                "firewall_edit", "firewall/cluster",
                ["op": "add", "object": "alias", "name": "home", "cidr": "office"], "/params/cidr"
            ),
            (
                "firewall_edit", "firewall/cluster",
                ["op": "add", "object": "alias", "name": "home", "cidr": "300.0.0.1"], "/params/cidr"
            ),
            ("pool_edit", "pool/prod", ["op": "join"], "/params/vms"),
            ("pool_edit", "pool/prod", ["op": "add", "vms": [101]], "/params/vms"),
            ("ha_edit", "vm/101", ["op": "add", "rule": "apart"], "/params/rule"),
            ("ha_edit", "cluster", ["op": "add"], "/params/rule"),
            ("ha_edit", "vm/101", ["op": "change"], "/params/op"),
            ("replication_edit", "vm/101", ["op": "add", "job": 0], "/params/target"),
            ("replication_edit", "vm/101", ["op": "change", "job": 0, "target": "pve2"], "/params/target"),
            ("bulk_start", "cluster", [:], "/params/vms"),
            ("bulk_migrate", "node/pve1", ["target": "pve2", "online": true], "/params/online"),
            ("agent_exec", "vm/101", ["command": ["uptime", "a\nb"]], "/params/command/1"),
            ("agent_exec", "vm/101", ["command": "uptime"], "/params/command"),
            ("read_metrics", "node/pve1", ["timeframe": "decade"], "/params/timeframe"),
        ] as [(String, String, JSONObject, String)])
    func `is refused with a pointer to what does not fit`(
        action: String, target: String, params: JSONObject, pointer: String
    ) throws {
        let action = try #require(Action(rawValue: action))
        #expect {
            try ActionRequest.sample(action, target, .object(params))
        } throws: {
            guard case .invalid(let issues) = $0 as? RequestError else { return false }
            let pointers = issues.issues.map(\.path.pointer)
            if !pointers.contains(pointer) { Issue.record("\(pointers)") }
            return pointers.contains(pointer)
        }
    }

    @Test func `a checksum has as many digits as its algorithm says`() throws {
        let action = try #require(Action(rawValue: "download_to_storage"))
        var params = MinimalRequest.params(of: action)
        params["checksum-algorithm"] = "sha512"
        #expect(throws: RequestError.self) { try ActionRequest.sample(action, "storage/nas", .object(params)) }
    }

    @Test(
        arguments: [
            (
                "net0", "virtio=bc:24:11:4a:0f:a2,bridge=vmbr0",
                ["model": "virtio", "mac": "BC:24:11:4A:0F:A2", "bridge": "vmbr0"]
            ),
            ("net31", "e1000,bridge=vmbr0", ["model": "e1000", "bridge": "vmbr0"]),
            (
                "net0", "name=eth0,hwaddr=bc:24:11:4a:0f:a2,ip=dhcp",
                ["name": "eth0", "mac": "BC:24:11:4A:0F:A2", "ip": "dhcp"]
            ),
            ("scsi0", "local-lvm:vm-101-disk-0,size=32G", ["volume": "local-lvm:vm-101-disk-0", "size": "32G"]),
            ("ide2", "file=none,media=cdrom", ["volume": "none", "media": "cdrom"]),
            ("mp0", "nas:8,mp=/srv", ["volume": "nas:8", "mp": "/srv"]),
            ("agent", "1,fstrim_cloned_disks=1", ["enabled": "1", "fstrim_cloned_disks": "1"]),
            ("cpu", "host,flags=+aes", ["cputype": "host", "flags": "+aes"]), ("smbios1", "uuid=a=b", ["uuid": "a=b"]),
        ] as [(String, String, JSONObject)])
    func `PVE's settings are taken apart`(key: String, text: String, settings: JSONObject) {
        #expect(PropertyString.settings(key, text) == settings)
    }

    @Test(arguments: ["name", "memory", "description", "net", "netx", "scsihw", "tags"])
    func `other values are whole`(key: String) { #expect(PropertyString.settings(key, "a=1,b") == nil) }
}
