import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

/// Holds the catalogue against PVE's own description of its API, where that is at hand.
@Suite(.enabled(if: Reference.has(Reference.schema), "PVE's schema is not at hand"))
struct SchemaTests {
    /// PVE's calls by `METHOD /path/{name}`.
    private let endpoints: [String: JSONObject]

    init() throws {
        let document = try JSON.parse(Array(try Reference.text(of: Reference.schema).utf8))
        endpoints = try #require(document["endpoints"]?.array).reduce(into: [:]) { found, endpoint in
            guard let method = endpoint["method"]?.string, let path = endpoint["path"]?.string else { return }
            found["\(method) \(path)"] = endpoint["parameters"]?.object ?? [:]
        }
        try #require(endpoints.count > 500)
    }

    /// `/nodes/pve1/qemu/101/firewall/rules/0` as PVE writes it: `/nodes/{node}/qemu/{vmid}/firewall/rules/{pos}`.
    private func template(of edit: EndpointTests.Edit) throws -> String? {
        let call = try #require(try edit.request().calls(onNode: nil).first)
        return endpoints.keys.first { key in
            let parts = key.split(separator: " ")
            let path = parts[1].split(separator: "/")
            return parts[0] == edit.method && path.count == call.path.count
                && zip(path, call.path).allSatisfy { $0 == $1 || ($0.hasPrefix("{") && !["storage"].contains($1)) }
        }
    }

    @Test func `every edit of an endpoint is one of PVE's, and all of PVE's below the targets can be made`() throws {
        var reached: Set<String> = []
        for edit in EndpointTests.storage + EndpointTests.firewall {
            let name = try #require(try template(of: edit), "\(edit.method) \(edit.endpoint)")
            reached.insert(name)
            let call = try #require(try edit.request().calls(onNode: nil).first)
            for parameter in call.parameters {
                #expect(endpoints[name]?[parameter.name] != nil, "\(name) knows no \(parameter.name)")
            }
            let canCompare = endpoints[name]?["digest"] != nil && edit.method != "POST"
            #expect(canCompare == call.parameters.contains { $0.name == "digest" }, "\(name)")
        }
        let bases = [
            "/storage", "/cluster/firewall", "/nodes/{node}/firewall", "/nodes/{node}/qemu/{vmid}/firewall",
            "/nodes/{node}/lxc/{vmid}/firewall",
        ]
        let theirs = Set(
            endpoints.keys.filter { key in
                let parts = key.split(separator: " ")
                return parts[0] != "GET" && bases.contains { parts[1] == $0 || parts[1].hasPrefix($0 + "/") }
            })
        #expect(theirs == reached)
        print("edits: \(reached.count) of PVE's \(theirs.count) calls below storage and firewalls")
    }

    @Test func `every secret that a storage or firewall edit can carry is known as one`() {
        let harmless: Set<String> = ["master-pubkey"]
        let words = ["password", "secret", "token", "key"]
        for (name, parameters) in endpoints where name.contains(" /storage") || name.contains("/firewall") {
            for key in parameters.keys where words.contains(where: key.contains) && !harmless.contains(key) {
                #expect(ParameterDefinition.isSecret(key), "\(name) \(key)")
            }
        }
    }
}
