import AgentAudit
package import AgentModel
import AgentPolicy
package import StrictJSON

/// What policy says to a request, and how each rule stands to it.
package struct PolicyExplanation: Sendable {
    package let decision: Decision
    package let requires: Requirement
    /// What the rules looked at; without details where a rule hides settings from the caller.
    package let subjects: [Subject]
    package let rules: [ExplainedRule]
    /// The policy's version.
    package let version: String
}

/// A rule, and whether and why it matched.
package struct ExplainedRule: Sendable {
    package let id: String
    /// Effect and conditions in words.
    package let sentence: String
    package let isMatched: Bool
    /// The subjects that it matched.
    package let subjects: [String]
    package let why: String

    fileprivate init(_ explanation: RuleExplanation, hidingBy hiding: [String]) {
        id = explanation.rule.id
        sentence = explanation.rule.description
        isMatched = explanation.isMatched
        subjects = explanation.subjects
        let isHidden = !hiding.isEmpty && explanation.reasons.contains(where: \.isAboutSubject)
        let told = explanation.reasons.filter { !isHidden || !$0.isAboutSubject }.map(\.description)
        why = (told + (isHidden ? ["the rest is hidden by \(hiding.joined(separator: ", "))"] : []))
            .joined(separator: "; ")
    }
}

extension ReadService {
    /// Says what policy would decide on a request, from the same preview as a plan is made of, and how each rule stands
    /// to it that concerns an environment that the caller sees. Stores nothing; recorded as a read.
    ///
    /// - Throws: what planning the same request throws. A denial is an answer.
    package func explain(_ body: JSONObject, _ context: Context) async throws(ServiceError) -> PolicyExplanation {
        try await audited.recordingRefusals(of: context) { (subject: inout RefusedSubject) async throws(ServiceError) in
            let request = try workflow.parse(body)
            subject.request = request
            if let fault = ports.audit.fault {
                throw ServiceError(.auditUnavailable, "the audit log cannot be written: \(fault)")
            }
            let (plan, rules) = try await decided(request, context)
            let explanation = try explanation(of: plan, by: rules, context)
            try await audited.record(
                AuditEvent(
                    .read, context, environment: request.environment, request: request.auditForm,
                    decision: plan.decision.auditForm, result: ["status": "explained"]), .soon)
            return explanation
        }
    }

    /// A plan that is not kept, and the rules that it was judged by.
    private func decided(
        _ request: ActionRequest, _ context: Context
    ) async throws(ServiceError) -> (Plan, Rules) {
        // Rules may be replaced while PVE is asked.
        for _ in 0..<3 {
            let plan = try await workflow.makePlan(request, context)
            let rules = access.currentRules
            if plan.policyVersion == rules.policy.version { return (plan, rules) }
        }
        throw ServiceError(.overloaded, "the rules were replaced several times meanwhile; ask again")
    }

    private func explanation(
        of plan: Plan, by rules: Rules, _ context: Context
    ) throws(ServiceError) -> PolicyExplanation {
        let settings = try access.managedEnvironment(plan.request.environment).settings
        // What a limit has no room for is found after the decision.
        let input = rules.input(
            plan.request, by: plan.requester, in: settings, reach: plan.preview.reach,
            checks: plan.preview.checks.filter { $0.id != "limit" })
        let hiding = rules.policy.rulesHiding(plan.preview.reach, of: plan.request, from: plan.requester)
        let shown = hiding.isEmpty ? plan : plan.hidingSettings(by: hiding)
        let found = rules.policy.explain(
            input, at: plan.createdAt, seeing: access.visibleEnvironments(context).map(\.settings))
        return PolicyExplanation(
            decision: shown.decision, requires: plan.requires, subjects: shown.preview.reach.subjects,
            rules: found.map { ExplainedRule($0, hidingBy: hiding) }, version: plan.policyVersion)
    }
}
