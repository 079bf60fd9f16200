package import AgentModel
package import AgentPolicy
import StrictJSON
import Synchronization

/// What the operator can change while the agent runs: who may do what, and what policy asks for.
package struct Rules: Sendable {
    package var directory: Directory
    package var policy: Policy

    package init(directory: Directory = .shared, policy: Policy = Policy()) {
        self.directory = directory
        self.policy = policy
    }
}

/// Who sees which environment, and who may do what there, by the rules of the moment.
package final class AccessControl: Sendable {
    /// In the order of the configuration.
    package let managedEnvironments: [ManagedEnvironment]
    private let rules: Mutex<Rules>

    init(_ environments: [ManagedEnvironment], _ rules: Rules) {
        managedEnvironments = environments
        self.rules = Mutex(rules)
    }

    /// The rules as they are now.
    var currentRules: Rules { rules.withLock { $0 } }

    /// Puts other rules in force, from the next question on: the configuration was read again.
    package func replace(_ new: Rules) { rules.withLock { $0 = new } }

    /// The environment of that name as it is configured, for what runs by itself.
    func managedEnvironment(_ name: EnvironmentName) throws(ServiceError) -> ManagedEnvironment {
        if let managed = managedEnvironments.first(where: { $0.settings.name == name }) { return managed }
        throw unknownEnvironment(name.description, managedEnvironments)
    }

    /// The environment, for somebody who may do that there.
    ///
    /// One where they may do nothing is as unknown to them as one that does not exist.
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

    /// As ``managedEnvironment(_:_:_:)``, for a name as it came in.
    package func managedEnvironment(
        named text: String, _ right: Right, _ context: Context
    ) throws(ServiceError) -> ManagedEnvironment {
        guard let name = EnvironmentName(text) else { throw unknownEnvironment(text, visibleEnvironments(context)) }
        return try managedEnvironment(name, right, context)
    }

    /// The environments where the caller may do anything at all, in the order of the configuration.
    package func visibleEnvironments(_ context: Context) -> [ManagedEnvironment] {
        managedEnvironments.filter { managed in
            context.principal.rights.contains { context.principal.may($0, in: managed.settings.name) }
        }
    }

    /// Where the caller may do that; `nil` for everywhere.
    package func environments(_ right: Right, _ context: Context) -> Set<EnvironmentName>? {
        guard !context.principal.mayEverywhere(right) else { return nil }
        return Set(managedEnvironments.map(\.settings.name).filter { context.principal.may(right, in: $0) })
    }

    /// Those of the `wanted` environments where the caller may do that; `nil` for everywhere.
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
