package import AgentModel
package import FoundationEssentials
package import StrictJSON

extension ActionRequest {
    /// The request that a caller would send as these fields; `environment` is `home` unless given.
    package static func sample(
        _ action: Action, _ target: String, _ params: JSON = [:], environment: String = "home", dryRun: Bool? = nil,
        reason: String? = nil, expiresAt: String? = nil
    ) throws(RequestError) -> ActionRequest {
        try ActionRequest(
            parsing: .request(
                action, target, params, environment: environment, dryRun: dryRun, reason: reason,
                expiresAt: expiresAt))
    }
}

extension JSONObject {
    /// The body of a request to plan an action.
    package static func request(
        _ action: Action, _ target: String, _ params: JSON = [:], environment: String = "home", dryRun: Bool? = nil,
        reason: String? = nil, expiresAt: String? = nil
    ) -> JSONObject {
        [
            "environment": .string(environment), "action": .string(action.rawValue), "target": .string(target),
            "params": params, "dry_run": dryRun.map { .bool($0) }, "reason": reason.map { .string($0) },
            "expires_at": expiresAt.map { .string($0) },
        ]
    }
}

extension RecordID {
    /// The same id for the same number.
    package static func sample(_ number: UInt64, _ kind: Kind = .plan) -> RecordID {
        var generator = RandomJSON.Generator(seed: number)
        return RecordID(kind, using: &generator)
    }
}

extension Caller {
    /// The holder of the shared token who calls itself so.
    package static func labelled(_ label: String) -> Caller {
        Caller(principal: "operator", label: label, isShared: true)
    }
}

extension Plan {
    /// A plan of `request` made at `createdAt`, alive for an hour.
    package static func sample(
        _ request: ActionRequest, number: UInt64 = 1, requester: Caller = .labelled("planner"), allowed: Bool = true,
        approvals: Int = 0, assurance: Assurance = .declared, createdAt: Date = .sample
    ) -> Plan {
        let digest = PlanDigest(key: .sample)
        let requestHash = digest.requestHash(request)
        let preview = Preview(calls: (try? request.calls(onNode: NodeName("pve1"))) ?? [])
        let requires = Requirement(approvals: approvals, assurance: assurance)
        let decision = Decision(
            allowed: allowed, risk: request.definition.risk, requiresApproval: approvals > 0, reason: "a sample",
            rules: ["base:\(request.action.rawValue)"])
        let expiresAt = createdAt.addingTimeInterval(3600)
        return Plan(
            id: .sample(number), request: request, requestHash: requestHash,
            planHash: digest.planHash(
                id: .sample(number), requestHash: requestHash, requester: requester, environmentIdentity: "identity",
                preview: preview, policyVersion: "base@sample", requires: requires, expiresAt: expiresAt.rfc3339),
            requester: requester, environmentIdentity: "identity", policyVersion: "base@sample", decision: decision,
            preview: preview,
            requires: requires, createdAt: createdAt, expiresAt: expiresAt)
    }
}

extension EnvironmentName {
    /// `home`, where samples are.
    package static var sample: EnvironmentName {
        guard let name = EnvironmentName("home") else { preconditionFailure("home is a name") }
        return name
    }
}

extension InstallationKey {
    /// The same key for every test of a process.
    package static let sample = InstallationKey.random()
}

extension Date {
    /// 2026-11-22T21:14:03.122Z.
    package static var sample: Date { Date(timeIntervalSince1970: 1_795_382_043.122) }
}
