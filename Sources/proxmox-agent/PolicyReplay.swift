import AgentAudit
import AgentModel
import AgentPolicy
import FoundationEssentials
import StrictJSON

/// Decides the plans of an audit log again, by another policy.
struct PolicyReplay {
    /// A plan that would be decided differently, on one line.
    struct Difference: Sendable {
        let seq: UInt64
        let line: String
    }

    private let policy: Policy
    private let file: String
    private let surroundings: PolicySurroundings?
    private var found: [Difference] = []
    private var planned: Set<UInt64> = []
    private var old: Set<UInt64> = []
    private var unread: Set<UInt64> = []
    /// Records that say that what they are about did not happen.
    private var voided: Set<UInt64> = []

    init(_ policy: Policy, of file: String, _ surroundings: PolicySurroundings?) {
        self.policy = policy
        self.file = file
        self.surroundings = surroundings
    }

    var differences: [Difference] { found.filter { !voided.contains($0.seq) } }

    mutating func add(_ record: AuditRecord) {
        if record.event.kind == .void, let seq = record.event.result?["voids"]?.integer {
            voided.insert(UInt64(clamping: seq))
        }
        guard record.event.kind == .plan else { return }
        planned.insert(record.seq)
        guard let plan = RecordedPlan(record, surroundings) else {
            unread.insert(record.seq)
            return
        }
        if plan.isOld { old.insert(record.seq) }
        let decision = policy.evaluate(plan.input, at: record.time.date)
        let now = PolicyOutcome(decision)
        let was = plan.outcome(like: now)
        guard was != now else { return }
        let withRisk = was.isAllowed && now.isAllowed && was.risk != now.risk
        func rules(_ ids: [String]) -> String { ids.isEmpty ? "no rule" : ids.joined(separator: ", ") }
        found.append(
            Difference(
                seq: record.seq,
                line: "\(record.time) #\(record.seq) \(record.event.actor) \(plan.input.request.action) "
                    + "\(plan.input.request.target) in \(plan.input.request.environment): "
                    + "\(was.text(withRisk: withRisk)) → \(now.text(withRisk: withRisk)) "
                    + "(\(rules(plan.rules)) → \(rules(decision.configuredRules)))"))
    }

    /// The differences, and what there was to compare.
    var lines: [String] {
        func count(_ records: Set<UInt64>) -> Int { records.subtracting(voided).count }
        func text(_ number: Int, _ one: String, _ many: String) -> String { "\(number) \(number == 1 ? one : many)" }
        let read = count(planned) - count(unread)
        let different = differences.count
        var lines = differences.map(\.line)
        lines.append(
            "\(text(read, "plan", "plans")) decided again by \(file) (\(policy.version)): "
                + "\(different == 0 ? "none" : "\(different)") would be decided differently")
        if count(old) > 0 {
            lines.append(
                "\(text(count(old), "record is", "records are")) from before subjects' tags were recorded: decided "
                    + "again by names alone")
        }
        if count(unread) > 0 {
            lines.append(
                "\(text(count(unread), "record names", "records name")) an action or a target that this version does "
                    + "not know")
        }
        if surroundings == nil {
            lines.append("without --config requesters have no roles and environments no labels")
        }
        return lines
    }
}

/// A plan, as its audit record tells it.
struct RecordedPlan {
    let input: PolicyInput
    /// The configured rules that took part in the decision.
    let rules: [String]
    /// Whether the record is from before records held what rules look at.
    let isOld: Bool
    private let decision: JSON

