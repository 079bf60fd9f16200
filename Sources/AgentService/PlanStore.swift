package import AgentModel

/// Why the store did nothing.
package struct StoreError: Error, Sendable, Hashable {
    package let detail: String

    package init(_ detail: String) { self.detail = detail }
}

/// Which plans to list, newest first.
package struct PlanFilter: Sendable {
    package var environments: Set<EnvironmentName>?
    package var state: PlanState?
    package var requester: Caller?
    package var principal: String?
    package var requestHash: String?
    /// Only those older than this one.
    package var before: RecordID?
    package var limit: Int

    package init(
        environments: Set<EnvironmentName>? = nil, state: PlanState? = nil, requester: Caller? = nil,
        principal: String? = nil, requestHash: String? = nil, before: RecordID? = nil, limit: Int = .max
    ) {
        self.environments = environments
        self.state = state
        self.requester = requester
        self.principal = principal
        self.requestHash = requestHash
        self.before = before
        self.limit = limit
    }
}

/// Which operations to list, newest first.
package struct OperationFilter: Sendable {
    package var environments: Set<EnvironmentName>?
    package var state: OperationState?
    package var plan: RecordID?
    package var before: RecordID?
    package var limit: Int

    package init(
        environments: Set<EnvironmentName>? = nil, state: OperationState? = nil, plan: RecordID? = nil,
        before: RecordID? = nil, limit: Int = .max
    ) {
        self.environments = environments
        self.state = state
        self.plan = plan
        self.before = before
        self.limit = limit
    }
}

/// What a body of ``PlanStore/transact(_:)`` works with. Valid only inside that body.
package protocol StoreTransaction {
    func plan(_ id: RecordID) -> Plan?
    func plans(_ filter: PlanFilter) -> [Plan]
    /// Adds the plan, or replaces the one with its id.
    func put(_ plan: Plan)
    func remove(plan id: RecordID)
    func operation(_ id: RecordID) -> Operation?
    func operations(_ filter: OperationFilter) -> [Operation]
    /// Adds the operation, or replaces the one with its id.
    func put(_ operation: Operation)
    func remove(operation id: RecordID)
}

/// The port to where plans and operations are kept.
///
/// A body sees all that earlier bodies wrote, runs alone among writers, and is kept whole or not at all; when
/// `transact` has returned, what the body wrote outlives the process if the store is a durable one. A body does no I/O
/// of its own and must be ready to run more than once.
package protocol PlanStore: Sendable {
    func transact<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(StoreError) -> Value
}
