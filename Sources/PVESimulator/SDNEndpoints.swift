import StrictJSON

private let views = "pending:bool running:bool"
private let zoneOptions = """
    advertise-subnets:bool bridge:str bridge-disable-mac-learning:bool controller:str dhcp:enum(dnsmasq)
    disable-arp-nd-suppression:bool dns:str dnszone:dns dp-id:int exitnodes:node-list exitnodes-local-routing:bool
    exitnodes-primary:node fabric:like(pve-sdn-fabric-id=[a-zA-Z0-9][a-zA-Z0-9-]{0,6}[a-zA-Z0-9]?) ipam:str lock-token:str
    mac:like(mac-addr=([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}) mtu:int nodes:node-list peers:like(ip-list=[0-9a-fA-F:.,;]+)
    reversedns:str rt-import:like(pve-sdn-bgp-rt-list=\\d+:\\d+([,;]\\d+:\\d+)*) tag:int(0..)
    vlan-protocol:enum(802.1q|802.1ad) vrf-vxlan:int(1..16777215) vxlan-port:int(1..65536) \(zoneName)
    """
private let zoneName = "zone!:like(pve-sdn-zone-id=[a-zA-Z][a-zA-Z0-9]{0,6}[a-zA-Z0-9])"
private let types = "enum(evpn|faucet|qinq|simple|vlan|vxlan)"
private let zone = "cluster/sdn/zones/{zone}"
private let vnetOptions = """
    alias:like((?^i:[\\(\\)-_.\\w\\d\\s]{0,256})=[()_.\\w\\d\\s-]*)(..256) isolate-ports:bool lock-token:str tag:int(1..16777215)
    vlanaware:bool \(vnetName)
    """
private let vnetName = "vnet!:like(pve-sdn-vnet-id=[a-zA-Z][a-zA-Z0-9]{0,6}[a-zA-Z0-9])"
private let vnet = "cluster/sdn/vnets/{vnet}"
private let address = "[0-9a-fA-F:.]+"

/// The software-defined network: the configured state, the running state, and the task that applies the configuration.
let sdnEndpoints: [Endpoint] = [
    .put("cluster/sdn", "lock-token:str release-lock:bool", needs: "/sdn SDN.Allocate") {
        world, call in try world.applySDN(call)
    },
    .post("cluster/sdn/lock", "allow-pending:bool", needs: "/sdn SDN.Allocate") { world, call in
        try world.lockSDN(call, "could not acquire lock for SDN config")
        let isPending = SDNList.all.contains { !world.pending($0).allSatisfy { $0.value["state"] == nil } }
        guard call.flag("allow-pending") || !isPending else {
            throw Failure("could not acquire lock for SDN config: configuration has pending changes")
        }
        let token = world.random.uuid()
        world.sections["sdn/lock"] = ["": ["token": token]]
        return .data(.string(token))
    },
    .get("cluster/sdn/zones", views + " type:" + types) {
        world, call in world.list(.zones, call)
    },
    .get(zone, views + " " + zoneName, needs: "/sdn/zones/{zone} SDN.Allocate") {
        world, call in try world.show(.zones, call)
    },
    .post(
        "cluster/sdn/zones", zoneOptions + " type!:" + types,
        needs: "/sdn/zones SDN.Allocate"
    ) { world, call in try world.add(.zones, call) },
    .put(zone, zoneOptions + " delete:configid-list(..4096) digest:str(..64)", needs: "/sdn/zones/{zone} SDN.Allocate")
    {
        world, call in try world.change(.zones, call)
    },
    .delete(zone, "lock-token:str " + zoneName, needs: "/sdn/zones/{zone} SDN.Allocate") {
        world, call in
        try world.remove(.zones, call)
    },
    .get("cluster/sdn/vnets", views) { world, call in world.list(.vnets, call) },
    .post("cluster/sdn/vnets", vnetOptions + " type:enum(vnet) zone!:str", needs: "/sdn/zones/{zone} SDN.Allocate") {
        world, call in try world.add(.vnets, call)
    },
    .get(vnet, views + " " + vnetName) { world, call in
        try world.permit(["SDN.Audit", "SDN.Allocate"], call)
        return try world.show(.vnets, call)
    },
    .put(vnet, vnetOptions + " zone:str delete:configid-list(..4096) digest:str(..64)") {
        world, call in
        try world.permit(["SDN.Allocate"], call)
        return try world.change(.vnets, call)
    },
    .delete(vnet, "lock-token:str " + vnetName) { world, call in
        try world.permit(["SDN.Allocate"], call)
        return try world.remove(.vnets, call)
    },
    .get(vnet + "/subnets", views + " " + vnetName) {
        world, call in
        try world.permit(["SDN.Audit", "SDN.Allocate"], call)
        return world.list(.subnets, call)
    },
    .post(
        vnet + "/subnets",
        """
        dhcp-dns-server:like(ip=\(address)) dhcp-range:array dnszoneprefix:dns gateway:like(ip=\(address)) lock-token:str
        snat:bool subnet!:like(pve-sdn-subnet-id=\(address)/[0-9]+) type!:enum(subnet) vnet!:str
        """
    ) { world, call in
        try world.permit(["SDN.Allocate"], call)
        return try world.addSubnet(call)
    },
    .get("cluster/sdn/controllers", views + " type:enum(bgp|evpn|faucet|isis)") { _, _ in
        .data([])
    },
]

