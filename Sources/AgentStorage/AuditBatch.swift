internal import AgentAudit
import AgentModel

/// The lines that are written together.
struct AuditBatch {
    var chain: AuditChain
    var tree: AuditTree
    var bytes: [UInt8] = []
    var count = 0

    init(_ chain: AuditChain, _ tree: AuditTree) {
        self.chain = chain
        self.tree = tree
    }

    /// Adds a record; `nil` if it is too large for a line.
    @discardableResult
    mutating func add(_ event: AuditEvent, at time: Timestamp) -> AuditHead? {
        var next = chain
        let line = next.extend(with: event, at: time).line
        guard line.count <= AuditRecord.maximumLineLength else { return nil }
        tree.append(line)
        bytes += line
        bytes.append(UInt8(ascii: "\n"))
        count += 1
        chain = next
        return next.head
    }
}
