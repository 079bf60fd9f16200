import StrictJSON

/// A plan as lists show it: everything except the contents of its preview.
package struct PlanSummary: Sendable {
    /// The plan with the outline of its preview, and without secrets.
    package let plan: Plan
    /// How many calls and changes its preview has.
    package let calls: Int
    package let changes: Int

    package init(_ plan: Plan) {
        // A plan may reach hundreds of subjects. Only those that a rule matched are kept.
        var decision = plan.decision
        decision.subjects.removeAll { $0.role != .target && $0.rules.isEmpty }
        self.init(plan.outline(decision), calls: plan.preview.calls.count, changes: plan.preview.changes.count)
    }

    /// A summary from a store.
    package init(_ outline: Plan, calls: Int, changes: Int) {
        plan = outline
        self.calls = calls
        self.changes = changes
    }
}

extension Plan {
    /// The same plan with a preview that has only the target's name and the blocks. Of a read or a dry run, only this
    /// is kept.
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
    /// The same operation without the parts that can be large: PVE's answer, the end of the task's log, the changed
    /// fields.
    package var outline: Operation {
        var outline = self
        outline.data = nil
        outline.logTail = []
        outline.keptLog = []
        outline.moved = []
        return outline
    }
}
