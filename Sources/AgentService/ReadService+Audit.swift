package import AgentAudit
import AgentModel

/// Which audit records are looked for. What is `nil` is not looked at.
package struct AuditFilter: Sendable {
    package var kind: AuditKind?
    package var principal: String?
    package var planID: String?
    package var environment: String?

    package init() {}

    func matches(_ event: AuditEvent) -> Bool {
        (kind == nil || event.kind == kind) && (principal == nil || event.principal == principal)
            && (planID == nil || event.planID == planID) && (environment == nil || event.environment == environment)
    }
}

extension ReadService {
    /// Audit records after number `seq` that match `filter`, oldest first: those of the caller's own environments, or
    /// all for a caller without a limit. At most `limit` and about one page of bytes; `next` is where to continue, `nil` at the end of
    /// the log.
    package func auditRecords(
        _ filter: AuditFilter = AuditFilter(), after seq: UInt64, limit: Int, _ context: Context
    ) async throws(ServiceError) -> (records: [AuditRecord], next: UInt64?) {
        let allowed = access.environments(.audit, context)?.map(\.description)
        var found: [AuditRecord] = []
        var last = seq
        var used = 0
        // A caller who may see, or looks for, few of many records gets them in several pages.
        for _ in 0..<16 {
            let page: [AuditRecord]
            do throws(AuditError) {
                page = try await ports.audit.records(after: last, limit: limit, bytes: ControlPlane.pageBytes)
            } catch {
                throw ServiceError(.auditUnavailable, "\(error)")
            }
            for record in page where found.count < limit {
                let isAllowed = allowed.map { record.event.environment.map($0.contains) ?? false } ?? true
                guard isAllowed, filter.matches(record.event) else {
                    last = record.seq
                    continue
                }
                guard found.isEmpty || used + record.line.count < ControlPlane.pageBytes else { return (found, last) }
                last = record.seq
                used += record.line.count + 1
                found.append(record)
            }
            let isWhole = page.count < limit && page.reduce(0, { $0 + $1.line.count + 1 }) < ControlPlane.pageBytes
            if isWhole, page.last.map({ $0.seq == last }) ?? true { return (found, nil) }
            if found.count == limit { break }
        }
        return (found, last)
    }

    /// The newest synced record of the chain.
    package var auditHead: AuditHead { ports.audit.head }
}
