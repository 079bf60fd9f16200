import StrictJSON

extension ClusterState {
    /// The maximum age of a cached guest list: `pvestatd` refreshes a real node's figures as often.
    private static let rowsLifetime: Duration = .seconds(10)

    /// The rows of all guests as serialised JSON array elements, shared until something changes.
    mutating func guestRowBytes() -> [UInt8] {
        if let rows = guestRows, now - rows.at < Self.rowsLifetime { return rows.bytes }
        var out: [UInt8] = []
        out.reserveCapacity(guests.count * 440)
        out.append(contentsOf: "{\"data\":[".utf8)
        for (index, guest) in sortedGuests.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            JSON.object(resource(guest)).write(to: &out)
        }
        out.append(contentsOf: "]}".utf8)
        guestRows = (out, now)
        return out
    }

    /// A guest as `/cluster/resources` lists it.
    func resource(_ guest: Guest) -> JSONObject {
        let load = load(of: guest)
        let isKnown = node(guest.node)?.isOnline != false
        return [
            "cpu": JSON(load.cpu), "disk": JSON(load.disk), "diskread": JSON(load.diskRead),
            "diskwrite": JSON(load.diskWrite), "hastate": guest.haState.map { .string($0) },
            "id": .string("\(guest.kind.word)/\(guest.vmid)"), "lock": guest.lock.map { .string($0) },
            "maxcpu": JSON(guest.cores), "maxdisk": JSON(guest.diskBytes), "maxmem": JSON(guest.memoryMiB << 20),
            "mem": JSON(load.memory), "memhost": JSON(load.memory), "name": .string(guest.name),
            "netin": JSON(load.netIn), "netout": JSON(load.netOut), "node": .string(guest.node),
            "pool": guest.pool.map { .string($0) },
            "status": .string(isKnown ? guest.power.isOn ? "running" : "stopped" : "unknown"),
            "tags": guest.tags.isEmpty ? nil : .string(guest.tags), "template": guest.isTemplate ? 1 : 0,
            "type": .string(guest.kind.word), "uptime": JSON(load.uptime), "vmid": JSON(guest.vmid),
        ]
    }

    /// A guest as its node lists it; `full` adds the values that come from the running process.
    func status(_ guest: Guest, full: Bool) -> JSONObject {
        let load = load(of: guest)
        var row: JSONObject = [
            "cpu": JSON(load.cpu), "cpus": JSON(guest.cores), "disk": JSON(load.disk), "maxdisk": JSON(guest.diskBytes),
            "maxmem": JSON(guest.memoryMiB << 20), "mem": JSON(load.memory), "name": .string(guest.name),
            "netin": JSON(load.netIn), "netout": JSON(load.netOut), "uptime": JSON(load.uptime),
            "status": .string(guest.power.isOn ? "running" : "stopped"), "vmid": JSON(guest.vmid),
        ]
        if !guest.tags.isEmpty { row["tags"] = .string(guest.tags) }
        row["lock"] = guest.lock.map { .string($0) }
        if guest.isTemplate { row["template"] = 1 }
        if guest.power.isOn {
            row["pid"] = JSON(2000 + guest.vmid)
            for kind in ["cpu", "io", "memory"] {
                for degree in ["full", "some"] {
                    row["pressure\(kind)\(degree)"] = guest.kind == .vm || reportsPressure ? 0 : .null
                }
            }
        }
        switch guest.kind {
        case .vm:
            row["memhost"] = JSON(load.memory)
            if full, guest.power.isOn, !guest.cardNumbers.isEmpty {
                row["nics"] = .object(
                    guest.cardNumbers.reduce(into: JSONObject()) {
                        $0["tap\(guest.vmid)i\($1)"] = ["netin": JSON(load.netIn), "netout": JSON(load.netOut)]
                    })
            }
            if full { row["qmpstatus"] = .string(guest.qmpStatus) }
        case .container:
            row["diskread"] = JSON(load.diskRead)
            row["diskwrite"] = JSON(load.diskWrite)
            row["swap"] = 0
            row["maxswap"] = JSON((guest.config["swap"].flatMap { Int($0) } ?? 0) << 20)
            row["type"] = "lxc"
        }
        return row
    }

    private struct Load {
        var cpu = 0.0
        var memory = 0, disk = 0, uptime = 0, netIn = 0, netOut = 0, diskRead = 0, diskWrite = 0
    }

    /// Figures that look alive: they follow from the guest's seed and its uptime.
    private func load(of guest: Guest) -> Load {
        guard let since = guest.power.since else { return Load() }
        let uptime = max(0, second - since)
        guard guest.profile.seed != 0 else { return Load(uptime: uptime) }
        let share = Double(guest.profile.seed % 900_000_007 + 50_000_000) / 1_000_000_007
        return Load(
            cpu: share / 4, memory: Int(Double(guest.memoryMiB << 20) * share),
            disk: guest.kind == .container ? Int(Double(guest.diskBytes) * share) : 0, uptime: uptime,
            netIn: uptime * 120_011, netOut: uptime * 80_021, diskRead: uptime * 40_961, diskWrite: uptime * 204_803)
    }

    func nodeRow(_ node: Node, for caller: Caller) -> JSONObject {
        var row: JSONObject = [
            "id": .string("node/\(node.name)"), "level": "", "node": .string(node.name),
            "status": .string(node.isOnline ? "online" : "offline"), "type": "node",
        ]
        guard caller.may("Sys.Audit", on: "/nodes/\(node.name)"), node.isOnline else { return row }
        row["cpu"] = .number(0.0423)
        row["disk"] = JSON(node.disk / 12)
        row["maxcpu"] = JSON(node.cores)
        row["maxdisk"] = JSON(node.disk)
        row["maxmem"] = JSON(node.memory)
        row["mem"] = JSON(node.memory / 3)
        row["uptime"] = JSON(node.uptime)
        return row
    }
}

extension Guest {
    /// The numbers of its network cards on a bridge.
    var cardNumbers: [Int] { config.cards.filter { $0.card["bridge"] != nil }.map(\.number) }

    var qmpStatus: String {
        switch power {
        case .stopped: "stopped"
        case .running: "running"
        case .paused: "paused"
        case .prelaunch: "prelaunch"
        }
    }
}
