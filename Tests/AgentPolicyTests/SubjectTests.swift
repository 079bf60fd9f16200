import AgentModel
import AgentPolicy
import AgentTestSupport
import StrictJSON
import Testing

/// A rule about a guest holds for every parameter of every action that can name the guest or a volume of its.
struct SubjectTests {
    /// Parameters whose texts name nothing at PVE; a new one is not among them unless somebody puts it here.
    static let silent: Set<String> = [
        "description", "comment", "notes-template", "name", "hostname", "snapname", "url", "nameserver",
        "searchdomain", "cidr", "source", "dest", "tags", "schedule", "ipconfig[n]", "net[n]", "usb[n]", "server",
        "portal", "monhost", "export", "command",
    ]
    /// Those of our own that reach no call.
    static let unsent: Set<String> = [
        "node", "op", "endpoint", "method", "object", "mode", "serial", "path", "safety_snapshot",
    ]

    static let spellings = [
        "ceph:vm-101-disk-0", "ceph:base-900-disk-0/vm-101-disk-0",
        "local:900/base-900-disk-0.qcow2/101/vm-101-disk-0.qcow2",
        "local:101/x.qcow2", "ceph:vm-101-state-before", "local:backup/vzdump-qemu-101-2026_11_20-03_00_01.vma.zst",
        "pbs:backup/vm/101/2026-11-20T03:00:01Z", "/dev/pve/vm-101-disk-0", "/dev/mapper/pve-vm--101--disk--0",
        "/var/lib/vz/images/101/vm-101-disk-0.raw", "file=ceph:vm-101-disk-0,discard=on",
        "ceph:8,import-from=ceph:vm-101-disk-0",
    ]

    /// A value of the form that names vm/101, where the form can take one.
    private static func values(_ form: ParameterDefinition.Form) -> [JSON] {
        switch form {
        case .text(.resource): ["vm:101"]
        case .text(let text): spellings.filter(text.matches).map { .string($0) }
        case .integer(let bounds) where bounds == 100...999_999_999: [101]
        case .list(let element, _): values(element).map { [$0] }
        case .object: spellings.map { ["path": .string($0)] } + [["vmid": 101], ["vms": "100,101"]]
        case .boolean, .integer, .number, .choice: []
        }
    }

    /// Every request that names vm/101 by one parameter, and not by its target.
    static let requests: [ActionRequest] = Action.allCases.flatMap { action -> [ActionRequest] in
        let definition = ActionCatalog.definition(of: action)
        return Variant.all(of: action).flatMap { variant -> [ActionRequest] in
            definition.parameters.flatMap { parameter -> [ActionRequest] in
                guard !silent.contains(parameter.name), !unsent.contains(parameter.name) else { return [] }
                let key = parameter.count == nil ? parameter.name : "\(parameter.name.dropLast(3))3"
                return values(parameter.form).compactMap { value in
                    var params = variant.params
                    params[key] = value
                    let target =
                        variant.target.hasSuffix("/101") ? variant.target.dropLast(3) + "555" : variant.target[...]
                    guard let request = try? ActionRequest.sample(action, String(target), .object(params)),
                        ParameterDefinition.isSecret(key) == false
                    else { return nil }
                    return request
                }
            }
        }
    }

    /// The guests that planning takes from a request, before it looks at PVE.
    static func guests(_ request: ActionRequest) throws -> Set<String> {
        let calls = try request.calls(onNode: NodeName("pve1"))
        let numbers =
            request.namedGuests.map(\.id) + calls.flatMap(\.guestIDs) + calls.flatMap(\.ownerIDs)
        return Set(numbers.map(\.description))
    }

    @Test func `no parameter that can name a guest or a volume is forgotten`() throws {
        var tried: Set<String> = []
        for request in Self.requests {
            #expect(try Self.guests(request).contains("101"), "\(request.action) \(JSON.object(request.params).text)")
            tried.insert(request.action.rawValue)
        }
        #expect(Self.requests.count > 1000, "\(Self.requests.count)")
        for action in [
            "create_vm", "create_container", "configure_vm", "attach_disk", "restore_backup", "delete_volume",
            "bulk_start",
            "pool_edit", "ha_edit", "backup_job_edit", "prune_backups", "storage_edit", "firewall_edit", "clone_vm",
            "read_storage_content", "read_backups",
        ] {
            #expect(tried.contains(action), "\(action)")
        }
    }

