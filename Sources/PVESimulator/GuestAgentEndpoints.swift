import StrictJSON

private let commands = [
    "exec", "exec-status", "file-read", "file-write", "fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim",
    "get-fsinfo", "get-host-name", "get-memory-block-info", "get-memory-blocks", "get-osinfo", "get-time",
    "get-timezone", "get-users", "get-vcpus", "info", "network-get-interfaces", "ping", "set-user-password",
    "shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram",
]
private let needs = "/vms/{vmid} VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted"

/// The QEMU guest agent: enough to be asked whether it is there.
let guestAgentEndpoints: [Endpoint] = [
    .get("nodes/{node}/qemu/{vmid}/agent", needs: needs) { (_, _) throws(Failure) in .data(names(commands)) },
    .post("nodes/{node}/qemu/{vmid}/agent/ping", needs: needs) { (world, call) throws(Failure) in
        try world.checkAgent(call)
        return .data(["result": [:]])
    },
    .post("nodes/{node}/qemu/{vmid}/agent/exec", "command!:array input-data:str", needs: needs) {
        (world, call) throws(Failure) in
        try world.checkAgent(call)
        return .data(["pid": 4711])
    },
    .get("nodes/{node}/qemu/{vmid}/agent/exec-status", "pid!:int", needs: needs) { (world, call) throws(Failure) in
        try world.checkAgent(call)
        return .data(["exitcode": 0, "exited": 1, "out-data": ""])
    },
    .get("nodes/{node}/qemu/{vmid}/agent/network-get-interfaces", needs: needs) { (world, call) throws(Failure) in
        try world.checkAgent(call)
        return .data([
            "result": [
                [
                    "hardware-address": "bc:24:11:00:00:01", "name": "eth0",
                    "ip-addresses": [["ip-address": "192.0.2.50", "ip-address-type": "ipv4", "prefix": 24]],
                ]
            ]
        ])
    },
]

extension World {
    fileprivate func checkAgent(_ call: Call) throws(Failure) {
        let guest = try guest(call)
        let setting = guest.config["agent"].flatMap { PropertyList($0, leading: "enabled")["enabled"] }
        guard setting == "1" else { throw .plain("No QEMU guest agent configured") }
        guard guest.power.isOn else { throw .plain("VM \(call.vmid) is not running") }
        guard guest.answersShutdown else { throw .plain("QEMU guest agent is not running") }
    }
}
