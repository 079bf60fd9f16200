import AgentModel
import Synchronization

/// Plans and operations in memory: gone when the process ends.
package final class MemoryPlanStore: PlanStore {
    private let records = Mutex(Records())

    package init() {}

    package func transact<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(StoreError) -> Value {
        records.withLock { body($0) }
    }

    /// The tables, in order of arrival. Used only under the lock.
    private final class Records: StoreTransaction {
        private var plans = Table<Plan>()
        private var operations = Table<Operation>()

        func plan(_ id: RecordID) -> Plan? { plans.rows[id] }
        func put(_ plan: Plan) { plans.put(plan, plan.id) }
        func remove(plan id: RecordID) { plans.remove(id) }
        func operation(_ id: RecordID) -> Operation? { operations.rows[id] }
        func put(_ operation: Operation) { operations.put(operation, operation.id) }
        func remove(operation id: RecordID) { operations.remove(id) }

        func plans(_ filter: PlanFilter) -> [Plan] {
            plans.newest(before: filter.before, limit: filter.limit) { plan in
                (filter.environments?.contains(plan.request.environment) ?? true)
                    && (filter.state.map { $0 == plan.state } ?? true)
                    && (filter.requester.map { $0 == plan.requester } ?? true)
                    && (filter.principal.map { $0 == plan.requester.principal } ?? true)
                    && (filter.requestHash.map { $0 == plan.requestHash } ?? true)
            }
        }

        func operations(_ filter: OperationFilter) -> [Operation] {
            operations.newest(before: filter.before, limit: filter.limit) { operation in
                (filter.environments?.contains(operation.environment) ?? true)
                    && (filter.state.map { $0 == operation.state } ?? true)
                    && (filter.plan.map { $0 == operation.planID } ?? true)
            }
        }
    }

    private struct Table<Row> {
        private(set) var rows: [RecordID: Row] = [:]
        private var order: [RecordID] = []

        mutating func put(_ row: Row, _ id: RecordID) {
            if rows.updateValue(row, forKey: id) == nil { order.append(id) }
        }

        mutating func remove(_ id: RecordID) {
            guard rows.removeValue(forKey: id) != nil, let index = order.firstIndex(of: id) else { return }
            order.remove(at: index)
        }

        func newest(before: RecordID?, limit: Int, where matches: (Row) -> Bool) -> [Row] {
            var found: [Row] = []
            var skipping = before.map { rows[$0] != nil } ?? false
            for id in order.reversed() where found.count < limit {
                if skipping {
                    skipping = id != before
                    continue
                }
                if let row = rows[id], matches(row) { found.append(row) }
            }
            return found
        }
    }
}
