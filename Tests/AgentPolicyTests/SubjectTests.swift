import AgentModel
import AgentPolicy
import AgentTestSupport
import StrictJSON
import Testing

/// A rule about a guest holds for every parameter of every action that can name the guest or a volume of its.
struct SubjectTests {
    /// The guests that planning takes from a request, before it looks at PVE.
    static func guests(_ request: ActionRequest) throws -> Set<String> {
        let calls = try request.calls(onNode: NodeName("pve1"))
        let numbers =
            request.namedGuests.map(\.id) + calls.flatMap(\.guestIDs) + calls.flatMap(\.ownerIDs)
        return Set(numbers.map(\.description))
    }

    @Test func `no parameter that can name a guest or a volume is forgotten`() throws {
        var tried: Set<String> = []
        for request in Naming.requests {
            #expect(try Self.guests(request).contains("101"), "\(request.action) \(JSON.object(request.params).text)")
            tried.insert(request.action.rawValue)
        }
        #expect(Naming.requests.count > 1000, "\(Naming.requests.count)")
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
        for name in Naming.silent {
            #expect(known.contains(name), "\(name)")
            #expect(ParameterDefinition.namesNothing(name.hasSuffix("[n]") ? "\(name.dropLast(3))0" : name), "\(name)")
        }
        let silenced = known.filter {
            ParameterDefinition.namesNothing($0.hasSuffix("[n]") ? "\($0.dropLast(3))0" : $0)
        }
        #expect(silenced == Naming.silent)
    }

    // MARK: Rules and subjects

    private static func rule(
        _ id: String = "r", _ effect: PolicyRule.Word = .deny, approvals: Int = 1, targets: [String]? = nil,
        tags: Set<String>? = nil
    ) -> PolicyRule {
        var scope = PolicyRule.Scope()
        scope.targets = targets.map { Set($0.compactMap { TargetPattern($0) }) }
        scope.tags = tags
        return PolicyRule(id: id, effect: effect, approvals: approvals, scope: scope)
    }

    private static let settings = EnvironmentSettings(
        name: .sample, baseURL: "https://pve.lan:8006", tokenID: "agent@pve!home", trust: "system")

    private func decide(_ request: ActionRequest, _ rules: PolicyRule..., reach: Reach) -> Decision {
        Policy(rules: rules).evaluate(request, by: .labelled("alice"), in: Self.settings, reach: reach)
    }

    @Test(arguments: Subject.Role.allCases)
    func `a subject in any role is judged by its names and its tags`(role: Subject.Role) throws {
        let request = try MinimalRequest.request(Action(rawValue: "bulk_start") ?? .startVM)
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
        let request = try MinimalRequest.request(.startVM)
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

    @Test func `a decision holds what rules looked at, but not for a caller from whom a rule hides it`() throws {
        let subject = Subject(
            .target, "vm/101", aliases: ["pool/prod"], tags: ["web"], guestNames: ["db"], node: NodeName("pve1"))
        let request = try ActionRequest.sample(.startVM, "vm/101")
        let decision = decide(request, Self.rule("one", .deny, tags: ["web"]), reach: Reach(subjects: [subject]))
        #expect(decision.subjects == [JudgedSubject(subject, rules: ["rule:one"])])
        let hidden = try Plan.whole(secret: "").hidingSettings(by: ["rule:a"]).decision.subjects
        #expect(
            hidden == [JudgedSubject(.target, "vm/101", rules: ["rule:a"]), JudgedSubject(.member, "vm/7")])
    }
}
