import AgentModel
import StrictJSON

/// A guest's identity and state, from its configuration and status.
struct GuestView {
    let observed: Observed

    init(_ guest: GuestRef, on node: NodeName, config: JSON, status: JSON, pool: String?) {
        var shown: JSONObject = [
            "node": .string(node.description), "kind": .string(guest.kind.targetWord),
            "name": config["name"] ?? config["hostname"] ?? status["name"] ?? .null,
        ]
        var compared = ["node", "kind", "name"]
        func add(_ key: String, _ value: JSON?) {
            shown[key] = value ?? .null
            compared.append(key)
        }
        switch guest.kind {
        case .vm:
            add("uuid", Self.part("uuid", of: config["smbios1"]))
            add("vmgenid", config["vmgenid"])
            add(
                "ctime", Self.part("ctime", of: config["meta"]).flatMap { $0.string.flatMap(Int.init).map { JSON($0) } }
            )
        case .container:
            add("rootfs", config["rootfs"])
            // PVE sends keys in no order.
            let networks = (config.object?.members ?? []).filter { member in
                member.key.hasPrefix("net") && member.key.count > 3 && member.key.dropFirst(3).allSatisfy(\.isNumber)
            }.sorted { $0.key < $1.key }
            add("hwaddrs", .array(networks.compactMap { Self.part("hwaddr", of: $0.value) }))
        }
        add("status", status["qmpstatus"] ?? status["status"])
        add("lock", config["lock"] ?? status["lock"])
        add("digest", config["digest"])
        shown["ha"] = status["ha"] ?? .null
        shown["template"] = config["template"].map { $0.flag.map { .bool($0) } ?? $0 } ?? false
        shown["protection"] = config["protection"].map { $0.flag.map { .bool($0) } ?? $0 } ?? false
        shown["tags"] = JSON(
            (config["tags"]?.string ?? "").split(whereSeparator: { ";, ".contains($0) }).map(String.init))
        shown["pool"] = pool.map { .string($0) } ?? .null
        observed = Observed(shown: shown, compared: compared)
    }

    /// The value of `key` in PVE's `a=1,b=2`.
    private static func part(_ key: String, of value: JSON?) -> JSON? {
        for part in (value?.string ?? "").split(separator: ",") where part.hasPrefix(key + "=") {
            return .string(String(part.dropFirst(key.count + 1)))
        }
        return nil
    }
}
