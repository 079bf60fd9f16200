package import FoundationEssentials
package import Signatures

/// A stored plan: what it would do, the policy's decision, and its progress. Only ``standing`` ever changes.
package struct Plan: Sendable {
    package let id: RecordID
    package private(set) var request: ActionRequest
    package let requestHash: String
    package let planHash: String
    package let requester: Caller
    package let environmentIdentity: String
    package let policyVersion: String
    package let decision: Decision
    package private(set) var preview: Preview
    package let requires: Requirement
    package let createdAt: Date
    package let expiresAt: Date
    package private(set) var standing: Standing

    /// The part of a plan that changes.
    package struct Standing: Sendable, Hashable {
        package var state: PlanState
        package var approvals: [Approval]
        /// An approver's rejection, if there is one.
        package var rejection: Approval?
        /// Approvals that are void for good, because the keys that signed them were taken out.
        package var withdrawn: [Approval]
        /// The operation that claimed the plan.
        package var operationID: RecordID?
        /// What that operation passes in an emergency.
        package var breakGlass: BreakGlass?
        package var endedAt: Date?

        package init(
            state: PlanState, approvals: [Approval] = [], rejection: Approval? = nil, withdrawn: [Approval] = [],
            operationID: RecordID? = nil, breakGlass: BreakGlass? = nil, endedAt: Date? = nil
        ) {
            self.state = state
            self.approvals = approvals
            self.rejection = rejection
            self.withdrawn = withdrawn
            self.operationID = operationID
            self.breakGlass = breakGlass
            self.endedAt = endedAt
        }
    }

    /// `standing` comes from a store; `nil` for a new plan, whose decision determines its first state.
    package init(
        id: RecordID, request: ActionRequest, requestHash: String, planHash: String, requester: Caller,
        environmentIdentity: String, policyVersion: String, decision: Decision, preview: Preview,
        requires: Requirement, createdAt: Date, expiresAt: Date, standing: Standing? = nil
    ) {
        self.id = id
        self.request = request
        self.requestHash = requestHash
        self.planHash = planHash
        self.requester = requester
        self.environmentIdentity = environmentIdentity
        self.policyVersion = policyVersion
        self.decision = decision
        self.preview = preview
        self.requires = requires
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        let first: PlanState =
            !decision.allowed ? .denied : requires.approvals > 0 ? .awaitingApproval : .approved
        self.standing = standing ?? Standing(state: first)
        if standing == nil, first.isEnded { end(at: createdAt) }
    }

    package var state: PlanState { standing.state }
    package var approvals: [Approval] { standing.approvals }
    package var operationID: RecordID? { standing.operationID }
    package var breakGlass: BreakGlass? { standing.breakGlass }
    package var endedAt: Date? { standing.endedAt }

    /// What the plan reaches besides its target, as far as that can be a target itself, each once: the guests of a bulk
    /// action, the guest of a firewall, the nodes and storages that parameters name.
    package var reachedTargets: [Target] {
        let names = request.target.subjectAliases + preview.reach.subjects.map(\.name)
        return names.compactMap { Target($0) }.reduce(into: []) { found, target in
            if target != request.target, !found.contains(target) { found.append(target) }
        }
    }

    /// Changes the state. Returns false, and changes nothing, if the table does not allow the transition.
    package mutating func move(to next: PlanState, at now: Date) -> Bool {
        guard state.successors.contains(next) else { return false }
        standing.state = next
        if next.isEnded { end(at: now) }
        return true
    }

    /// Adds an approval, and moves to `approved` if they are enough. Returns false, and changes nothing, if the plan
    /// does not await approval or this approver has approved already.
    package mutating func approve(_ approval: Approval, isEnough: ([Approval]) -> Bool) -> Bool {
        guard state == .awaitingApproval, !approvals.contains(where: { $0.isBy(approval.approver) }) else {
            return false
        }
        standing.approvals.append(approval)
        return !isEnough(approvals) || move(to: .approved, at: approval.at)
    }

    /// Ends the plan by an approver's rejection. Returns false, and changes nothing, if the state table does not allow
    /// it.
    package mutating func reject(_ rejection: Approval) -> Bool {
        guard move(to: .rejected, at: rejection.at) else { return false }
        standing.rejection = rejection
        return true
    }

    /// Removes the approvals that no longer count. An approved plan then awaits approval again.
    package mutating func withdraw(at now: Date, keeping counts: (Approval) -> Bool) {
        standing.approvals.removeAll { !counts($0) }
        if state == .approved { _ = move(to: .awaitingApproval, at: now) }
    }

    /// Makes the signed approvals whose keys `isGone` names void for good: their signatures never count again. An
    /// approved plan then awaits approval again if the rest are not enough, unless an operation has claimed it, which
    /// judges by itself. Returns false, and changes nothing, if there are none, or the plan waits for nothing.
    package mutating func withdrawSignatures(
        at now: Date, where isGone: (Approval) -> Bool, isEnough: ([Approval]) -> Bool
    ) -> Bool {
        let gone = approvals.filter { $0.signed != nil && isGone($0) }
        guard state.isLive, !gone.isEmpty else { return false }
        standing.withdrawn += gone
        standing.approvals.removeAll(where: gone.contains)
        if state == .approved, operationID == nil, !isEnough(approvals) { _ = move(to: .awaitingApproval, at: now) }
        return true
    }

    /// Whether that is the signature of an approval that is void, or another one of the same text by the same key.
    package func isWithdrawn(_ signed: SignedApproval) -> Bool {
        standing.withdrawn.contains { $0.signed.map { $0.key == signed.key && $0.text == signed.text } ?? false }
    }

    /// The form for a caller whom these rules forbid to read the settings of what the plan reaches.
    package func hidingSettings(by rules: [String]) -> Plan {
        var decision = decision
        decision.subjects = decision.subjects.map(\.hidingSettings)
        if let check = decision.rules.first(where: { $0.hasPrefix("check:") }), !decision.allowed {
            decision.reason = "\(check) blocks it; \(rules.joined(separator: ", ")) hides the details"
        } else if decision.rules.contains("base:touches-rules") || !decision.allowed {
            // The time of a backup may stand behind the first words.
            let words = decision.reason.prefix { $0 != ";" }
            decision.reason =
                decision.rules.contains("base:touches-rules")
                ? "\(rules.joined(separator: ", ")) hides the details of base:touches-rules" : String(words)
        }
        return Plan(
            id: id, request: request, requestHash: requestHash, planHash: planHash, requester: requester,
            environmentIdentity: environmentIdentity, policyVersion: policyVersion, decision: decision,
            preview: preview.hidingSettings(by: rules), requires: requires, createdAt: createdAt, expiresAt: expiresAt,
            standing: standing)
    }

    /// Binds the plan to the operation that carries it out, and that passes what `glass` says.
    package mutating func claim(by operation: RecordID, passing glass: BreakGlass? = nil) {
        standing.operationID = operation
        standing.breakGlass = glass ?? standing.breakGlass
    }

    /// Releases the plan from its operation, so that it can be applied again.
    package mutating func release() {
        standing.operationID = nil
        standing.breakGlass = nil
    }

    private mutating func end(at now: Date) {
        standing.endedAt = now
        request.eraseSecrets()
        preview.calls = preview.calls.map { $0.withoutSecrets() }
    }
}