    /// `nil` if it names something that is not known any more.
    init?(_ record: AuditRecord, _ surroundings: PolicySurroundings?) {
        guard let form = record.event.request, let decision = record.event.decision,
            let name = form["environment"]?.string.flatMap(EnvironmentName.init),
            let action = form["action"]?.string.flatMap(Action.init(rawValue:)),
            let target = form["target"]?.string.flatMap(Target.init), let params = form["params"]?.object
        else { return nil }
        self.decision = decision
        let names = (decision["rules"]?.array ?? []).compactMap(\.string)
        rules = names.filter { $0.hasPrefix("rule:") }.map { String($0.dropFirst("rule:".count)) }
        isOld = decision["checks"] == nil
        let request = ActionRequest(
            environment: name, action: action, target: target, params: params,
            secrets: Dictionary(Self.secrets(.object(params)).map { ($0, Secret("")) }) { first, _ in first },
            dryRun: form["dry_run"]?.bool ?? false,
            notes: .init(reason: form["reason"]?.string, approvalTicket: form["approval_ticket"]?.string))
        let known = surroundings?.environments.first { $0.name == name }
        let settings = EnvironmentSettings(
            name: name, baseURL: "", tokenID: "", trust: "", readOnly: names.contains("env:read_only"),
            labels: known?.labels ?? [:])
        let caller = Caller(principal: record.event.principal, label: record.event.label)
        input = PolicyInput(
            request, by: caller, roles: surroundings?.directory.roles(of: caller.principal) ?? [], in: settings,
            reach: Self.reach(of: request, decision, names), checks: Self.checks(decision, names))
    }

    private static func reach(of request: ActionRequest, _ decision: JSON, _ rules: [String]) -> Reach {
        func texts(_ value: JSON?) -> [String] { (value?.array ?? []).compactMap(\.string) }
        let subjects = (decision["subjects"]?.array ?? []).compactMap { form -> Subject? in
            guard let role = form["role"]?.string.flatMap(Subject.Role.init), let name = form["name"]?.string else {
                return nil
            }
            var subject = Subject(
                role, name, aliases: texts(form["also"]), tags: Set(texts(form["tags"])),
                guestNames: texts(form["guest_names"]), node: form["node"]?.string.flatMap(NodeName.init))
            if name == request.target.description {
                subject.aliases += request.target.subjectAliases.filter { !subject.aliases.contains($0) }
            }
            return subject
        }
        let live = request.definition.escalations.filter { $0.live != nil && rules.contains("base:\($0.id)") }
        return Reach(
            subjects: subjects.isEmpty ? [Subject(request.target)] : subjects, liveEscalations: live.map(\.id),
            losses: texts(decision["losses"]), gains: texts(decision["gains"]))
    }

    /// Those that warn or block; of an older record those that blocked.
    private static func checks(_ decision: JSON, _ rules: [String]) -> [Check] {
        guard let checks = decision["checks"]?.array else {
            return rules.filter { $0.hasPrefix("check:") }.map { Check(String($0.dropFirst(6)), .block, "") }
        }
        return checks.compactMap { form in
            guard let id = form["id"]?.string, let level = form["level"]?.string.flatMap(Check.Level.init) else {
                return nil
            }
            return Check(id, level, "")
        }
    }

    /// The places of values that records hide.
    private static func secrets(_ value: JSON, at path: JSONPath = JSONPath()) -> [JSONPath] {
        switch value {
        case .string(let text): text == Secret("").description ? [path] : []
        case .object(let object): object.members.flatMap { secrets($0.value, at: path.key($0.key)) }
        case .array(let elements): elements.enumerated().flatMap { secrets($1, at: path.index($0)) }
        case .null, .bool, .integer, .number: []
        }
    }

    /// What the decision came to. What older records do not tell is taken to be like `now`.
    func outcome(like now: PolicyOutcome) -> PolicyOutcome {
        let conditions = (decision["clauses"]?.array ?? []).compactMap(\.string).map { clause in
            let phrase = clause.firstRange(of: ": ").map { String(clause[$0.upperBound...]) } ?? clause
            return PolicyOutcome.Condition(word: phrase, detail: phrase)
        }
        let given = decision["approvals"]?.integer.map { Int(clamping: $0) }
        let approvals = given ?? (isOld && now.approvals > 0 ? now.approvals : 1)
        return PolicyOutcome(
            isAllowed: decision["allowed"]?.bool ?? false,
            approvals: decision["requires_approval"]?.bool == true ? approvals : 0,
            assurance: decision["assurance"]?.string.flatMap(Assurance.init),
            risk: decision["risk_level"]?.string.flatMap(Risk.init), conditions: conditions)
    }
}
