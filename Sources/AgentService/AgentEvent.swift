import AgentAudit
package import AgentModel
import FoundationEssentials
package import StrictJSON

/// Something that happened to a plan, an operation, a freeze, the rules or an environment, for those who watch.
///
/// Most events are what an audit record says, without what rules may hide: the number of the record is the event's id.
package struct AgentEvent: Sendable {
    package enum Kind: String, Sendable, Hashable, CaseIterable {
        case planCreated = "plan.created"
        case planApproved = "plan.approved"
        case planRejected = "plan.rejected"
        case planCancelled = "plan.cancelled"
        case planExpired = "plan.expired"
        /// A refusal put the plan into another state.
        case planRefused = "plan.refused"
        /// Approvals are void, as their keys were taken out.
        case planWithdrawn = "plan.withdrawn"
        case operationQueued = "operation.queued"
        case operationStarted = "operation.started"
        case operationProgress = "operation.progress"
        case operationStopping = "operation.stopping"
        case operationEnded = "operation.ended"
        case operationResolved = "operation.resolved"
        case glassBroken = "glass.broken"
        case glassReviewed = "glass.reviewed"
        case freezeSet = "freeze.set"
        case freezeLifted = "freeze.lifted"
        case policyReplaced = "policy.replaced"
        case environmentUp = "environment.up"
        case environmentDown = "environment.down"

        /// What comes before the dot.
        package var subject: Substring { rawValue.prefix { $0 != "." } }
    }

    /// The number of the record; `nil` if there is none.
    package let id: UInt64?
    package let kind: Kind
    package let at: Timestamp
    package let environment: String?
    package let planID: String?
    package let operationID: String?
    /// Who did it; `nil` for what nobody did.
    package let actor: String?
    /// Whether `actor` is what a caller under the shared token calls itself.
    let isLabel: Bool
    /// What else there is to say, by kind.
    package let details: JSONObject

    private init(
        _ kind: Kind, _ id: UInt64?, _ at: Timestamp, environment: String?, planID: String? = nil,
        operationID: String? = nil, actor: String? = nil, isLabel: Bool = false, _ details: JSONObject
    ) {
        self.isLabel = isLabel
        (self.kind, self.id, self.at, self.environment) = (kind, id, at, environment)
        (self.planID, self.operationID, self.actor, self.details) = (planID, operationID, actor, details)
    }

    /// The event that the record of that number tells; `nil` if it tells none.
    init?(_ record: AuditRecord, numbered number: UInt64) {
        guard let (kind, details) = Self.telling(record.event) else { return nil }
        self.init(
            kind, number, record.time, environment: record.event.environment, planID: record.event.planID,
            operationID: record.event.operationID, actor: record.event.actor,
            isLabel: record.event.actor != record.event.principal, details)
    }

    /// An environment answers again, or does not any more.
    package init(_ environment: EnvironmentName, _ probe: Probe) {
        self.init(
            probe.error == nil ? .environmentUp : .environmentDown, nil, Timestamp(probe.at),
            environment: environment.description,
            Self.object([
                "pve_version": probe.version.map { .string($0) }, "error": probe.error.map { .string($0) },
            ]))
    }

    /// How far an operation's task is.
    init(_ operation: Operation, _ progress: Progress, at now: Date) {
        self.init(
            .operationProgress, nil, Timestamp(now), environment: operation.environment.description,
            planID: operation.planID.description, operationID: operation.id.description,
            Self.object([
                "state": "running", "percent": progress.percent.map { JSON($0) }, "text": .string(progress.text),
            ]))
    }

    /// The event for a caller from whom rules hide settings: a text tells the sizes of disks.
    package var withoutText: AgentEvent {
        var details = details
        details["text"] = nil
        return AgentEvent(
            kind, id, at, environment: environment, planID: planID, operationID: operationID, actor: actor,
            isLabel: isLabel, details)
    }

    private static func object(_ members: KeyValuePairs<String, JSON?>) -> JSONObject {
        members.reduce(into: JSONObject()) { $0[$1.key] = $1.value }
    }
}

