import StrictJSON

private let frames = "hour|day|week|month|year"

/// The round-robin databases. The simulator records nothing: the newest tenth of the rows holds the present figures.
/// For a stopped guest, only the first of these rows has the figures from its last run.
let metricsEndpoints: [Endpoint] =
    ["qemu", "lxc"].map { word in
        .get(
            "nodes/{node}/\(word)/{vmid}/rrddata", "timeframe!:enum(\(frames)) cf:enum(AVERAGE|MAX)",
            needs: "/vms/{vmid} VM.Audit"
        ) { world, call in .data(world.history(call, world.metrics(of: try world.guest(call)), first: world.running)) }
    } + [
        .get(
            "nodes/{node}/rrddata", "timeframe!:enum(\(frames)|decade) cf:enum(AVERAGE|MAX)",
            needs: "/nodes/{node} Sys.Audit"
        ) { world, call in .data(world.history(call, world.nodeMetrics(call.node))) },
        .get(
            "nodes/{node}/storage/{storage}/rrddata", "timeframe!:enum(\(frames)) cf:enum(AVERAGE|MAX)",
            needs: "/storage/{storage} Datastore.Audit|Datastore.AllocateSpace"
        ) { world, call in
            let storage = try world.definition(call.text("storage"))
            return .data(world.history(call, ["total": JSON(storage.size), "used": JSON(storage.used)]))
        },
    ]

extension ClusterState {
    /// Rows from the oldest to the newest, at Proxmox VE's interval for the requested time frame.
    fileprivate func history(_ call: EndpointCall, _ figures: JSONObject, first: JSONObject = [:]) -> JSON {
        let (step, count) =
            switch call["timeframe"] {
            case "hour": (60, 60)
            case "day": (60, 1440)
            case "week": (1800, 336)
            case "month": (1800, 1440)
            case "year": (21600, 1460)
            default: (604_800, 570)
            }
        let last = second / step * step
        return .array(
            (0..<count).map { index in
                var row: JSONObject = ["time": JSON(last - (count - 1 - index) * step)]
                if index == count - count / 10 { for member in first.members { row[member.key] = member.value } }
                if index >= count - count / 10 { for member in figures.members { row[member.key] = member.value } }
                return .object(row)
            })
    }

    /// Figures that only a running guest has.
    fileprivate var running: JSONObject {
        let names = ["cpu", "mem", "netin", "netout", "memhost"]
        let pressures = ["cpu", "io", "memory"].flatMap { ["pressure\($0)full", "pressure\($0)some"] }
        return (names + pressures).reduce(into: JSONObject()) { $0[$1] = 0 }
    }

    fileprivate func metrics(of guest: Guest) -> JSONObject {
        var figures: JSONObject = [
            "disk": 0, "maxcpu": JSON(guest.cores), "maxdisk": JSON(guest.kind == .vm ? 0 : guest.diskBytes),
            "maxmem": JSON(guest.memoryMiB << 20),
        ]
        guard guest.power.isOn else { return figures }
        let row = status(guest, full: false)
        for member in running.members { figures[member.key] = row[member.key] ?? member.value }
        for key in ["diskread", "diskwrite"] { figures[key] = row[key] ?? 0 }
        return figures
    }

    fileprivate func nodeMetrics(_ name: String) -> JSONObject {
        guard let node = node(name) else { return [:] }
        return [
            "arcsize": 0, "cpu": .number(0.0423), "iowait": .number(0.001), "loadavg": .number(0.42),
            "maxcpu": JSON(node.cores), "memavailable": JSON(node.memory / 3 * 2), "memtotal": JSON(node.memory),
            "memused": JSON(node.memory / 3), "netin": 0, "netout": 0, "pressurecpusome": 0, "pressureiofull": 0,
            "pressureiosome": 0, "pressurememoryfull": 0, "pressurememorysome": 0, "roottotal": JSON(node.disk),
            "rootused": JSON(node.disk / 12), "swaptotal": JSON(8 << 30), "swapused": 0,
        ]
    }
}
