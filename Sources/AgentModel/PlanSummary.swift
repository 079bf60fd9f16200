import StrictJSON

/// A plan as lists show it: all but what its preview holds.
package struct PlanSummary: Sendable {
    /// With the outline of its preview, and without secrets.
    package let plan: Plan
    /// How many calls and changes its preview has.
    package let calls: Int
    package let changes: Int

    package init(_ plan: Plan) {
        // Of what it reaches only what a rule matched: there may be hundreds.
        var decision = plan.decision
        decision.subjects.removeAll { $0.role != .target && $0.rules.isEmpty }
        self.init(plan.outline(decision), calls: plan.preview.calls.count, changes: plan.preview.changes.count)
    }

    /// As a store has it.
    package init(_ outline: Plan, calls: Int, changes: Int) {
        plan = outline
        self.calls = calls
        self.changes = changes
    }
}

extension Plan {
    /// The same plan, whose preview only tells what the target is called and what stands in the way. All that is kept of
    /// a read or a dry run.
    package var outline: Plan { outline(decision) }

    fileprivate func outline(_ decision: Decision) -> Plan {
        Plan(
            id: id, request: request, requestHash: requestHash, planHash: planHash, requester: requester,
            environmentIdentity: environmentIdentity, policyVersion: policyVersion, decision: decision,
            preview: preview.outline, requires: requires, createdAt: createdAt, expiresAt: expiresAt,
            standing: standing)
    }
}

extension Preview {
    fileprivate var outline: Preview {
        var shown = JSONObject()
        for key in ["node", "kind", "name"] { shown[key] = observed.shown[key] }
        return Preview(
            observed: Observed(shown: shown), noop: noop, irreversible: irreversible,
            checks: checks.filter { $0.level == .block }, reach: Reach(subjects: Array(reach.subjects.prefix(1))))
    }
}

extension Operation {
    /// The same operation without what can be large: PVE's answer, the end of the task's log, what has moved.
    package var outline: Operation {
        var outline = self
        outline.data = nil
        outline.logTail = []
        outline.keptLog = []
        outline.moved = []
        return outline
    }
}