/// What records tell.
extension AgentEvent {
    private static func telling(_ event: AuditEvent) -> (Kind, JSONObject)? {
        let result = event.result
        func state(_ kind: Kind, _ state: JSON?, _ more: KeyValuePairs<String, JSON?> = [:]) -> (Kind, JSONObject) {
            var details = object(["state": state])
            for (key, value) in more { details[key] = value }
            return (kind, details)
        }
        switch event.kind {
        case .plan: return state(.planCreated, result?["status"], asked(event))
        case .approve: return approval(result)
        case .reject: return state(.planRejected, "rejected")
        case .expire: return state(.planExpired, "expired")
        case .withdraw: return state(.planWithdrawn, result?["state"])
        case .queue: return state(.operationQueued, "queued", ["ahead": result?["ahead"]])
        case .applyIntent: return state(.operationStarted, "running", asked(event))
        case .apply:
            return state(
                .operationEnded, result?["status"], ["plan_state": planState(after: result), "code": result?["code"]])
        case .resolve:
            return state(.operationResolved, result?["status"], ["plan_state": planState(after: result)])
        case .cancel:
            guard event.operationID != nil else { return state(.planCancelled, "cancelled") }
            guard result?["status"] == "cancelled" else { return state(.operationStopping, "running") }
            return state(.operationEnded, "cancelled", ["plan_state": "cancelled"])
        case .refuse:
            // Other refusals changed nothing.
            guard event.planID != nil, let left = result?["state"] else { return nil }
            let code = result?["code"]
            return event.operationID == nil
                ? state(.planRefused, left, ["code": code])
                : state(.operationEnded, "failed", ["plan_state": left, "code": code])
        case .breakGlass:
            let glass = BreakGlass(audited: result ?? [:], at: .distantPast)
            return (
                .glassBroken,
                object([
                    "action": event.request?["action"], "target": event.request?["target"],
                    "reason": .string(glass.reason), "windows": JSON(glass.windows),
                    "limits": JSON(glass.limitRules), "freezes": JSON(glass.freezes.map(\.description)),
                ])
            )
        case .review: return (.glassReviewed, object(["verdict": result?["status"], "comment": result?["comment"]]))
        case .freeze:
            return (
                .freezeSet,
                object([
                    "freeze_id": result?["freeze_id"], "reason": result?["reason"], "ends_at": result?["ends_at"],
                ])
            )
        case .unfreeze: return (.freezeLifted, object(["freeze_id": result?["freeze_id"]]))
        case .config:
            guard result?["status"] != "refused" else { return nil }
            return (.policyReplaced, object(["policy_version": result?["policy_version"]]))
        case .read, .session, .authFailures, .notify, .log, .void: return nil
        }
    }

    /// What was asked for: rules hide it from nobody.
    private static func asked(_ event: AuditEvent) -> KeyValuePairs<String, JSON?> {
        ["action": event.request?["action"], "target": event.request?["target"]]
    }

    /// `approvals` of a record is `1/2`.
    private static func approval(_ result: JSON?) -> (Kind, JSONObject)? {
        let counts = (result?["approvals"]?.string ?? "").split(separator: "/").compactMap { Int($0) }
        guard counts.count == 2 else { return (.planApproved, [:]) }
        return (
            .planApproved,
            object([
                "state": counts[0] < counts[1] ? "awaiting_approval" : "approved", "approvals": JSON(counts[0]),
                "approvals_needed": JSON(counts[1]),
            ])
        )
    }

    /// The state of the plan whose operation ended. What had not begun leaves its plan to be applied again.
    private static func planState(after result: JSON?) -> JSON? {
        guard result?["code"]?.string != Recovery.notExecuted else { return nil }
        return result?["status"]?.string.flatMap(OperationState.init)?.planState.map { .string($0.rawValue) }
    }
}

/// Which events a caller gets: those that their lists show too, and of these what they ask for.
package struct EventFilter: Sendable {
    /// The environments that the caller may view; `nil` for all.
    private let visible: Set<String>?
    private let environment: String?
    private let kinds: Set<AgentEvent.Kind>?
    private let plan: String?
    /// The environments where rules hide something from the caller.
    private let hiding: Set<String>

    init(
        visible: Set<EnvironmentName>?, environment: EnvironmentName?, kinds: Set<AgentEvent.Kind>?, plan: RecordID?,
        hiding: Set<EnvironmentName> = []
    ) {
        self.visible = visible.map { Set($0.map(\.description)) }
        self.environment = environment?.description
        self.kinds = kinds
        self.plan = plan?.description
        self.hiding = Set(hiding.map(\.description))
    }

    /// Whether the caller gets the event ``AgentEvent/withoutText``.
    package func hidesText(of event: AgentEvent) -> Bool {
        event.kind == .operationProgress && event.environment.map(hiding.contains) == true
    }

    /// An event without an environment concerns all of them.
    package func matches(_ event: AgentEvent) -> Bool {
        if let place = event.environment {
            if let visible, !visible.contains(place) { return false }
            if let environment, environment != place { return false }
        }
        if let kinds, !kinds.contains(event.kind) { return false }
        return plan == nil || plan == event.planID
    }
}
