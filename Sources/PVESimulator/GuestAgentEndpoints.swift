import StrictJSON

private let audit = "Audit|VM.GuestAgent.Unrestricted"
private let files = "FileSystemMgmt|VM.GuestAgent.Unrestricted"

/// The QEMU guest agent of a system in which every command succeeds without output.
let guestAgentEndpoints: [Endpoint] =
    simple.map { method, command, needs, answer in agent(method, command, needs) { _, _ in ["result": answer] } } + [
        agent("POST", "shutdown", "Unrestricted", needs: "/vms/{vmid} VM.PowerMgmt|VM.GuestAgent.Unrestricted") {
            world, call in
            world.switchOff(call.vmid)
            return ["result": [:]]
        }, agent("POST", "fstrim", files) { world, call in ["result": ["paths": .array(world.trimmed(call.vmid))]] },
        agent("POST", "exec", "Unrestricted", "command!:array input-data:str(..65536)") { world, call in
            ["pid": JSON(world.run(call))]
        }, agent("GET", "exec-status", "Unrestricted", "pid!:int") { world, call in try world.outcome(call) },
        agent("GET", "network-get-interfaces", audit) { world, call in
            ["result": .array(try world.guest(call).interfaces)]
        },
    ]

/// Commands without parameters, with their privileges and answers.
private let simple: [(method: String, command: String, needs: String, answer: JSON)] = [
    ("POST", "ping", audit, [:]), ("POST", "fsfreeze-status", "Audit|VM.GuestAgent." + files, "thawed"),
    ("POST", "fsfreeze-freeze", files, 1), ("POST", "fsfreeze-thaw", files, 1),
    ("GET", "get-host-name", audit, ["host-name": "guest"]),
    (
        "GET", "get-osinfo", audit,
        ["id": "debian", "kernel-release": "6.12.57", "name": "Debian GNU/Linux", "version-id": "13"]
    ),
    (
        "GET", "get-fsinfo", audit,
        [
            [
                "mountpoint": "/", "name": "sda1", "total-bytes": 34_359_738_368, "type": "ext4",
                "used-bytes": 4_294_967_296,
            ]
        ]
    ), ("GET", "get-timezone", audit, ["offset": 0, "zone": "UTC"]), ("GET", "get-users", audit, []),
    ("GET", "info", audit, ["supported_commands": [], "version": "10.0.5"]),
]

/// A command that needs a running agent.
private func agent(
    _ method: String, _ command: String, _ privileges: String, _ parameters: String = "", needs: String? = nil,
    _ answer: @escaping @Sendable (inout ClusterState, EndpointCall) throws -> JSON
) -> Endpoint {
    let path = "nodes/{node}/qemu/{vmid}/agent/\(command)"
    let needs = needs ?? "/vms/{vmid} VM.GuestAgent.\(privileges)"
    let handler: Endpoint.Handler = { world, call in
        try world.checkAgent(call)
        return .data(try answer(&world, call))
    }
    return method == "GET"
        ? .get(path, parameters, needs: needs, handler) : .post(path, parameters, needs: needs, handler)
}

extension Guest {
    /// The network cards as the guest's system sees them, with addresses that follow from the guest's number.
    var addresses: [(name: String, mac: String, address: String)] {
        config.cards.enumerated().map { index, element in
            let list = element.card
            let mac = list.items.first { $0.value.split(separator: ":").count == 6 }?.value ?? ""
            let fixed = list["ip"].flatMap { $0.contains("/") ? String($0.prefix { $0 != "/" }) : nil }
            let address = fixed ?? "198.18.\(vmid / 250 % 250).\(vmid % 250 + 1 + index)"
            return (list["name"] ?? "eth\(index)", mac.lowercased(), address)
        }
    }

    /// The same as a container's node sees them; a card without a configured address has none.
    var containerInterfaces: [JSON] {
        let loopback: JSON = [
            "hardware-address": "00:00:00:00:00:00", "hwaddr": "00:00:00:00:00:00", "ip-addresses": [], "name": "lo",
        ]
        let withAddress = Set(
            config.sorted.map { PropertyList($0.value, leading: "name") }.filter { $0["ip"] != nil }.compactMap {
                $0["name"]
            })
        return [loopback]
            + addresses.map { name, mac, address in
                let isMeant = withAddress.contains(name)
                return [
                    "hardware-address": .string(mac), "hwaddr": .string(mac),
                    "inet": isMeant ? .some(.string("\(address)/24")) : .none,
                    "ip-addresses": isMeant
                        ? [["ip-address": .string(address), "ip-address-type": "inet", "prefix": "24"]] : [],
                    "name": .string(name),
                ]
            }
    }

    fileprivate var interfaces: [JSON] {
        let loopback: JSON = [
            "hardware-address": "00:00:00:00:00:00", "name": "lo",
            "ip-addresses": [["ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8]],
        ]
        return [loopback]
            + addresses.map { name, mac, address in
                [
                    "hardware-address": .string(mac), "name": .string(name),
                    "ip-addresses": [["ip-address": .string(address), "ip-address-type": "ipv4", "prefix": 24]],
                ]
            }
    }
}

/// The result of a command that is run inside a guest.
struct CommandResult: Sendable {
    var code = 0
    /// The signal that ended it, in place of an exit code.
    var signal: Int?
    var output = ""
    var errorOutput = ""
    var duration: Duration = .zero
}

extension ClusterState {
    /// Runs a command inside a guest and returns its process number. The result is the one that a test has set; by
    /// default the command ends at once without output.
    fileprivate mutating func run(_ call: EndpointCall) -> Int {
        let pid = 4711 + commands.count
        commands.append((call.vmid, call.lists["command"] ?? [], now))
        return pid
    }

    fileprivate func outcome(_ call: EndpointCall) throws(Failure) -> JSON {
        let index = (call.int("pid") ?? 0) - 4711
        guard commands.indices.contains(index), commands[index].vmid == call.vmid else {
            throw Failure("Agent error: Invalid parameter 'pid'")
        }
        let result = commandResults[commands[index].words.first ?? ""] ?? CommandResult()
        guard now >= commands[index].start + result.duration else { return ["exited": 0] }
        return [
            "err-data": result.errorOutput.isEmpty ? nil : .string(result.errorOutput),
            "exitcode": result.signal == nil ? JSON(result.code) : nil, "exited": 1,
            "out-data": result.output.isEmpty ? nil : .string(result.output), "signal": result.signal.map { JSON($0) },
        ]
    }

    /// The result for each file system: one that could not be trimmed has an error and no amounts.
    fileprivate func trimmed(_ vmid: Int) -> [JSON] {
        (trims[vmid] ?? ["/": nil]).sorted { $0.key < $1.key }.map { path, error in
            error.map { ["error": .string($0), "path": .string(path)] } ?? [
                "minimum": 0, "path": .string(path), "trimmed": 1_073_741_824,
            ]
        }
    }

    fileprivate func checkAgent(_ call: EndpointCall) throws(Failure) {
        let guest = try guest(call)
        let setting = guest.config["agent"].flatMap { PropertyList($0, leading: "enabled")["enabled"] }
        guard setting == "1" else { throw Failure("No QEMU guest agent configured") }
        guard guest.power.isOn else { throw Failure("VM \(call.vmid) is not running") }
        guard guest.answersShutdown else { throw Failure("QEMU guest agent is not running") }
    }
}
