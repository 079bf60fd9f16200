import StrictJSON

/// The PVE path that the caller of `storage_edit` or `firewall_edit` spells out, parsed and bounded by the target.
///
/// A path is never pasted into a URL. It is split here, matched against what the target allows, and rebuilt from its
/// parts.
struct SpelledEndpoint {
    let path: [String]

    /// What may follow the firewall's own path. `*` is one name, `**` an address with an optional `/bits`.
    private static let rules: [(CallMethods, [String])] = [
        ([.put], ["options"]), ([.post], ["rules"]), ([.put, .delete], ["rules", "*"]),
    ]
    private static let sets: [(CallMethods, [String])] = [
        ([.post], ["aliases"]), ([.put, .delete], ["aliases", "*"]), ([.post], ["ipset"]),
        ([.post, .delete], ["ipset", "*"]), ([.put, .delete], ["ipset", "*", "**"]),
    ]
    private static let groups: [(CallMethods, [String])] = [
        ([.post], ["groups"]), ([.post, .delete], ["groups", "*"]), ([.put, .delete], ["groups", "*", "*"]),
    ]
    private typealias CallMethods = Set<CallMethod>

    /// Parses `text`. Throws a sentence for the caller that says what is wrong.
    init(_ text: String, _ method: CallMethod, for target: Target, params: JSONObject) throws(EndpointError) {
        var parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.first == "", parts.count > 1 else { throw EndpointError("must start with /") }
        parts.removeFirst()
        for part in parts {
            guard !part.isEmpty, part != ".", part != "..", part.utf8.allSatisfy(Self.isPathByte) else {
                throw EndpointError("path parts are A-Z a-z 0-9 . _ : - and neither empty nor dots; no %, no query")
            }
        }
        switch target {
        case .storage(let name): path = try Self.storage(name, parts, method, params)
        case .firewall(let scope): path = try Self.firewall(scope, parts, method)
        case .guest, .node, .nodesAll, .pool, .cluster, .inventoryAll, .inventoryRunning, .tasksAll, .task:
            throw EndpointError("\(target) has no endpoints to edit")
        }
    }

    /// The node that the path names, if any.
    var node: NodeName? { path.first == "nodes" && path.count > 1 ? NodeName(path[1]) : nil }

    /// Whether PVE compares a `digest` before it changes the object at this path.
    func takesDigest(_ method: CallMethod) -> Bool {
        switch method {
        case .put: return true
        case .delete:
            let isWhole = path.count > 1 && ["storage", "ipset", "groups"].contains(path[path.count - 2])
            return !isWhole
        case .get, .post: return false
        }
    }

    private static func isPathByte(_ byte: UInt8) -> Bool { TextForm.isNameByte(byte) || byte == UInt8(ascii: ":") }

    private static func storage(
        _ name: StorageName, _ parts: [String], _ method: CallMethod, _ params: JSONObject
    ) throws(EndpointError) -> [String] {
        if parts == ["storage"], method == .post {
            guard params["storage"] == .string(name.description) else {
                throw EndpointError("POST /storage needs params.storage = \"\(name)\", the target's name")
            }
            return parts
        }
        guard parts == ["storage", name.description], method == .put || method == .delete else {
            throw EndpointError("storage/\(name) takes POST /storage, PUT /storage/\(name) and DELETE /storage/\(name)")
        }
        return parts
    }

    private static func firewall(
        _ scope: FirewallScope, _ parts: [String], _ method: CallMethod
    ) throws(EndpointError) -> [String] {
        let base: [String]
        let allowed: [(CallMethods, [String])]
        switch scope {
        case .cluster:
            base = ["cluster", "firewall"]
            allowed = rules + sets + groups
        case .node(let node):
            base = ["nodes", node.description, "firewall"]
            allowed = rules
        case .guest(let guest):
            let node = parts.count > 1 ? NodeName(parts[1])?.description ?? "NODE" : "NODE"
            base = ["nodes", node, guest.kind.rawValue, guest.id.description, "firewall"]
            allowed = rules + sets
        }
        guard parts.starts(with: base) else {
            throw EndpointError("firewall edits of this target are below /\(base.joined(separator: "/"))")
        }
        let tail = Array(parts.dropFirst(base.count))
        for (methods, pattern) in allowed where methods.contains(method) {
            if let matched = match(tail, pattern) { return base + matched }
        }
        let list = allowed.map { methods, pattern in
            "\(methods.map(\.rawValue).sorted().joined(separator: "|")) \(pattern.joined(separator: "/"))"
        }
        throw EndpointError("no such edit; below the firewall there are \(list.joined(separator: ", "))")
    }

    private static func match(_ tail: [String], _ pattern: [String]) -> [String]? {
        if pattern.last == "**" {
            guard (pattern.count...pattern.count + 1).contains(tail.count), tail[0] == pattern[0] else { return nil }
            if tail.count > pattern.count {
                guard let bits = tail.last, bits.utf8.allSatisfy(TextForm.isDigit), bits.utf8.count <= 3 else {
                    return nil
                }
            }
            return tail.prefix(pattern.count - 1) + [tail.dropFirst(pattern.count - 1).joined(separator: "/")]
        }
        guard tail.count == pattern.count else { return nil }
        return zip(tail, pattern).allSatisfy { $1 == "*" || $0 == $1 } ? tail : nil
    }
}

/// What is wrong with an endpoint, for the caller who wrote it.
package struct EndpointError: Error, Sendable, Hashable {
    package let detail: String

    init(_ detail: String) { self.detail = detail }
}