/// A configuration file with sections, and its names in the API.
private struct SDNList: Sendable {
    let name: String
    let id: String
    /// The required options of each section type.
    var required: [String: [String]] = [:]

    var noun: String { "sdn \(id) object" }

    static let zones = SDNList(
        name: "zones", id: "zone",
        required: [
            "vlan": ["bridge"], "qinq": ["bridge", "tag"], "evpn": ["controller", "vrf-vxlan"],
            "faucet": ["controller", "dp-id"],
        ])
    static let vnets = SDNList(name: "vnets", id: "vnet")
    static let subnets = SDNList(name: "subnets", id: "subnet")
    static let all = [zones, vnets, subnets]
}

extension ClusterState {
    private static let numbers: Set<String> = [
        "advertise-subnets", "bridge-disable-mac-learning", "disable-arp-nd-suppression", "dp-id",
        "exitnodes-local-routing", "isolate-ports", "mtu", "tag", "vlanaware", "vrf-vxlan", "vxlan-port",
    ]

    private func configured(_ list: SDNList) -> [String: [String: String]] { sections["sdn/\(list.name)"] ?? [:] }
    private func running(_ list: SDNList) -> [String: [String: String]] { sections["sdn/running/\(list.name)"] ?? [:] }

    private func digest(_ list: SDNList) -> String {
        let lines = configured(list).sorted { $0.key < $1.key }.map {
            "\($0.key) \($0.value.sorted { $0.key < $1.key })"
        }
        return Digest.sha1(lines.joined(separator: "\n"))
    }

    private static func json(_ options: [String: String]) -> JSONObject {
        options.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { row, option in
            row[option.key] =
                numbers.contains(option.key) ? Int(option.value).map { JSON($0) } : .string(option.value)
        }
    }

    /// The running sections and their pending changes, as `pending` shows them.
    fileprivate func pending(_ list: SDNList) -> [String: JSONObject] {
        let (next, now) = (configured(list), running(list))
        return Set(next.keys).union(now.keys).reduce(into: [:]) { rows, id in
            var row = Self.json(now[id] ?? [:])
            var changes = JSONObject()
            var state: String?
            if let old = now[id], let new = next[id] {
                let changed = new.filter { old[$0.key] != $0.value && $0.key != "type" }
                let gone = old.keys.filter { new[$0] == nil }.sorted()
                changes = Self.json(changed)
                for key in gone { changes[key] = "deleted" }
                if !changed.isEmpty || !gone.isEmpty { state = "changed" }
            } else if let new = next[id] {
                row["type"] = new["type"].map { .string($0) }
                changes = Self.json(new.filter { $0.key != "type" })
                state = "new"
            } else {
                state = "deleted"
            }
            if let state {
                row["state"] = .string(state)
                row["pending"] = .object(changes)
            }
            rows[id] = row
        }
    }

