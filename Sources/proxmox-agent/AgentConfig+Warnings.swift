import AgentModel
import AgentPolicy
import HTTPMessage

extension AgentConfig {
    /// Warnings: what is valid, but maybe not intended; one line each. An inherited socket may have another `address`
    /// than the configured one.
    func warnings(at address: ListenAddress? = nil) -> [String] {
        callerWarnings + listenerWarnings(at: address ?? listen)
    }

    private var callerWarnings: [String] {
        if sharedToken == nil, principals.isEmpty {
            return ["\(Self.tokenVariable) is not set and there are no principals: every /v1 route answers 503"]
        }
        // With the shared token approvals are declared, and their number is not limited.
        return sharedToken == nil
            ? environments.compactMap(withoutApprover) + policy.rules.flatMap(tooFewApprovers) : []
    }

    private func approvers(in environment: EnvironmentName) -> Int {
        principals.count { $0.principal.may(.approve, in: environment) }
    }

    private func withoutApprover(_ environment: Environment) -> String? {
        let name = environment.settings.name
        guard !environment.settings.readOnly, approvers(in: name) == 0 else { return nil }
        return "no principal is an approver in \(name): what needs an approval cannot be applied there"
    }

    private func tooFewApprovers(for rule: PolicyRule) -> [String] {
        guard rule.effect == .requireApproval else { return [] }
        return environments.map(\.settings.name).filter { rule.scope.environments?.contains($0) ?? true }.compactMap {
            name in
            let count = approvers(in: name)
            guard (1..<rule.approvals).contains(count) else { return nil }
            return "rule \(rule.id) asks for \(rule.approvals) approvals, but \(name) has \(count) approver"
                + "\(count == 1 ? "" : "s"): what it is about cannot be applied there"
        }
    }
}
