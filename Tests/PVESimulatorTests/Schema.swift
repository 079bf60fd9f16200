import AgentTestSupport
import PVESimulator
import SimulatorTestSupport
import StrictJSON

/// Proxmox VE's own description of its API, by method and path.
struct Schema {
    struct Parameter {
        var type: String
        var isRequired: Bool
        var choices: [String]
        var minimum: Int?
        var maximum: Int?
        /// A named format, a regular expression, or nothing.
        var format: String?
        var pattern: String?
        var keys: Set<String>?
        var requires: String?
    }

    /// `GET /nodes/{node}/qemu`
    var methods: [String: [String: Parameter]] = [:]
    /// What a caller needs, as ``Simulator/Method/needs`` says it, where the schema says it that simply.
    var needs: [String: String] = [:]

    init() throws {
        let json = try JSON.parse(try Reference.text(of: Reference.schema))
        for endpoint in json["endpoints"]?.array ?? [] {
            guard let method = endpoint["method"]?.string, let path = endpoint["path"]?.string else { continue }
            var parameters: [String: Parameter] = [:]
            for (name, json) in endpoint["parameters"]?.object?.members.map({ ($0.key, $0.value) }) ?? [] {
                parameters[name] = Parameter(json)
            }
            methods["\(method) \(path)"] = parameters
            needs["\(method) \(path)"] = Self.needs(endpoint["permissions"])
        }
    }
}

extension Schema {
    /// `["perm", "/vms/{vmid}", ["VM.Audit", "VM.Console"], "any", 1]` in short; `nil` for all that is not as simple.
    private static func needs(_ json: JSON?) -> String? {
        guard let list = json?.array, list.first == "perm", list.count >= 3, let path = list[1].string,
            let privileges = list[2].array?.compactMap(\.string)
        else { return nil }
        guard Set(privileges).count == 1 || list.dropFirst(3).first == "any" else { return nil }
        return "\(path) \(Set(privileges).sorted().joined(separator: "|"))"
    }
}

extension Schema.Parameter {
    fileprivate init(_ json: JSON) {
        let type = json["type"]?.string ?? "string"
        let (least, most) = type == "string" ? ("minLength", "maxLength") : ("minimum", "maximum")
        self.init(
            type: type, isRequired: !Self.isTrue(json["optional"]),
            choices: json["enum"]?.array?.map { $0.string ?? $0.text } ?? [], minimum: Self.number(json[least]),
            maximum: Self.number(json[most]), format: json["format"]?.string, pattern: json["pattern"]?.string,
            keys: json["format_keys"]?.array.map { Set($0.compactMap(\.string)) }, requires: json["requires"]?.string)
    }

    private static func isTrue(_ json: JSON?) -> Bool { json == true || json == 1 }

    private static func number(_ json: JSON?) -> Int? {
        guard let json else { return nil }
        return Int(json.string ?? json.text)
    }
}

