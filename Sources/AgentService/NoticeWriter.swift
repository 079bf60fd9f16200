import AgentModel
import FoundationEssentials
import StrictJSON

/// Puts events into words.
struct NoticeWriter {
    /// The environments whose settings rules hide from somebody: nothing of what PVE says there leaves the agent.
    let hiding: Set<EnvironmentName>

    /// Whether anybody could be told of the event.
    static func concerns(_ event: AgentEvent) -> Bool {
        switch event.kind {
        case .operationEnded, .operationResolved, .glassBroken, .freezeSet, .freezeLifted: true
        case .planCreated, .planRefused, .planWithdrawn: isAwaiting(event)
        case .planApproved, .planRejected, .planCancelled, .planExpired, .operationQueued, .operationStarted,
            .operationProgress, .operationStopping, .glassReviewed, .policyReplaced, .environmentUp, .environmentDown:
            false
        }
    }

    /// What tells a notice from all others. That of a freeze ends with who did it.
    static func key(of notice: Notice, from event: AgentEvent, at agent: String?) -> String {
        (agent.map { "\($0)/" } ?? "") + "\(event.id ?? 0):\(notice.event.rawValue)"
            + (notice.event == .freeze ? ":\(event.actor ?? "")" : "")
    }

    /// The plan awaits approval from now on.
    private static func isAwaiting(_ event: AgentEvent) -> Bool {
        let awaiting = JSON(PlanState.awaitingApproval)
        return [.planCreated, .planRefused, .planWithdrawn].contains(event.kind)
            ? event.details["state"] == awaiting
            : event.kind == .operationEnded && event.details["plan_state"] == awaiting
    }

    /// What an event that ``concerns(_:)`` anybody tells, with what is stored about it.
    func notices(of event: AgentEvent, _ records: any StoreReader) -> [Notice] {
        let plan = event.planID.flatMap { RecordID($0, .plan) }.flatMap(records.plan)
        var notices: [Notice] = []
        if [.operationEnded, .operationResolved].contains(event.kind) {
            let operation = event.operationID.flatMap { RecordID($0, .operation) }.flatMap(records.operation)
            notices.append(ended(event, plan, operation))
        }
        if event.kind == .glassBroken { notices.append(glassBroken(event, plan)) }
        if [.freezeSet, .freezeLifted].contains(event.kind) { notices.append(freeze(event)) }
        // A plan that was decided meanwhile wants nothing any more.
        if Self.isAwaiting(event), let plan, plan.state == .awaitingApproval {
            notices.append(wanted(.approvalWanted, plan, at: event.at.date))
        }
        return notices
    }

    // MARK: Plans

    /// A plan that awaits approval.
    func wanted(_ event: Notice.Event, _ plan: Plan, at now: Date) -> Notice {
        let lead = event == .planExpiring ? "Still not approved, and expires soon" : "Approval wanted"
        let minutes = Int((max(0, min(plan.expiresAt.timeIntervalSince(now), 1e9)) / 60).rounded())
        let given = "\(plan.approvals.count) of \(plan.requires.approvals)"
        return Notice(
            event, at: now, environment: plan.request.environment, planID: plan.id, risk: plan.decision.risk,
            title: "\(lead): \(what(plan)) (\(plan.decision.risk.rawValue) risk)",
            // What the agent says comes first: where there is little room, changes of a caller's making are cut.
            facts: subject(plan)
                + [
                    Notice.Fact("Risk", "\(plan.decision.risk.rawValue): \(plan.decision.reason)"),
                    plan.preview.irreversible ? Notice.Fact("Way back", "none: this cannot be taken back") : nil,
                    Self.who("Asked by", plan.requester),
                    plan.request.reason.map { Notice.Fact("Reason", $0, .caller) },
                    plan.request.approvalTicket.map { Notice.Fact("Ticket", $0, .caller) },
                    Notice.Fact("Approvals", given),
                    plan.requires.clauses.isEmpty
                        ? nil
                        : Notice.Fact("Of them", plan.requires.clauses.map(\.phrase).joined(separator: "; ")),
                    plan.decision.window.map {
                        Notice.Fact("Window", "closed, opens at \($0.opensAt?.rfc3339 ?? "no time within 400 days")")
                    },
                    Notice.Fact("Until", "\(plan.expiresAt.rfc3339), \(minutes) min from then"),
                    Notice.Fact("Plan", plan.id.description),
                ].compactMap { $0 } + changes(of: plan))
    }

