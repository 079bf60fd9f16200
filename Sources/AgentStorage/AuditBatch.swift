internal import AgentAudit
import AgentModel

/// The lines that are written together.
struct AuditBatch {
    var chain: AuditChain
    var bytes: [UInt8] = []
    var count = 0

    init(_ chain: AuditChain) { self.chain = chain }

    /// Adds a record; `nil` if it is too large for a line.
    @discardableResult
    mutating func add(_ event: AuditEvent, at time: Timestamp) -> AuditHead? {
        var next = chain
        let line = next.extend(with: event, at: time).line
        guard line.count <= AuditRecord.maximumLineLength else { return nil }
        bytes += line
        bytes.append(UInt8(ascii: "\n"))
        count += 1
        chain = next
        return next.head
    }
}
