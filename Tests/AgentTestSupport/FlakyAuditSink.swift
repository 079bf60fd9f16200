package import AgentAudit
internal import Synchronization
package import TransparencyLog

/// An audit log in memory that refuses what a test tells it to, and is well otherwise.
package final class FlakyAuditSink: AuditSink {
    package typealias Refusal = @Sendable (_ event: AuditEvent, _ number: Int) -> Bool

    private struct State {
        var refuses: Refusal = { _, _ in false }
        var loses: @Sendable (AuditEvent) -> Bool = { _ in false }
        var asked: [AuditKind] = []
    }

    private let inner = MemoryAuditSink()
    private let state = Mutex(State())

    package init() {}

    /// Told of each event and which of all it is, from 1.
    package func refuse(where refuses: @escaping Refusal) { state.withLock { $0.refuses = refuses } }

    /// Told of each event; its yes makes the log write it and say that it may not have.
    package func loseSight(of loses: @escaping @Sendable (AuditEvent) -> Bool) { state.withLock { $0.loses = loses } }

    /// What was to be written, refused or not, in order.
    package var asked: [AuditKind] { state.withLock { $0.asked } }
    /// What was written, in order.
    package var events: [AuditEvent] { inner.events }
    package var kinds: [AuditKind] { inner.events.map(\.kind) }

    @discardableResult
    package func append(
        _ event: AuditEvent, _ durability: AuditDurability
    ) async throws(AuditError) -> AuditHead {
        let (refuses, loses, number) = state.withLock { state in
            state.asked.append(event.kind)
            return (state.refuses, state.loses, state.asked.count)
        }
        if refuses(event, number) { throw AuditError("no space left on device") }
        let head = try await inner.append(event, durability)
        if loses(event) { throw AuditError("input/output error", mayBeWritten: true) }
        return head
    }

    package func records(after seq: UInt64, limit: Int, bytes: Int) async throws(AuditError) -> [AuditRecord] {
        try await inner.records(after: seq, limit: limit, bytes: bytes)
    }

    package var end: AuditEnd { inner.end }

    package func hashes(
        of parts: [Range<UInt64>], in size: UInt64, from known: CompactRange?
    ) async throws(AuditError) -> [TreeHash] {
        try await inner.hashes(of: parts, in: size, from: known)
    }

    package func expect(_ signed: TreeHead) async { await inner.expect(signed) }
    package var fault: AuditError? { inner.fault }
}