    private func what(_ plan: Plan) -> String {
        "\(plan.request.action.rawValue) \(plan.request.target) on \(plan.request.environment)"
    }

    /// Where it is, and what is done there.
    private func subject(_ plan: Plan) -> [Notice.Fact] {
        let observed = hides(plan) ? [:] : plan.preview.observed.shown
        let node = observed["node"]?.string.flatMap(NodeName.init).map { ", node \($0)" } ?? ""
        let name = observed["name"]?.string
        return [
            Notice.Fact("What", "\(plan.request.action.rawValue): \(plan.request.definition.summary)"),
            Notice.Fact("Where", "\(plan.request.target) on \(plan.request.environment)\(node)"),
            name.map { Notice.Fact("Name", $0, .guest) },
        ].compactMap { $0 }
    }

    /// The most changes that are spelled out.
    private static let shownChanges = 8

    private func changes(of plan: Plan) -> [Notice.Fact] {
        let changes = plan.preview.changes
        if plan.preview.noop { return [Notice.Fact("Changes", "none: all is as it would be afterwards")] }
        guard !changes.isEmpty else { return [] }
        guard !hides(plan) else { return [Notice.Fact("Changes", "\(changes.count) settings, hidden by rules")] }
        let rest = changes.count - Self.shownChanges
        return changes.prefix(Self.shownChanges).map { change in
            Notice.Fact("Changes", "\(change.key): \(Self.word(change.from)) → \(Self.word(change.to))", .guest)
        } + (rest > 0 ? [Notice.Fact("Changes", "and \(rest) more")] : [])
    }

    private static func word(_ value: JSON) -> String { value.isNull ? "nothing" : value.string ?? value.text }

    private func hides(_ plan: Plan) -> Bool { hiding.contains(plan.request.environment) }

    // MARK: Operations

    private func ended(_ event: AgentEvent, _ plan: Plan?, _ operation: Operation?) -> Notice {
        let environment = event.environment.flatMap(EnvironmentName.init)
        let outcome = event.details["state"]?.string.flatMap(OperationState.init)
        let what =
            plan.map(what) ?? operation.map { "\($0.action.rawValue) \($0.target) on \($0.environment)" }
            ?? "an operation on \(event.environment ?? "")"
        let words = (outcome?.rawValue ?? "ended").replacing("_", with: " ")
        let isHidden = environment.map(hiding.contains) ?? false
        let message = operation.flatMap { $0.message.isEmpty || isHidden ? nil : $0.message }
        let settled = event.kind == .operationResolved
        return Notice(
            outcome == .unknown ? .unknownOutcome : .operationEnded, outcome: outcome, at: event.at.date,
            environment: environment, planID: event.planID.flatMap { RecordID($0, .plan) },
            operationID: event.operationID.flatMap { RecordID($0, .operation) }, risk: plan?.decision.risk,
            title: outcome == .unknown ? "Outcome unknown: \(what)" : "\(what): \(words)",
            facts: (plan.map(subject) ?? [])
                + [
                    Notice.Fact("Outcome", words),
                    settled ? Self.doer("Settled by", of: event) : nil,
                    event.details["code"]?.string.map { Notice.Fact("Code", $0) },
                    message.map { Notice.Fact("Message", $0, .guest) },
                    outcome == .unknown
                        ? Notice.Fact("To do", "look at Proxmox VE what became of it, then settle the operation") : nil,
                    (plan?.requester ?? operation?.requester).map { Self.who("Asked by", $0) },
                    event.operationID.map { Notice.Fact("Operation", $0) },
                    event.planID.map { Notice.Fact("Plan", $0) },
                ].compactMap { $0 })
    }

