import AgentModel
import StrictJSON

/// Requests that stand for all of their kind.
enum PolicySamples {
    /// The least that the action can be asked for, on each form of target that it takes. The targets have names and
    /// numbers that rules do not single out.
    static func requests(_ definition: ActionDefinition) -> [ActionRequest] {
        definition.targets.compactMap { form in
            guard let name = EnvironmentName("any"), let target = Target(plainName(form)) else { return nil }
            return ActionRequest(
                environment: name, action: definition.action, target: target,
                params: definition.examples.first ?? [:], secrets: [:], dryRun: false, notes: .init())
        }
    }

    private static func plainName(_ form: TargetForm) -> String {
        switch form {
        case .vm, .container, .firewallVM, .firewallContainer: String(form.rawValue.dropLast(2)) + "999999999"
        case .node, .firewallNode: String(form.rawValue.dropLast(1)) + "other"
        case .storage, .pool: String(form.rawValue.dropLast(1)) + "other"
        case .nodesAll, .cluster, .inventoryAll, .inventoryRunning, .tasksAll, .task, .firewallCluster: form.example
        }
    }

    static let requester = Caller(principal: "-", label: nil)

    /// A name that fits a pattern.
    static func name(fitting pattern: String) -> String {
        pattern == "*" ? "any" : String(pattern.map { "*?".contains($0) ? "x" : $0 })
    }

    static func environment(_ name: String, labels: [String: String] = [:]) -> EnvironmentSettings? {
        EnvironmentName(name).map {
            EnvironmentSettings(
                name: $0, baseURL: "https://policy.invalid:8006", tokenID: "agent@pve!policy", trust: "system",
                labels: labels)
        }
    }

    /// An environment that no rule names.
    static let anyEnvironment = environment("any")

    /// What stands for the environments that policies name, where no configuration tells them: each by name, one with
    /// each label, and one that has neither.
    static func environments(of policies: [Policy]) -> [EnvironmentSettings] {
        let conditions = policies.flatMap(\.rules).flatMap(\.match.conditions)
        let names = conditions.reduce(into: Set<String>()) { names, condition in
            if case .environments(let set) = condition { names.formUnion(set.spelled.map(name)) }
        }
        let labels = conditions.reduce(into: Set<[String]>()) { labels, condition in
            if case .label(let key, let set) = condition {
                labels.formUnion(set.spelled.map { [key, name(fitting: $0)] })
            }
        }
        return names.subtracting(["any"]).sorted().compactMap { environment($0) } + [anyEnvironment].compactMap(\.self)
            + labels.sorted { $0.joined(separator: "=") < $1.joined(separator: "=") }.compactMap { label in
                environment(placeName("any.\(label[0])-\(label[1])"), labels: [label[0]: label[1]])
            }
    }

    /// The text with a `-` in place of what names of environments cannot have.
    private static func placeName(_ text: String) -> String {
        String(text.prefix(64).map { TextForm.environment.matches("a\($0)") ? $0 : "-" })
    }
}

/// A tag or a pool that the guest of a request has, or neither.
enum SampleMark: Hashable {
    case none
    case tag(String)
    case pool(String)

    var text: String {
        switch self {
        case .none: "with neither tag nor pool"
        case .tag(let tag): "tagged \(tag)"
        case .pool(let pool): "in pool \(pool)"
        }
    }

    /// Those that the policies name, and none.
    static func all(of policies: [Policy]) -> [SampleMark] {
        let conditions = policies.flatMap(\.rules).flatMap(\.match.conditions)
        var (tags, pools) = (Set<String>(), Set<String>())
        for condition in conditions {
            switch condition {
            case .tags(let names): tags.formUnion(names.spelled.map(PolicySamples.name))
            case .pools(let names): pools.formUnion(names.spelled.map(PolicySamples.name))
            case .targets(let patterns):
                for case .pool(let pool)? in patterns.map({ Target($0.description) }) { pools.insert(pool.description) }
            default: break
            }
        }
        return [.none] + tags.sorted().map(SampleMark.tag) + pools.sorted().map(SampleMark.pool)
    }

    /// What the request reaches; `nil` if its target cannot have the mark.
    func reach(of request: ActionRequest) -> Reach? {
        var subject = Subject(request.target)
        switch self {
        case .none: break
        case .tag(let tag):
            guard request.target.guest != nil else { return nil }
            subject.tags = [tag]
        case .pool(let pool):
            guard request.target.guest != nil, let name = PoolName(pool) else { return nil }
            subject.aliases += name.subjectNames
        }
        return Reach(subjects: [subject])
    }
}
