package import AgentModel
package import StrictJSON

/// PVE's own description of its API.
package final class PVESchema {
    package struct Endpoint {
        package let parameters: JSONObject
        package let returns: String?
        /// Path and privileges, one of which is enough, where PVE's rule is as plain as that.
        package let permission: (path: String, anyOf: Set<String>)?
    }

    /// By `METHOD /path/{name}`.
    package let endpoints: [String: Endpoint]
    /// Names and segments of paths, by method and number of segments.
    private let byShape: [String: [(name: String, path: [String])]]
    /// Formats that no check here understands.
    package private(set) var unread: Set<String> = []
    private var compiled: [String: Regex<AnyRegexOutput>] = [:]

    private func regex(_ pattern: String) -> Regex<AnyRegexOutput>? {
        if compiled[pattern] == nil { compiled[pattern] = try? Regex(pattern) }
        return compiled[pattern]
    }

    package init() throws {
        let document = try JSON.parse(Array(try Reference.text(of: Reference.schema).utf8))
        endpoints = (document["endpoints"]?.array ?? []).reduce(into: [:]) { found, endpoint in
            guard let method = endpoint["method"]?.string, let path = endpoint["path"]?.string else { return }
            var permission: (String, Set<String>)?
            if let rule = endpoint["permissions"]?.array, rule.count > 2, rule[0] == "perm", let path = rule[1].string {
                permission = (path, Set((rule[2].array ?? []).compactMap(\.string)))
            }
            found["\(method) \(path)"] = Endpoint(
                parameters: endpoint["parameters"]?.object ?? [:], returns: endpoint["returns"]?.string,
                permission: permission)
        }
        byShape = endpoints.keys.reduce(into: [:]) { shapes, name in
            let parts = name.split(separator: " ")
            let path = parts[1].split(separator: "/").map(String.init)
            shapes["\(parts[0]) \(path.count)", default: []].append((name, path))
        }
    }

    /// Our path as PVE spells it: `{sid}` and the like are its own, `{vmid}-{job}` is its `{id}`.
    package func spelling(of path: String) -> String {
        var path = path
        for (ours, theirs) in [("{vmid}-{job}", "{id}"), ("/cluster/ha/rules/{rule}", "/cluster/ha/rules/{rule}")] {
            path = path.split(separator: ours, omittingEmptySubsequences: false).joined(separator: theirs)
        }
        return path
    }

    /// The endpoint that a call goes to.
    package func name(of call: Call) -> String? {
        let fitting = (byShape["\(call.method.rawValue) \(call.path.count)"] ?? []).filter { _, path in
            zip(path, call.path).allSatisfy { $0 == $1 || $0.hasPrefix("{") }
        }
        // A word of the path stands before a place for any word.
        return fitting.min { a, b in
            a.path.count { $0.hasPrefix("{") } < b.path.count { $0.hasPrefix("{") }
        }?.name
    }

    /// What PVE's parameter check would say.
    package func flaws(of call: Call) -> [String] {
        guard let name = name(of: call), let endpoint = endpoints[name] else { return ["PVE has no such call"] }
        var flaws: [String] = []
        var given: Set<String> = []
        for (place, text) in zip(name.split(separator: " ")[1].split(separator: "/"), call.path)
        where place.hasPrefix("{") {
            let key = String(place.dropFirst().dropLast())
            given.insert(key)
            if let rule = endpoint.parameters[key] { flaws += self.flaws(of: text, rule, key) }
        }
        for (key, value) in call.parameters {
            given.insert(key)
            guard let rule = rule(for: key, endpoint.parameters) else {
                flaws.append("it knows no \(key)")
                continue
            }
            switch value {
            case .text(let text): flaws += self.flaws(of: text, rule, key)
            case .secret(let secret): flaws += self.flaws(of: secret.reveal(), rule, key)
            case .observedDigest: flaws += self.flaws(of: String(repeating: "a", count: 40), rule, key)
            case .list: if rule["type"] != "array" { flaws.append("\(key) is no array") }
            }
        }
        for member in endpoint.parameters.members where member.value["optional"] != true && !given.contains(member.key)
        {
            flaws.append("\(member.key) is missing")
        }
        for member in endpoint.parameters.members where given.contains(member.key) {
            if let other = member.value["requires"]?.string, !given.contains(other) {
                flaws.append("\(member.key) needs \(other)")
            }
        }
        return flaws
    }

    private func rule(for key: String, _ parameters: JSONObject) -> JSON? {
        if let rule = parameters[key] { return rule }
        let stem = key.prefix { !$0.isNumber }
        return stem.count < key.count && key.dropFirst(stem.count).allSatisfy(\.isNumber)
            ? parameters["\(stem)[n]"] : nil
    }

    private func flaws(of text: String, _ rule: JSON, _ key: String) -> [String] {
        let shown = "\(key)=\(text.prefix(40))"
        switch rule["type"]?.string {
        case "boolean": return text == "0" || text == "1" ? [] : ["\(shown) is no boolean"]
        case "integer", "number":
            guard let number = Double(text), rule["type"] == "number" || Int(text) != nil else {
                return ["\(shown) is no number"]
            }
            let low = rule["minimum"].flatMap { Double($0.text) }.map { number >= $0 } ?? true
            let high = rule["maximum"].flatMap { Double($0.text) }.map { number <= $0 } ?? true
            return low && high && isAmong(text, rule) ? [] : ["\(shown) is out of bounds"]
        case "array": return ["\(shown) is no array"]
        default: break
        }
        if !isAmong(text, rule) { return ["\(shown) is not one of its words"] }
        if let longest = rule["maxLength"]?.integer, text.count > longest { return ["\(key) is too long"] }
        if let shortest = rule["minLength"]?.integer, text.count < shortest { return ["\(key) is too short"] }
        if let pattern = rule["pattern"]?.string, !pattern.hasPrefix("(?^"),
            let regex = regex(pattern), text.wholeMatch(of: regex) == nil
        {
            return ["\(shown) has not the pattern \(pattern)"]
        }
        guard let format = rule["format"]?.string else { return [] }
        return fits(text, format) ? [] : ["\(shown) is no \(format)"]
    }

    private func isAmong(_ text: String, _ rule: JSON) -> Bool {
        rule["enum"]?.array.map { $0.contains { ($0.string ?? $0.text) == text } } ?? true
    }

    /// PVE's formats, as its own code checks them.
    private static let formats: [String: String] = {
        let storage = "[A-Za-z][A-Za-z0-9\\-_.]*[A-Za-z0-9]"
        let pair = "(1|\(storage)(:\(storage))?)"
        let label = "[a-zA-Z0-9]([a-zA-Z0-9\\-]*[a-zA-Z0-9])?"
        let configID = "[A-Za-z][A-Za-z0-9_-]+"
        return [
            "pve-node": label, "pve-storage-id": storage, "pve-configid": configID,
            "pve-configid-list": "\(configID)([,; ]\(configID))*", "dns-name": "(\(label)\\.)*\(label)",
            "pve-poolid": "[A-Za-z0-9.\\-_]+(/[A-Za-z0-9.\\-_]+){0,2}", "storage-pair-list": "\(pair)(,\(pair))*",
            "pve-vmid": "[1-9][0-9]{2,8}", "pve-vmid-list": "[1-9][0-9]{2,8}(,[1-9][0-9]{2,8})*",
            "pve-storage-id-list": "\(storage)(,\(storage))*",
            "pve-tag-list": "([A-Za-z0-9_][A-Za-z0-9_\\-+.]*([,;][A-Za-z0-9_][A-Za-z0-9_\\-+.]*)*)?",
            "pve-volume-id": "\(storage):.+", "urlencoded": "[A-Za-z0-9%._~\\-]*", "pve-storage-content": "[a-z]+",
            "prune-backups": "keep-[a-z]+=[0-9]+(,keep-[a-z]+=[0-9]+)*", "pve-calendar-event": ".+",
            "IPorCIDR": "[0-9A-Fa-f.:/]+", "IPorCIDRorAlias": "([0-9A-Fa-f.:/]+|(dc/|guest/)?[A-Za-z][A-Za-z0-9_-]+)",
            "pve-fw-addr-spec": "[A-Za-z0-9+.,:/_-]+", "pve-fw-dport-spec": "[A-Za-z0-9:,-]+",
            "pve-fw-sport-spec": "[A-Za-z0-9:,-]+", "pve-fw-protocol-spec": "[a-z0-9-]+",
            "pve-fw-icmp-type-spec": "[a-z0-9-]+", "pve-iface": "[a-zA-Z][a-zA-Z0-9_]{1,20}([:.][0-9]+)?",
            "pve-ha-resource-or-vm-id": "(vm:|ct:)?[0-9]+",
            "pve-ha-resource-id-list": "(vm|ct):[0-9]+(,(vm|ct):[0-9]+)*",
            "pve-ha-node-list": "\(label)(:[0-9]+)?(,\(label)(:[0-9]+)?)*",
            "pve-replication-job-id": "[1-9][0-9]{2,8}-[0-9]{1,9}",
            "pve-ct-timezone": "[A-Za-z0-9_+/-]+", "mac-addr": "[a-fA-F0-9]{2}(:[a-fA-F0-9]{2}){5}",
            "ip-list": "[0-9A-Fa-f.:]+([,; ][0-9A-Fa-f.:]+)*", "pve-sdn-zone-id": "[a-zA-Z][a-zA-Z0-9]{0,6}[a-zA-Z0-9]",
            "pve-sdn-vnet-id": "[a-zA-Z][a-zA-Z0-9]{0,6}[a-zA-Z0-9]",
            "pve-sdn-fabric-id": "[a-zA-Z0-9][a-zA-Z0-9-]{0,6}[a-zA-Z0-9]?",
        ]
    }()

    /// Formats of texts whose meaning is left to PVE: they are passed on as one line.
    private static let free: Set<String> = [
        "pve-vm-cpu-conf", "pve-cpuset", "pve-startup-order", "address-list", "pve-qm-boot", "pve-hotplug-features",
        "pve-qm-rng", "pve-qm-watchdog", "pve-qm-smbios1", "pve-qm-hostpci", "pve-qm-ipconfig", "pve-qm-cicustom",
        "pve-qemu-sev-fmt", "pve-qemu-tdx-fmt", "lxc-ip-with-ll-iface-list", "dns-name-list",
        "pve-storage-content-list", "pve-node-list", "pve-storage-server", "pve-storage-path", "pve-storage-vgname",
        "pve-storage-portal-dns", "pve-storage-portal-dns-list", "pve-storage-options", "pve-dir-override-list",
        "pve-sdn-bgp-rt-list",
    ]

    private func fits(_ text: String, _ format: String) -> Bool {
        guard !Self.free.contains(format) else { return true }
        guard let pattern = Self.formats[format], let regex = regex(pattern) else {
            unread.insert(format)
            return true
        }
        return text.wholeMatch(of: regex) != nil
    }
}