    // MARK: Everything else

    private func glassBroken(_ event: AgentEvent, _ plan: Plan?) -> Notice {
        func passed(_ key: String, _ words: String) -> [String] {
            (event.details[key]?.array ?? []).compactMap(\.string).map { "\(words) \($0)" }
        }
        let passed =
            (passed("windows", "the change window of rule") + passed("limits", "the limit of rule")
            + passed("freezes", "freeze")).joined(separator: ", ")
        let what =
            "\(event.details["action"]?.string ?? "a change") \(event.details["target"]?.string ?? "") on "
            + (event.environment ?? "")
        return Notice(
            .breakGlass, at: event.at.date, environment: event.environment.flatMap(EnvironmentName.init),
            planID: event.planID.flatMap { RecordID($0, .plan) },
            operationID: event.operationID.flatMap { RecordID($0, .operation) },
            title: "Emergency: \(what) passed \(passed)",
            facts: [
                Self.doer("Broken by", of: event),
                event.details["reason"]?.string.map { Notice.Fact("Reason", $0, .caller) },
                Notice.Fact("Passed", passed),
                Notice.Fact("To do", "look at it, then review it: proxmox-agent review close"),
                event.operationID.map { Notice.Fact("Operation", $0) },
                event.planID.map { Notice.Fact("Plan", $0) },
            ].compactMap { $0 } + (plan.map(subject) ?? []))
    }

    private func freeze(_ event: AgentEvent) -> Notice {
        let place = event.environment ?? "everything"
        let isSet = event.kind == .freezeSet
        return Notice(
            .freeze, at: event.at.date, environment: event.environment.flatMap(EnvironmentName.init),
            title: isSet ? "Frozen: \(place); no change starts" : "No longer frozen: \(place)",
            facts: [
                Self.doer(isSet ? "Set by" : "Lifted by", of: event),
                event.details["reason"]?.string.map { Notice.Fact("Reason", $0, .caller) },
                isSet ? Notice.Fact("Until", event.details["ends_at"]?.string ?? "it is lifted") : nil,
                event.details["freeze_id"]?.string.map { Notice.Fact("Freeze", $0) },
            ].compactMap { $0 })
    }

    static func environment(_ name: EnvironmentName, _ probe: Probe, downSince: Date) -> Notice {
        guard let error = probe.error else {
            return Notice(
                .environmentDown, at: probe.at, environment: name, title: "\(name) answers again",
                facts: [Notice.Fact("Since", probe.at.rfc3339)])
        }
        return Notice(
            .environmentDown, at: probe.at, environment: name, title: "\(name) does not answer",
            facts: [Notice.Fact("Since", downSince.rfc3339), Notice.Fact("Error", error, .guest)])
    }

    static func auditFault(_ fault: String, at now: Date) -> Notice {
        Notice(
            .auditChainBroken, at: now, title: "The audit log is not what it was; no change starts",
            facts: [
                Notice.Fact("Found", fault),
                Notice.Fact("To do", "look who changed it: proxmox-agent audit verify"),
            ])
    }

    static func test(by caller: Caller, at now: Date) -> Notice {
        Notice(
            .test, at: now, title: "A test: notifications of proxmox-agent arrive here",
            facts: [who("Asked by", caller)])
    }

    /// Under the shared token callers name themselves: that is no word of the agent's.
    private static func who(_ name: String, _ caller: Caller) -> Notice.Fact {
        Notice.Fact(name, caller.actor, caller.isShared && caller.label != nil ? .caller : .agent)
    }

    private static func doer(_ name: String, of event: AgentEvent) -> Notice.Fact {
        Notice.Fact(name, event.actor ?? "", event.isLabel ? .caller : .agent)
    }
}

extension JSON {
    fileprivate init(_ state: PlanState) { self = .string(state.rawValue) }
}
