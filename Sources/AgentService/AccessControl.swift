package import AgentModel
package import AgentPolicy
import FoundationEssentials
import Signatures
import StrictJSON
import Synchronization

/// What the operator can change while the agent runs: who may do what, and what policy requires.
package struct Rules: Sendable {
    package var directory: Directory
    package var policy: Policy

    package init(directory: Directory = .shared, policy: Policy = Policy()) {
        self.directory = directory
        self.policy = policy
    }

    /// The same where environments have the labels that they were started with.
    fileprivate func knowing(_ environments: [ManagedEnvironment]) -> Rules {
        let labels = environments.map { ($0.settings.name, $0.settings.labels) }
        return Rules(
            directory: directory, policy: policy.knowing(labels: Dictionary(labels) { first, _ in first }))
    }

    /// What policy judges, with the roles that the requester has now.
    func input(
        _ request: ActionRequest, by requester: Caller, in settings: EnvironmentSettings, reach: Reach?,
        checks: [Check] = []
    ) -> PolicyInput {
        let roles = directory.principal(of: requester)?.roles ?? []
        return PolicyInput(request, by: requester, roles: roles, in: settings, reach: reach, checks: checks)
    }

    /// What policy judges of a stored plan, by what planning found.
    func input(_ plan: Plan, in settings: EnvironmentSettings) -> PolicyInput {
        input(
            plan.request, by: plan.requester, in: settings, reach: plan.preview.reach, checks: plan.preview.checks)
    }

    /// What policy decides of a stored plan, by what planning found.
    func decide(_ plan: Plan, in settings: EnvironmentSettings, at now: Date) -> Decision {
        policy.evaluate(input(plan, in: settings), at: now)
    }
}

