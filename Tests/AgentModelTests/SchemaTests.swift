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

    @Test(arguments: ActionCatalog.all)
    func `every call of the catalogue is one of PVE's, no wider than PVE takes it`(entry: ActionDefinition) throws {
        for template in entry.calls {
            let passed = entry.parameters.filter { !$0.isOwn && template.passes?.contains($0.name) ?? true }
            let name = "\(template.method.rawValue) \(template.path)"
            let schema = try #require(endpoints[name], "\(name)")
            for parameter in passed {
                let theirs = try #require(schema[parameter.name]?.object, "\(name) knows no \(parameter.name)")
                expect(parameter, within: theirs, "\(name) \(parameter.name)")
            }
            let given = Set(passed.filter(\.required).map(\.name)).union(template.fixed.map(\.name))
            for member in schema.members where member.value["optional"] != true {
                let isInPath = template.path.contains("{\(member.key)}")
                #expect(isInPath || given.contains(member.key), "\(name) needs \(member.key)")
            }
        }
    }

    /// PVE's formats, as its own code checks them.
    private static let formats: [String: String] = [
        "pve-node": "^[a-zA-Z0-9]([a-zA-Z0-9\\-]*[a-zA-Z0-9])?$",
        "pve-storage-id": "^[A-Za-z][A-Za-z0-9\\-_.]*[A-Za-z0-9]$",
        "pve-configid": "^[A-Za-z][A-Za-z0-9_-]+$",
        "dns-name": "^([a-zA-Z0-9]([a-zA-Z0-9\\-]*[a-zA-Z0-9])?\\.)*[A-Za-z0-9]([A-Za-z0-9\\-]*[A-Za-z0-9])?$",
        "pve-poolid": "^[A-Za-z0-9.\\-_]+(/[A-Za-z0-9.\\-_]+){0,2}$",
        "storage-pair-list": "^(1|[A-Za-z][A-Za-z0-9\\-_.]*[A-Za-z0-9](:[A-Za-z][A-Za-z0-9\\-_.]*[A-Za-z0-9])?)"
            + "(,(1|[A-Za-z][A-Za-z0-9\\-_.]*[A-Za-z0-9](:[A-Za-z][A-Za-z0-9\\-_.]*[A-Za-z0-9])?))*$",
    ]

    private func expect(_ ours: ParameterDefinition, within theirs: JSONObject, _ name: String) {
        let type = theirs["type"]?.string
        if ours.required == false { #expect(theirs["optional"] == true, "\(name) is required") }
        switch ours.form {
        case .boolean: #expect(type == "boolean", "\(name)")
        case .integer(let bounds):
            #expect(type == "integer", "\(name)")
            #expect(theirs["minimum"]?.integer.map { $0 <= bounds.lowerBound } ?? true, "\(name)")
            #expect(theirs["maximum"]?.integer.map { $0 >= bounds.upperBound } ?? true, "\(name)")
        case .choice(let words):
            #expect(type == "string", "\(name)")
            let known = Set((theirs["enum"]?.array ?? []).compactMap(\.string))
            #expect(known.isSuperset(of: words), "\(name)")
        case .text(let form):
            #expect(type == "string", "\(name)")
            #expect(theirs["enum"] == nil, "\(name) is one of few words")
            if let longest = theirs["maxLength"]?.integer {
                let tooLong = String(repeating: "a", count: Int(longest) + 1)
                #expect(!form.matches(tooLong), "\(name) may be too long")
            }
            guard let format = theirs["format"]?.string else { return }
            guard let pattern = Self.formats[format], let regex = try? Regex(pattern) else {
                return #expect(Bool(false), "\(name) has the format \(format), which this test does not know")
            }
            for text in TextFormTests.corpus where form.matches(text) {
                let isTaken = text.wholeMatch(of: regex) != nil
                #expect(isTaken, "\(name) would take \(JSON.string(text).text)")
            }
        case .number, .list, .object: #expect(Bool(false), "\(name) is no scalar")
        }
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

    @Test func `tasks of one node are read where PVE has them, with parameters that it knows`() throws {
        let request = try ActionRequest.sample(.readTasks, "tasks/all", ["node": "pve1", "limit": 1000])
        let call = try #require(try request.calls(onNode: nil).first)
        #expect(call.path == ["nodes", "pve1", "tasks"])
        let schema = try #require(endpoints["GET /nodes/{node}/tasks"])
        for (name, value) in call.parameters {
            let theirs = try #require(schema[name], "\(name)")
            guard case .text(let text) = value else { return #expect(Bool(false), "\(name) is a secret") }
            #expect(theirs["enum"]?.array?.contains(.string(text)) ?? true)
        }
    }
}
