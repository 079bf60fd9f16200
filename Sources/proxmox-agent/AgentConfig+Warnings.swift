import AgentModel
import AgentPolicy
import HTTPMessage
import Signatures

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
            ? environments.compactMap(withoutApprover) + policy.rules.flatMap(tooFewApprovers)
            : policy.rules.filter { $0.effect.requirement?.assurance != nil }.map { rule in
                "rule \(rule.id) asks for signed approvals, which only principals can give: what it is about cannot be applied"
            }
    }

    private func approvers(in environment: EnvironmentName, signing assurance: Assurance? = nil) -> Int {
        principals.count { holder in
            let keys = holder.principal.approvalKeys
            return holder.principal.may(.approve, in: environment)
                && (assurance == nil || keys.contains { assurance != .hardware || $0.isHardware })
        }
    }

    private func withoutApprover(_ environment: Environment) -> String? {
        let name = environment.settings.name
        guard !environment.settings.readOnly, approvers(in: name) == 0 else { return nil }
        return "no principal is an approver in \(name): what needs an approval cannot be applied there"
    }

    private func tooFewApprovers(for rule: PolicyRule) -> [String] {
        guard let requirement = rule.effect.requirement, requirement.approvals > 0 else { return [] }
        return environments.map(\.settings).filter { !policy.rules(in: [$0]).allSatisfy { $0.id != rule.id } }
            .compactMap { settings in
                let name = settings.name
                let count = approvers(in: name, signing: requirement.assurance)
                // Without any approver there is another warning.
                guard count < requirement.approvals, approvers(in: name) > 0 else { return nil }
                let needed = Requirement(
                    approvals: requirement.approvals, assurance: requirement.assurance ?? .verified)
                let keys =
                    switch requirement.assurance {
                    case .hardware: " with a security key in approval_keys"
                    case .signed: " with approval_keys"
                    case .declared, .verified, nil: ""
                    }
                return "rule \(rule.id) asks for \(needed.phrase), but \(name) has \(count) approver"
                    + "\(count == 1 ? "" : "s")\(keys): what it is about cannot be applied there"
            }
    }
}
