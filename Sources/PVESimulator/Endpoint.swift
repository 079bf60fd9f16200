import Synchronization

/// One method of one path of the API, as data.
struct Endpoint: Sendable {
    /// Throws ``Failure``s only; closures that are untyped need no signature.
    typealias Handler = @Sendable (inout ClusterState, EndpointCall) throws -> Reply

    var method: String
    /// Segments below `/api2/json`; `{name}` takes one segment, `{name*}` all remaining ones.
    var path: String
    var parameters: ParameterTable
    /// `"/vms/{vmid} VM.Audit|VM.Console"`: the caller needs one of the privileges on the path. Empty if any token may
    /// call.
    var needs: String
    var handler: Handler
    /// The positions of the path's parameters.
    var gaps: [(index: Int, name: String, isRest: Bool)]

    /// Whether any node answers on behalf of the named node.
    var isLocal: Bool { ["nodes/{node}", "nodes/{node}/wakeonlan"].contains(path) }

    static func get(
        _ path: String, _ parameters: String = "", needs: String = "", _ handler: @escaping Handler
    ) -> Endpoint { Endpoint("GET", path, parameters, needs, handler) }

    static func post(
        _ path: String, _ parameters: String = "", needs: String = "", _ handler: @escaping Handler
    ) -> Endpoint { Endpoint("POST", path, parameters, needs, handler) }

    static func put(
        _ path: String, _ parameters: String = "", needs: String = "", _ handler: @escaping Handler
    ) -> Endpoint { Endpoint("PUT", path, parameters, needs, handler) }

    static func delete(
        _ path: String, _ parameters: String = "", needs: String = "", _ handler: @escaping Handler
    ) -> Endpoint { Endpoint("DELETE", path, parameters, needs, handler) }

    /// An endpoint with an empty answer.
    static func change(
        _ method: String, _ path: String, _ parameters: String = "", needs: String = "",
        _ change: @escaping @Sendable (inout ClusterState, EndpointCall) throws -> Void
    ) -> Endpoint {
        Endpoint(method, path, parameters, needs) { world, call in
            try change(&world, call)
            return .null
        }
    }

    func answer(_ call: EndpointCall, in world: inout ClusterState) throws(Failure) -> Reply {
        if call.flag("skiplock") { throw .parameters(["skiplock": "Only root may use this option."]) }
        do { return try handler(&world, call) } catch { throw error as? Failure ?? Failure("\(error)") }
    }

    private init(_ method: String, _ path: String, _ parameters: String, _ needs: String, _ handler: @escaping Handler)
    {
        self.method = method
        self.path = path
        self.parameters = ParameterTable(parameters, path: path)
        self.needs = needs
        self.handler = handler
        gaps = path.split(separator: "/").enumerated().filter { $0.element.hasPrefix("{") }.map { index, gap in
            let isRest = gap.hasSuffix("*}")
            return (index, String(gap.dropFirst().dropLast(isRest ? 2 : 1)), isRest)
        }
    }
}

/// A request with its endpoint, after the parameter check.
struct EndpointCall: Sendable {
    var endpoint: Endpoint
    var caller: Caller
    /// Parameters of path, query and body together.
    var values: [String: String]
    var lists: [String: [String]] = [:]

    subscript(name: String) -> String? { values[name] }
    func text(_ name: String) -> String { values[name] ?? "" }
    func int(_ name: String) -> Int? { values[name].flatMap { Int($0) } }
    func flag(_ name: String) -> Bool { values[name] == "1" }
    /// The options that the call sets: all parameters except those of the path, `delete` and `digest`.
    var sent: [String: String] {
        values.filter { !endpoint.parameters.captured.contains($0.key) && !["delete", "digest"].contains($0.key) }
    }

    /// Refuses a change if the caller's digest is outdated.
    func checkDigest(_ digest: String?, _ failure: Failure = .staleConfig) throws(Failure) {
        if let seen = self["digest"], seen != digest { throw failure }
    }

    /// The same call with other options.
    func setting(_ options: [String: String]) -> EndpointCall {
        var other = self
        other.values = options.merging(values.filter { $0.key == "node" || $0.key == "vmid" }) { $1 }
        return other
    }

    var node: String { text("node") }
    var vmid: Int { int("vmid") ?? 0 }
    var kind: Guest.Kind { endpoint.path.hasPrefix("nodes/{node}/lxc") ? .container : .vm }
}

/// Finds endpoints by path.
struct EndpointTable: Sendable {
    /// Below a segment of the path; the gaps are `{}` and, where one takes the rest of the path, `{*}`.
    private struct Branch: Sendable {
        var children: [Substring: Branch] = [:]
        var methods: [String: Endpoint] = [:]

        mutating func add(_ endpoint: Endpoint, at path: ArraySlice<Substring>) {
            guard let first = path.first else { return methods[endpoint.method] = endpoint }
            let key = first.hasSuffix("*}") ? "{*}" : first.hasPrefix("{") ? "{}" : first
            children[key, default: Branch()].add(endpoint, at: path.dropFirst())
        }
    }

    private var root = Branch()

    init(_ endpoints: [Endpoint]) {
        for endpoint in endpoints { root.add(endpoint, at: endpoint.path.split(separator: "/")[...]) }
    }

    /// The endpoint for decoded path segments, and the values of its path parameters.
    func find(_ method: String, _ segments: [String]) -> (Endpoint, [String: String])? {
        var branch = root
        for segment in segments {
            if let rest = branch.children["{*}"] {
                branch = rest
                break
            }
            guard let next = branch.children[segment[...]] ?? branch.children["{}"] else { return nil }
            branch = next
        }
        guard let endpoint = branch.methods[method] else { return nil }
        var values: [String: String] = [:]
        for (index, name, isRest) in endpoint.gaps {
            values[name] = isRest ? segments[index...].joined(separator: "/") : segments[index]
        }
        return (endpoint, values)
    }

    static let list =
        storageKind.endpoints + haRuleKind.endpoints + haResourceKind.endpoints + backupJobKind.endpoints
        + replicationKind.endpoints + clusterEndpoints + nodeEndpoints + taskEndpoints + guestEndpoints
        + guestConfigEndpoints + snapshotEndpoints + storageEndpoints + firewallEndpoints + haEndpoints
        + backupEndpoints + backupJobEndpoints + replicationEndpoints + bulkPowerEndpoints + bulkMigrationEndpoints
        + serviceEndpoints + sdnEndpoints + metricsEndpoints + networkEndpoints + cloudInitEndpoints
        + guestAgentEndpoints + poolEndpoints + accessEndpoints + accessAdminEndpoints + absentEndpoints
        + directoryEndpoints

    static let all = EndpointTable(list)
}
