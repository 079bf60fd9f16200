package import AgentAudit
internal import AgentModel
package import FoundationEssentials
internal import Synchronization
package import TransparencyLog

/// An audit log in memory, whole chain and all, that can be told to refuse.
package final class MemoryAuditSink: AuditSink {
    private struct State {
        var chain = AuditChain()
        var records: [AuditRecord] = []
        var events: [AuditEvent] = []
        var durabilities: [AuditDurability] = []
        var fault: AuditError?
        var tree = CompactRange.empty
        var flaw: AuditEnd.TreeFlaw?
    }

    private let state = Mutex(State())
    private let now: @Sendable () -> Date

    package init(now: @escaping @Sendable () -> Date = { Date() }) { self.now = now }

    @discardableResult
    package func append(
        _ event: AuditEvent, _ durability: AuditDurability
    ) async throws(AuditError) -> AuditHead {
        let time = Timestamp(now())
        let result = state.withLock { state -> Result<AuditHead, AuditError> in
            if let fault = state.fault { return .failure(fault) }
            let record = state.chain.extend(with: event, at: time)
            state.records.append(record)
            state.tree.append(.leaf(record.line))
            state.events.append(event)
            state.durabilities.append(durability)
            return .success(record.head)
        }
        return try result.get()
    }

    package func records(after seq: UInt64, limit: Int, bytes: Int) async throws(AuditError) -> [AuditRecord] {
        var used = 0
        return Array(
            records.filter { $0.seq > seq }.prefix(limit).prefix { record in
                defer { used += record.line.count }
                return used < bytes
            })
    }

    package var end: AuditEnd {
        state.withLock { AuditEnd(head: $0.chain.head, tree: $0.flaw == nil ? $0.tree : nil, flaw: $0.flaw) }
    }

    package func hashes(
        of parts: [Range<UInt64>], in size: UInt64, from known: CompactRange?
    ) async throws(AuditError) -> [TreeHash] {
        var walk = TreeWalk(parts, from: known ?? .empty)
        for record in records where record.seq > walk.size && record.seq <= size { walk.append(.leaf(record.line)) }
        guard let hashes = walk.hashes else { throw AuditError("records are gone") }
        return hashes
    }

    /// A tree that is larger, or has another root, is a contradiction.
    package func expect(_ signed: TreeHead) async {
        state.withLock { state in
            guard signed.size <= state.tree.size, state.tree.head != signed else { return }
            state.flaw = .contradiction
        }
    }

    /// Set it to make every append throw it; `nil` heals.
    package var fault: AuditError? {
        get { state.withLock { $0.fault } }
        set { state.withLock { $0.fault = newValue } }
    }

    /// All that was taken, in order.
    package var events: [AuditEvent] { state.withLock { $0.events } }
    package var records: [AuditRecord] { state.withLock { $0.records } }
    package var durabilities: [AuditDurability] { state.withLock { $0.durabilities } }
}
