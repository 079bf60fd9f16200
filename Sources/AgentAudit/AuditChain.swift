package import AgentModel

/// The hash chain, without I/O: makes the next record, or checks that a record is the next one.
package struct AuditChain: Sendable, Hashable {
    package private(set) var head: AuditHead
    /// The agent that the records it makes name.
    private let agent: String?

    /// A chain that continues from `head`. `agent` is the name of the agent that writes it; `nil` for a lone one.
    package init(from head: AuditHead = .empty, agent: String? = nil) {
        self.head = head
        self.agent = agent
    }

    /// Makes the next record and moves the head to it.
    package mutating func extend(with event: AuditEvent, at time: Timestamp) -> AuditRecord {
        let record = AuditRecord(event, after: head, at: time, by: agent)
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