    @Test func `what is called silent is known to the catalogue and named nowhere else`() {
        let known = Set(ActionCatalog.all.flatMap(\.parameters).map(\.name))
        for name in Self.silent {
            #expect(known.contains(name), "\(name)")
            #expect(ParameterDefinition.namesNothing(name.hasSuffix("[n]") ? "\(name.dropLast(3))0" : name), "\(name)")
        }
        let silenced = known.filter {
            ParameterDefinition.namesNothing($0.hasSuffix("[n]") ? "\($0.dropLast(3))0" : $0)
        }
        #expect(silenced == Self.silent)
    }

    // MARK: Rules and subjects

    private static func rule(
        _ id: String = "r", _ effect: PolicyRule.Effect = .deny, approvals: Int = 1, targets: [String]? = nil,
        tags: Set<String>? = nil
    ) -> PolicyRule {
        var scope = PolicyRule.Scope()
        scope.targets = targets.map { Set($0.compactMap { TargetPattern($0) }) }
        scope.tags = tags
        return PolicyRule(id: id, effect: effect, approvals: approvals, scope: scope)
    }

    private static let facts = EnvironmentFacts(
        name: .sample, baseURL: "https://pve.lan:8006", tokenID: "agent@pve!home", trust: "system")

    private func decide(_ request: ActionRequest, _ rules: PolicyRule..., reach: Reach) -> Decision {
        Policy(rules: rules).evaluate(request, by: .labelled("alice"), in: Self.facts, reach: reach)
    }

    @Test(arguments: Subject.Role.allCases)
    func `a subject in any role is judged by its names and its tags`(role: Subject.Role) throws {
        let request = try Least.request(Action(rawValue: "bulk_start") ?? .startVM)
        let reach = Reach(subjects: [
            Subject(.target, "node/pve1"),
            Subject(role, "vm/101", aliases: ["pool/prod/web", "pool/prod"], tags: ["web"]), Subject(role, "vm/102"),
        ])
        for rule in [
            Self.rule(targets: ["vm/101"]), Self.rule(targets: ["vm/10*"], tags: ["web"]),
            Self.rule(tags: ["web", "x"]),
            Self.rule(targets: ["pool/prod"]), Self.rule(targets: ["pool/prod/web"]),
        ] {
            let decision = decide(request, rule, reach: reach)
            #expect(!decision.allowed && decision.rules.contains("rule:r"), "\(rule)")
            #expect(decision.subjects.first { $0.name == "vm/101" }?.rules == ["rule:r"])
            #expect(decision.subjects.first { $0.name == "node/pve1" }?.rules == [])
        }
        for rule in [
            Self.rule(targets: ["vm/1"]), Self.rule(targets: ["vm/102"], tags: ["web"]), Self.rule(tags: ["we"]),
            Self.rule(targets: ["pool/production"]), Self.rule(targets: [], tags: []),
        ] {
            #expect(decide(request, rule, reach: reach).allowed, "\(rule)")
        }
    }

    @Test func `the strictest rule of all subjects holds`() throws {
        let request = try Least.request(.startVM)
        let reach = Reach(subjects: [
            Subject(.target, "vm/101", tags: ["dev"]), Subject(.source, "vm/102", tags: ["prod"]),
        ])
        let decision = decide(
            request, Self.rule("one", .requireApproval, tags: ["dev"]),
            Self.rule("two", .requireApproval, approvals: 2, tags: ["prod"]), reach: reach)
        #expect(decision.allowed && decision.requiresApproval && decision.approvals == 2)
        #expect(decision.rules == ["base:start_vm", "rule:one", "rule:two"])
        #expect(decision.subjects.map(\.rules) == [["rule:one"], ["rule:two"]])
    }

    @Test func `who takes a rule's tag or pool from a guest needs an approval`() throws {
        let request = try ActionRequest.sample(Action(rawValue: "tag_vm") ?? .startVM, "vm/101", ["remove": ["web"]])
        func decision(_ losses: [String], _ rule: PolicyRule) -> Decision {
            decide(request, rule, reach: Reach(subjects: [Subject(.target, "vm/101")], losses: losses))
        }
        for (loss, rule) in [
            ("tag/web", Self.rule(tags: ["web"])), ("pool/prod", Self.rule(targets: ["pool/prod"])),
            ("pool/prod", Self.rule(targets: ["pool/*"])),
        ] {
            let guarded = decision([loss], rule)
            #expect(guarded.requiresApproval && guarded.risk == .high, "\(loss) \(rule)")
            #expect(guarded.rules.contains("base:touches-rules"))
        }
        for (loss, rule) in [
            ("tag/blue", Self.rule(tags: ["web"])), ("pool/lab", Self.rule(targets: ["pool/prod"])),
            ("pool/lab", Self.rule(targets: ["vm/9*"])),
        ] {
            #expect(!decision([loss], rule).requiresApproval, "\(loss) \(rule)")
        }
    }
}