    private func row(_ list: SDNList, _ id: String, _ call: EndpointCall) -> JSONObject? {
        var row: JSONObject?
        if call.flag("pending") {
            row = pending(list)[id]
        } else if call.flag("running") {
            row = running(list)[id].map(Self.json)
        } else {
            row = configured(list)[id].map(Self.json)
            row?["digest"] = .string(digest(list))
        }
        row?[list.id] = .string(id)
        return row
    }

    /// The path on which access to a section is granted.
    private func place(_ list: SDNList, _ id: String) -> String {
        guard list.id != "zone" else { return "/sdn/zones/\(id)" }
        let id = list.id == "subnet" ? (configured(list)[id] ?? running(list)[id])?["vnet"] ?? "" : id
        let list = SDNList.vnets
        return "/sdn/zones/\((configured(list)[id] ?? running(list)[id])?["zone"] ?? "")/\(id)"
    }

    /// Refuses a caller without any of the privileges on the network that the call names.
    fileprivate func permit(_ privileges: [String], _ call: EndpointCall) throws {
        let id = call.text("vnet")
        guard configured(.vnets)[id] != nil else { throw Self.missing(.vnets, id) }
        guard may(privileges, .vnets, id, call) else {
            throw Failure.denied("\(place(.vnets, id)), \(privileges.joined(separator: "|"))")
        }
    }

    private func may(_ privileges: [String], _ list: SDNList, _ id: String, _ call: EndpointCall) -> Bool {
        privileges.contains { call.caller.may($0, on: place(list, id)) }
    }

    fileprivate func list(_ list: SDNList, _ call: EndpointCall) -> Reply {
        let ids = Set(configured(list).keys).union(running(list).keys).sorted()
        return .data(
            .array(
                ids.filter { may(["SDN.Audit", "SDN.Allocate"], list, $0, call) }.compactMap { row(list, $0, call) }
                    .filter { call["vnet"] == nil || $0["vnet"]?.string == call["vnet"] }
                    .filter { call["type"] == nil || $0["type"]?.string == call["type"] }.map { .object($0) }))
    }

    fileprivate func show(_ list: SDNList, _ call: EndpointCall) throws -> Reply {
        let id = call.text(list.id)
        guard let row = row(list, id, call) else { throw Self.missing(list, id) }
        return .data(.object(row))
    }

    private static func missing(_ list: SDNList, _ id: String, during what: String = "") -> Failure {
        Failure("\(what)sdn \(list.id == "vnet" ? "vnet " : "")'\(id)' does not exist")
    }

    /// Refuses a call without the lock token if the configuration is locked.
    fileprivate func lockSDN(_ call: EndpointCall, _ what: String) throws {
        guard let token = sections["sdn/lock"]?[""]?["token"], token != call["lock-token"] else { return }
        throw Failure("\(what): invalid lock token provided!")
    }

    private static func options(of call: EndpointCall, _ list: SDNList) -> [String: String] {
        call.values.filter { ![list.id, "lock-token", "digest", "delete"].contains($0.key) }
    }

    fileprivate mutating func add(_ list: SDNList, _ call: EndpointCall) throws -> Reply {
        let (id, what) = (call.text(list.id), "create \(list.noun) failed: ")
        var options = Self.options(of: call, list)
        for key in list.required[options["type"] ?? ""] ?? [] where options[key] == nil {
            throw Failure("missing value for required option '\(key)'")
        }
        try lockSDN(call, String(what.dropLast(2)))
        guard configured(list)[id] == nil else { throw Failure("\(what)\(list.noun) ID '\(id)' already defined") }
        if list.id == "vnet" { try completeVNet(id, &options, during: what) }
        sections["sdn/\(list.name)", default: [:]][id] = options
        return .null
    }

