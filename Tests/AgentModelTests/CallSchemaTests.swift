import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

/// Holds every call that every action can make against PVE's own description of its API, where that is at hand.
@Suite(.enabled(if: Reference.has(Reference.schema), "PVE's schema is not at hand"))
struct CallSchemaTests {
    private let schema: PVESchema

    init() throws { schema = try PVESchema() }

    private static let place = CallContext(
        node: NodeName("pve1"), config: ["tags": "old;web", "digest": "d1"],
        guests: [101, 102].compactMap { VMID(rawValue: $0).map { GuestRef(kind: .vm, id: $0) } })

    /// Each variant alone, with each parameter that it takes at each of its samples, and with all of them together.
    private func requests(of action: Action) -> [ActionRequest] {
        Variant.all(of: action).flatMap { variant -> [ActionRequest] in
            var found = [try? variant.request()].compactMap(\.self)
            var together = JSONObject()
            for parameter in ActionCatalog.definition(of: action).parameters {
                let keys = parameter.count.map {
                    ["\(parameter.name.dropLast(3))0", "\(parameter.name.dropLast(3))\($0 - 1)"]
                }
                for key in keys ?? [parameter.name] {
                    for value in FormSamples.good(parameter.form) {
                        guard let request = try? variant.request([key: value]) else { continue }
                        found.append(request)
                        guard variant.params[key] == nil, together[key] == nil else { continue }
                        var more = together
                        more[key] = value
                        if (try? variant.request(more)) != nil { together = more }
                    }
                }
            }
            return found + [try? variant.request(together)].compactMap(\.self)
        }
    }

    @Test func `every call that any action can make is one that PVE takes`() throws {
        var calls = 0
        var reached: Set<String> = []
        var templates = 0
        for action in Action.allCases {
            let definition = ActionCatalog.definition(of: action)
            var used: Set<CallTemplate> = []
            for request in requests(of: action) where !request.spellsEndpoint {
                used.formUnion(request.templates)
                for call in try request.calls(in: Self.place) {
                    let flaws = schema.flaws(of: call)
                    #expect(
                        flaws.isEmpty,
                        "\(action) \(call.shownPath) \(call.shownParameters): \(flaws.joined(separator: "; "))")
                    calls += 1
                    if let name = schema.name(of: call) { reached.insert(name) }
                }
            }
            #expect(Set(definition.calls).subtracting(used).isEmpty, "\(action): not every call was made")
            templates += definition.calls.count
        }
        #expect(schema.unread.isEmpty, "formats that nothing here knows: \(schema.unread.sorted())")
        print(
            "calls: \(calls) of \(Action.allCases.count) actions, \(templates) templates, "
                + "\(reached.count) of PVE's \(schema.endpoints.count) endpoints; all valid")
    }

    @Test func `what a call is refused for is found`() {
        func call(_ method: CallMethod, _ path: [String], _ parameters: [(String, String)]) -> Call {
            Call(method, path, parameters.map { ($0.0, .text($0.1)) })
        }
        let guest = ["nodes", "pve1", "qemu", "101"]
        let bad: [Call] = [
            call(.post, guest + ["status", "explode"], []), call(.get, guest + ["status", "start"], []),
            call(.post, guest + ["status", "start"], [("colour", "red")]),
            call(.post, guest + ["status", "start"], [("timeout", "-1")]),
            call(.post, guest + ["status", "start"], [("timeout", "soon")]),
            call(.post, guest + ["status", "shutdown"], [("forceStop", "true")]),
            call(.post, guest + ["clone"], []), call(.post, guest + ["clone"], [("newid", "99")]),
            call(.post, guest + ["clone"], [("newid", "500"), ("format", "vhd")]),
            call(.post, guest + ["clone"], [("newid", "500"), ("name", "a;b")]),
            call(.post, guest + ["snapshot"], [("snapname", String(repeating: "a", count: 41))]),
            call(.put, guest + ["resize"], [("disk", "scsi31"), ("size", "1G")]),
            call(.put, guest + ["resize"], [("disk", "scsi0"), ("size", "lots")]),
            call(.post, guest + ["config"], [("net", "virtio")]),
        ]
        for call in bad { #expect(!schema.flaws(of: call).isEmpty, "\(call.shownPath) \(call.shownParameters)") }
    }

    @Test func `tasks are started where PVE says that it answers with one`() {
        for entry in ActionCatalog.all where entry.effect == .change {
            for template in entry.calls where !template.path.contains("{firewall}") {
                let kinds = template.path.contains("{kind}") ? ["qemu", "lxc"] : [""]
                for kind in kinds {
                    let path = template.path.split(separator: "{kind}").joined(separator: kind)
                    let returns = schema.endpoints["\(template.method.rawValue) \(schema.spelling(of: path))"]?.returns
                    if !template.tasks.isEmpty { #expect(returns == "string", "\(entry.action) \(path)") }
                }
            }
        }
    }

    @Test(arguments: ActionCatalog.all)
    func `the privileges that an action asks for are those that PVE asks for`(entry: ActionDefinition) {
        for template in entry.calls {
            let path = schema.spelling(of: template.path)
            guard let endpoint = schema.endpoints["\(template.method.rawValue) \(path)"],
                let (wanted, anyOf) = endpoint.permission
            else { continue }
            let own = entry.privileges.filter { schema.spelling(of: $0.path) == wanted }
            guard !own.isEmpty else { continue }
            #expect(own.contains { !Set($0.anyOf).isDisjoint(with: anyOf) }, "\(path)")
        }
    }
}