extension Simulator.Parameter {
    /// What the words for formats in the simulator's tables stand for in the schema: formats and regular expressions.
    static let meanings: [String: Set<String>] = [
        "vmid": ["pve-vmid"], "vmid-list": ["pve-vmid-list"], "node": ["pve-node"], "node-list": ["pve-node-list"],
        "configid": ["pve-configid"], "configid-list": ["pve-configid-list"], "storage-id": ["pve-storage-id"],
        "storage-id-list": ["pve-storage-id-list"], "storage-pair-list": ["storage-pair-list"],
        "volume-id": ["pve-volume-id"], "poolid": ["pve-poolid"], "dns": ["dns-name"], "dns-list": ["dns-name-list"],
        "tags": ["pve-tag-list"], "size": [#"\+?\d+(\.\d+)?[KMGT]?"#], "volume-size": [#"\d+[MG]?"#],
        "iface": ["pve-iface"], "cidr": ["IPorCIDR", "CIDR"], "fw-addr": ["pve-fw-addr-spec", "IPorCIDRorAlias"],
        "fw-port": ["pve-fw-dport-spec", "pve-fw-sport-spec"], "content-list": ["pve-storage-content-list"],
        "content": ["pve-storage-content"], "urlencoded": ["urlencoded"], "word": [#"[A-Za-z][A-Za-z0-9\-\_]+"#],
        "url": ["https?://.*"], "time": [#"\d{1,2}:\d{1,2}"#],
        "uuid": ["(?:[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01])"],
        "fingerprint": ["([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2}"],
        "replication-id": ["pve-replication-job-id"], "ha-node-list": ["pve-ha-node-list"],
        "ha-resource": ["pve-ha-resource-or-vm-id"], "ha-resource-list": ["pve-ha-resource-id-list"],
        "startup": ["pve-startup-order"], "ipconfig": ["pve-qm-ipconfig"], "prune": ["prune-backups"],
        "smbios": ["pve-qm-smbios1"], "watchdog": ["pve-qm-watchdog"], "rng": ["pve-qm-rng"],
        "cicustom": ["pve-qm-cicustom"], "boot": ["pve-qm-boot"], "cpu": ["pve-vm-cpu-conf"],
        "hostpci": ["pve-qm-hostpci"], "ide": ["pve-qm-ide"], "storage-path": ["pve-storage-path"],
        "bootdisk": [#"(ide|sata|scsi|virtio)\d+"#], "hotplug": ["pve-hotplug-features"],
        "serial": ["(/dev/.+|socket)"], "parallel": [#"/dev/parport\d+|/dev/usb/lp\d+"#],
        "startdate": [#"(now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?)"#],
        "fleecing": ["backup-fleecing"], "performance": ["backup-performance"],
        "groupid": ["pve-groupid"], "groupid-list": ["pve-groupid-list"],
        "roleid": ["pve-roleid"], "roleid-list": ["pve-roleid-list"], "userid-list": ["pve-userid-list"],
        "tokenid-list": ["pve-tokenid-list"], "privileges": ["pve-priv-list"], "keys": ["[0-9a-zA-Z!=]{0,4096}"],
    ]

    /// What this and the schema's word for the same parameter differ in; empty where they agree.
    /// A part of the path is always there, whatever the schema says.
    func differences(from other: Schema.Parameter, isInPath: Bool) -> [String] {
        var parts: [String] = []
        if type != other.type { parts.append("type \(type), schema \(other.type)") }
        if !isInPath, isRequired != other.isRequired { parts.append(other.isRequired ? "is required" : "is optional") }
        if choices != other.choices { parts.append("choices \(choices), schema \(other.choices)") }
        let isNumbered = format == "vmid"
        if (isNumbered ? 100 : minimum) != other.minimum {
            parts.append("minimum \(minimum ?? -1), schema \(other.minimum ?? -1)")
        }
        if (isNumbered ? 999_999_999 : maximum) != other.maximum {
            parts.append("maximum \(maximum ?? -1), schema \(other.maximum ?? -1)")
        }
        if requires != other.requires { parts.append("requires \(requires ?? "-"), schema \(other.requires ?? "-")") }
        if let keys, other.keys != nil {
            let more = keys.subtracting(other.keys ?? []).sorted()
            let less = (other.keys ?? []).subtracting(keys).sorted()
            if !more.isEmpty || !less.isEmpty { parts.append("keys \(more) too many, \(less) missing") }
        } else if let format, !isMeant(other) {
            parts.append("format \(format), schema \(other.format ?? other.pattern ?? "-")")
        }
        return parts
    }

    /// Whether `format` stands for what the schema says.
    private func isMeant(_ other: Schema.Parameter) -> Bool {
        if let format, [other.format, other.pattern].contains(format) { return true }
        guard let meaning = format.flatMap({ Self.meanings[$0] }) else { return false }
        return [other.format, other.pattern].contains { $0.map { meaning.contains($0) } ?? false }
    }

    /// What the schema says about the form of a value that is not checked here.
    func unchecked(_ other: Schema.Parameter, named name: String) -> String? {
        guard format == nil, choices.isEmpty, type != "array" else { return nil }
        if other.keys != nil { return "keys of \(name)" }
        return other.format ?? other.pattern
    }
}