    /// Checks and completes a network as the type of its zone demands.
    private mutating func completeVNet(
        _ id: String, _ options: inout [String: String], during what: String
    ) throws {
        func refusal(_ key: String, _ text: String) -> Failure {
            Failure("\(what)400 Parameter verification failed.\n\(key): \(text)")
        }
        options["type"] = "vnet"
        let (zone, tag) = (options["zone"] ?? "", options["tag"])
        switch configured(.zones)[zone]?["type"] {
        case nil: throw Failure("\(what)cannot lookup undefined type!")
        case "simple":
            if tag != nil { throw refusal("tag", "vlan tag is not allowed on simple zone") }
            options["mac"] = options["mac"] ?? random.macAddress()
        case "vlan": if tag == nil { throw refusal("tag", "missing vlan tag") }
        case "vxlan", "evpn": if tag == nil { throw refusal("tag", "missing vxlan tag") }
        default: break
        }
        let others = configured(.vnets).filter { $0.key != id && $0.value["zone"] == zone && $0.value["tag"] == tag }
        if let tag, let other = others.keys.min() { throw refusal("tag", "tag \(tag) already exist in vnet \(other)") }
    }

    fileprivate mutating func change(_ list: SDNList, _ call: EndpointCall) throws -> Reply {
        let (id, what) = (call.text(list.id), "update \(list.noun) failed: ")
        try lockSDN(call, String(what.dropLast(2)))
        if let seen = call["digest"], seen != digest(list) { throw Failure(what + Failure.staleConfig.reason) }
        guard var options = configured(list)[id] else { throw Self.missing(list, id, during: what) }
        for key in Format.list(call.text("delete")) {
            if list.required[options["type"] ?? ""]?.contains(key) == true {
                throw Failure("\(what)unable to delete required option '\(key)'")
            }
            options[key] = nil
        }
        options.merge(Self.options(of: call, list)) { $1 }
        if list.id == "vnet" { try completeVNet(id, &options, during: what) }
        sections["sdn/\(list.name)", default: [:]][id] = options
        return .null
    }

    fileprivate mutating func addSubnet(_ call: EndpointCall) throws -> Reply {
        let zone = configured(.vnets)[call.text("vnet")]?["zone"] ?? ""
        let id = "\(zone)-\(call.text("subnet").replacing("/", with: "-"))"
        let what = "create sdn subnet object failed"
        try lockSDN(call, what)
        guard configured(.subnets)[id] == nil else {
            throw Failure("\(what): sdn subnet object ID '\(id)' already defined")
        }
        var options = Self.options(of: call, .subnets)
        options["zone"] = zone
        sections["sdn/subnets", default: [:]][id] = options
        return .null
    }

    fileprivate mutating func remove(_ list: SDNList, _ call: EndpointCall) throws -> Reply {
        let (id, what) = (call.text(list.id), "delete \(list.noun) failed: ")
        try lockSDN(call, String(what.dropLast(2)))
        guard configured(list)[id] != nil else { throw Self.missing(list, id, during: what) }
        if list.id == "zone",
            let user = configured(.vnets).sorted(by: { $0.key < $1.key }).first(where: { $0.value["zone"] == id })
        {
            throw Failure("\(what)zone \(id) is used by vnet \(user.key)")
        }
        if list.id == "vnet", configured(.subnets).contains(where: { $0.value["vnet"] == id }) {
            throw Failure("\(what)400 Parameter verification failed.\nvnet: Can't delete vnet if subnets exists")
        }
        sections["sdn/\(list.name)"]?[id] = nil
        return .null
    }

    /// The configuration becomes the running state; a task tells each node to reload its network.
    fileprivate mutating func applySDN(_ call: EndpointCall) throws -> Reply {
        try lockSDN(call, "could not commit SDN config")
        for list in SDNList.all { sections["sdn/running/\(list.name)"] = configured(list) }
        if call["lock-token"] != nil, call["release-lock"] != "0" { sections["sdn/lock"] = nil }
        let online = nodes.filter(\.isOnline)
        let work = Work(type: "reloadnetworkall", id: "", node: online.first?.name ?? "") { world, log in
            for node in online {
                log.lines.append("\(node.name): reloading network config")
                let reload = Work(type: "srvreload", id: "networking", node: node.name) { _, _ in }
                _ = world.start(reload, by: Caller(user: "root@pam"))
            }
        }
        return start(work, by: call.caller)
    }
}