/// Answers which environments a caller sees, and what they may do there, by the current rules.
package final class AccessControl: Sendable {
    /// In the order of the configuration.
    package let managedEnvironments: [ManagedEnvironment]
    private let rules: Mutex<Rules>

    init(_ environments: [ManagedEnvironment], _ rules: Rules) {
        managedEnvironments = environments
        self.rules = Mutex(rules.knowing(environments))
    }

    /// The current rules.
    var currentRules: Rules { rules.withLock { $0 } }

    /// Replaces the rules, for example after the configuration was read again. Later checks use the new ones.
    package func replace(_ new: Rules) {
        let known = new.knowing(managedEnvironments)
        rules.withLock { $0 = known }
    }

    /// The approvals that the plan needs: never fewer or weaker ones than it was shown to require, and more or stronger
    /// ones if the decision by the current rules asks for them.
    func requirement(of plan: Plan, _ decision: Decision, _ settings: EnvironmentSettings) -> Requirement {
        let rules = currentRules
        return plan.requires.tightened(
            by: rules.policy.requirement(of: decision, for: plan.requester, in: settings, among: rules.directory))
    }

    /// The same, by a decision on what the plan found.
    func requirement(of plan: Plan, in settings: EnvironmentSettings, at now: Date) -> Requirement {
        requirement(of: plan, currentRules.decide(plan, in: settings, at: now), settings)
    }

    /// What the approvals lack of what is needed: the first condition that they do not meet; `nil` if they are enough.
    func lack(of approvals: [Approval], for plan: Plan, _ needed: Requirement) -> ApprovalRefusal? {
        let rules = currentRules
        if approvals.count < needed.approvals { return .missing(have: approvals.count, need: needed) }
        for clause in needed.clauses {
            let count = approvals.count {
                rules.policy.counts($0.approver, for: clause, of: plan.requester, among: rules.directory)
            }
            if count < clause.approvals { return .missingOf(clause, have: count) }
        }
        return nil
    }

    /// A hash of what all agents on one state must agree on: environments, principals and policy.
    var agreement: String {
        let rules = currentRules
        let environments = managedEnvironments.map(\.settings).sorted { $0.name < $1.name }.map { settings -> JSON in
            [
                "name": .string(settings.name.description), "identity": .string(settings.identity),
                "read_only": .bool(settings.readOnly), "declared": .bool(settings.acceptsDeclaredApprovals),
                "labels": .object(
                    settings.labels.sorted { $0.key < $1.key }.reduce(into: [:]) { $0[$1.key] = .string($1.value) }),
                "commands": .array(settings.allowedCommands.map { .array($0.map { .string($0) }) }),
                "downloads": .array(settings.allowedDownloads.map { .string($0) }),
                "prefer": settings.preferredAgent.map { .string($0) },
            ]
        }
        let principals = rules.directory.all.map { principal -> JSON in
            [
                "id": .string(principal.id),
                "roles": .array(principal.roles.map(\.rawValue).sorted().map { .string($0) }),
                "environments": (principal.environments?.sorted()).map { .array($0.map { .string($0.description) }) },
                "keys": .array(principal.approvalKeys.map { .string($0.fingerprint) }),
            ]
        }
        return PlanDigest.hash([
            "environments": .array(environments), "principals": .array(principals),
            "policy": .string(rules.policy.version),
        ])
    }

    /// The agent that should carry out what is asked for in the environment, of several on one state.
    func preferredAgent(of name: EnvironmentName) -> String? {
        managedEnvironments.first { $0.settings.name == name }?.settings.preferredAgent
    }

    /// The configured environment of that name, without a check of rights. For what the agent does by itself.
    func managedEnvironment(_ name: EnvironmentName) throws(ServiceError) -> ManagedEnvironment {
        if let managed = managedEnvironments.first(where: { $0.settings.name == name }) { return managed }
        throw unknownEnvironment(name.description, managedEnvironments)
    }

    /// Checks that an approval by `approver` brings the plan nearer to being approved: that a rule's condition on who
    /// approves takes it, or that more are needed than such conditions ask for.
    func checkHelps(_ approver: String, _ plan: Plan, _ needed: Requirement) throws(ApprovalRefusal) {
        let rules = currentRules
        guard let clause = needed.clauses.max(by: { $0.approvals < $1.approvals }),
            clause.approvals >= needed.approvals
        else { return }
        let isAsked = needed.clauses.contains {
            rules.policy.counts(approver, for: $0, of: plan.requester, among: rules.directory)
        }
        guard isAsked else { throw .notAsked(approver, clause) }
    }

    /// The environment, if the caller has the right there.
    ///
    /// An environment where the caller has no right at all is reported as unknown.
    func managedEnvironment(
        _ name: EnvironmentName, _ right: Right, _ context: Context
    ) throws(ServiceError) -> ManagedEnvironment {
        let visible = visibleEnvironments(context)
        guard let managed = visible.first(where: { $0.settings.name == name }) else {
            throw unknownEnvironment(name.description, visible)
        }
        try check(right, in: name, context)
        return managed
    }

    /// As ``managedEnvironment(_:_:_:)``, for a name as the caller wrote it.
    package func managedEnvironment(
        named text: String, _ right: Right, _ context: Context
    ) throws(ServiceError) -> ManagedEnvironment {
        guard let name = EnvironmentName(text) else { throw unknownEnvironment(text, visibleEnvironments(context)) }
        return try managedEnvironment(name, right, context)
    }

    /// The environments where the caller has any right, in the order of the configuration.
    package func visibleEnvironments(_ context: Context) -> [ManagedEnvironment] {
        managedEnvironments.filter { managed in
            context.principal.rights.contains { context.principal.may($0, in: managed.settings.name) }
        }
    }

    /// The environments where the caller has the right; `nil` for all.
    package func environments(_ right: Right, _ context: Context) -> Set<EnvironmentName>? {
        guard !context.principal.mayEverywhere(right) else { return nil }
        return Set(managedEnvironments.map(\.settings.name).filter { context.principal.may(right, in: $0) })
    }

    /// Those of the `wanted` environments where the caller has the right; `nil` for all.
    func narrowed(
        _ wanted: Set<EnvironmentName>?, to right: Right, _ context: Context
    ) -> Set<EnvironmentName>? {
        let allowed = environments(right, context)
        guard let wanted, let allowed else { return wanted ?? allowed }
        return wanted.intersection(allowed)
    }

    func check(_ right: Right, in name: EnvironmentName, _ context: Context) throws(ServiceError) {
        guard context.principal.may(right, in: name) else {
            throw ServiceError(
                .forbidden, "\(context.principal.id) may not do this in \(name): it takes \(Self.roles(for: right))")
        }
    }

    /// Throws unless the principal may pass windows, limits and freezes there; `nil` is one that is not known any more.
    func checkMayBreakGlass(_ principal: Principal?, in name: EnvironmentName) throws(ServiceError) {
        guard principal?.may(.breakGlass, in: name) == true else {
            throw ServiceError(
                .forbidden,
                "\(principal?.id ?? "the requester") may not break the glass in \(name): it takes "
                    + Self.roles(for: .breakGlass))
        }
    }

    /// `the role operator`, `the role operator or approver`
    package static func roles(for right: Right) -> String {
        let roles = Role.allCases.filter { $0.rights.contains(right) }.map(\.rawValue)
        return "the role " + roles.joined(separator: " or ")
    }

    private func unknownEnvironment(_ text: String, _ visible: [ManagedEnvironment]) -> ServiceError {
        let known = visible.map(\.settings.name.description).joined(separator: ", ")
        return ServiceError(
            .unknownEnvironment,
            "there is no environment \(JSON.string(text).shown); there \(known.isEmpty ? "is none" : "are: \(known)")")
    }
}
