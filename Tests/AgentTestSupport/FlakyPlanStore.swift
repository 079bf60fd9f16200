package import AgentService
internal import Synchronization

/// A store in memory that fails when a test tells it to, and is well otherwise.
package final class FlakyPlanStore: PlanStore {
    private struct State {
        var failsReads: @Sendable () -> Bool = { false }
        var failsWrites: @Sendable () -> Bool = { false }
        var doubt: Bool?
    }

    private let inner = MemoryPlanStore()
    private let state = Mutex(State())

    package init() {}

    /// Makes these the marks of the other agents on the state.
    package func know(_ marks: [String: AuditMark]) { inner.know(marks) }

    /// Told of each read; its yes makes the read fail.
    package func failReads(where fails: @escaping @Sendable () -> Bool) { state.withLock { $0.failsReads = fails } }

    /// Told of each write; its yes makes the write fail, and nothing of it is kept.
    package func failWrites(where fails: @escaping @Sendable () -> Bool) { state.withLock { $0.failsWrites = fails } }

    /// Makes writes fail as those do of which nobody knows whether they were stored; `isStored` says so here.
    package func leaveInDoubt(isStored: Bool?) { state.withLock { $0.doubt = isStored } }

    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreReader) -> Value
    ) async throws(StoreError) -> Value {
        if state.withLock({ $0.failsReads })() { throw StoreError("the disk does not answer") }
        return try await inner.read(body)
    }

    package func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(StoreError) -> Value {
        if state.withLock({ $0.failsWrites })() { throw StoreError("the disk is full") }
        if let isStored = state.withLock({ $0.doubt }) {
            if isStored { _ = try await inner.write(body) }
            throw StoreError("the database is gone", mayBeStored: true)
        }
        return try await inner.write(body)
    }
}
