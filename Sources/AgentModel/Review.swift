package import FoundationEssentials

/// What an operation passed although it would have stopped it, because its requester said that this is an emergency.
package struct BreakGlass: Sendable, Hashable {
    /// Why, in the requester's words.
    package let reason: String
    package let at: Date
    /// The rules whose change windows were closed.
    package let windows: [String]
    /// The counters of limits that had no room.
    package let limits: [LimitCounter]
    /// The freezes that held. One that is set later, or by a file, stops the operation all the same.
    package let freezes: [RecordID]

    package init(
        reason: String, at: Date, windows: [String] = [], limits: [LimitCounter] = [], freezes: [RecordID] = []
    ) {
        self.reason = reason
        self.at = at
        self.windows = windows
        self.limits = limits
        self.freezes = freezes
    }

    /// Whether nothing stood in the way.
    package var isEmpty: Bool { windows.isEmpty && limits.isEmpty && freezes.isEmpty }

    /// The rules that those limits are of.
    package var limitRules: [String] { Set(limits.map(\.rule)).sorted() }
}

/// The review of an operation that passed something in an emergency. It is open until somebody else has closed it.
package struct Review: Sendable, Hashable {
    /// What somebody else says to it.
    package struct Verdict: Sendable, Hashable {
        /// The name of the reviewer, as in records.
        package let by: String
        package let at: Date
        package let isJustified: Bool
        package let comment: String

        package init(by: String, at: Date, isJustified: Bool, comment: String) {
            self.by = by
            self.at = at
            self.isJustified = isJustified
            self.comment = comment
        }
    }

    package let operationID: RecordID
    package let planID: RecordID
    package let environment: EnvironmentName
    package let action: Action
    package let target: Target
    /// Who broke the glass.
    package let requester: Caller
    package let glass: BreakGlass
    /// `nil` while it is open.
    package var verdict: Verdict?

    package init(
        operationID: RecordID, planID: RecordID, environment: EnvironmentName, action: Action, target: Target,
        requester: Caller, glass: BreakGlass, verdict: Verdict? = nil
    ) {
        self.operationID = operationID
        self.planID = planID
        self.environment = environment
        self.action = action
        self.target = target
        self.requester = requester
        self.glass = glass
        self.verdict = verdict
    }
}
