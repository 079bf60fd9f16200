package import AgentModel

/// The hash chain, without I/O: makes the next record, or checks that a record is the next one.
package struct AuditChain: Sendable, Hashable {
    package private(set) var head: AuditHead

    /// A chain that continues from `head`.
    package init(from head: AuditHead = .empty) { self.head = head }

    /// Makes the next record and moves the head to it.
    package mutating func extend(with event: AuditEvent, at time: Timestamp) -> AuditRecord {
        let record = AuditRecord(event, after: head, at: time)
        head = record.head
        return record
    }

    /// Why a record does not follow the one before it.
    package enum Break: Error, Sendable, Hashable {
        case gap(expected: UInt64)
        case order(expected: UInt64)
        case prev
    }

    /// Accepts `record` as the next one. Its own hash was checked when it was read.
    package mutating func accept(_ record: AuditRecord) throws(Break) {
        let expected = head.seq + 1
        guard record.seq <= expected else { throw .gap(expected: expected) }
        guard record.seq == expected else { throw .order(expected: expected) }
        guard record.prev == head.hash else { throw .prev }
        head = record.head
    }
}
