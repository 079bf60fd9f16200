package import AgentAudit
import AgentModel

/// Which audit records are looked for. What is `nil` is not looked at.
package struct AuditFilter: Sendable {
    package var kind: AuditKind?
    package var principal: String?
    package var planID: String?
    package var environment: String?
    /// The agent whose log it is in, by its name.
    package var agent: String?

    package init() {}

    func matches(_ record: AuditRecord) -> Bool {
        let event = record.event
        return (kind == nil || event.kind == kind) && (principal == nil || event.principal == principal)
            && (planID == nil || event.planID == planID) && (environment == nil || event.environment == environment)
            && (agent == nil || record.agent == agent)
    }
}

/// Some of the audit records.
package struct AuditPage: Sendable {
    package var records: [HistoryRecord] = []
    /// The number to continue behind; `nil` at the end.
    package var next: UInt64?
    /// The number of the newest record of all.
    package var newest: UInt64 = 0
    /// The number of the oldest one that several agents on a state have; `nil` for a lone agent.
    package var oldest: UInt64?
}

extension ReadService {
    /// Audit records after that number that match `filter`, oldest first: those of the caller's own environments, or all
    /// for a caller without a limit. At most `limit` and about one page of bytes.
    ///
    /// For a lone agent they are those of its log, and their numbers count there; of several agents on a state, those of
    /// their history.
    package func auditRecords(
        _ filter: AuditFilter = AuditFilter(), after number: UInt64, limit: Int, _ context: Context
    ) async throws(ServiceError) -> AuditPage {
        let allowed = access.environments(.audit, context)?.map(\.description)
        // What the caller has just done is there, if it can be.
        if let history = events.history { try? await history.copy() }
        var found = AuditPage()
        var last = number
        var used = 0
        // A caller who may see, or looks for, few of many records gets them in several pages.
        for round in 0..<16 {
            let page = try await page(after: last, limit: limit)
            if round == 0 {
                found.newest = page.numbers?.upperBound ?? 0
                found.oldest = events.history.map { _ in page.numbers?.lowerBound ?? 0 }
            }
            for entry in page.records where found.records.count < limit {
                let record = entry.record
                let isAllowed = allowed.map { record.event.environment.map($0.contains) ?? false } ?? true
                guard isAllowed, filter.matches(record) else {
                    last = entry.number
                    continue
                }
                guard found.records.isEmpty || used + record.line.count < ControlPlane.pageBytes else {
                    found.next = last
                    return found
                }
                last = entry.number
                used += record.line.count + 1
                found.records.append(entry)
            }
            if found.records.count == limit, last < page.last { break }
            last = max(last, page.last)
            if page.isEnd { return found }
            if found.records.count == limit { break }
        }
        found.next = last
        return found
    }

    private func page(after number: UInt64, limit: Int) async throws(ServiceError) -> SharedHistory.Page {
        if let history = events.history { return try await history.page(after: number, limit: limit) }
        let (newest, records): (UInt64, [AuditRecord])
        do throws(AuditError) {
            newest = ports.audit.head.seq
            records = try await ports.audit.records(after: number, limit: limit, bytes: ControlPlane.pageBytes)
        } catch {
            throw ServiceError(.auditUnavailable, "\(error)")
        }
        let isWhole =
            records.count < limit && records.reduce(0, { $0 + $1.line.count + 1 }) < ControlPlane.pageBytes
        return SharedHistory.Page(
            records: records.map { HistoryRecord(number: $0.seq, record: $0) }, last: records.last?.seq ?? number,
            isEnd: isWhole, numbers: newest > 0 ? 1...newest : nil)
    }

    /// The newest synced record of the chain.
    package var auditHead: AuditHead { ports.audit.head }
}
