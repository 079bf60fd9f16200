import AgentAudit
import StrictJSON

extension ActionService {
    /// Voids the records that stand without their transitions because the log could not be written at the time. Comes
    /// round by itself, or the log would count as unsettled from there on until the next start.
    ///
    /// - Throws: when the log does not work yet.
    package func voidOrphans() async throws(ServiceError) {
        guard ports.audit.fault == nil else { return }
        for orphan in watermark.orphans {
            let records = try await records(behind: orphan.behind)
            // In a file that was put aside meanwhile it cannot be found any more.
            if records.first?.seq == orphan.behind + 1,
                let own = records.first(where: { $0.event.isSame(as: orphan.event) }),
                !records.contains(where: { $0.event.voids == Int64(clamping: own.seq) })
            {
                try await record(Self.void(own.event, own.seq))
            }
            watermark.close(orphan.ticket)
        }
    }
}

extension AuditEvent {
    /// The number of the record that this one calls void.
    var voids: Int64? { kind == .void ? result?["voids"]?.integer : nil }

    /// Whether both are records of the same thing.
    fileprivate func isSame(as other: AuditEvent) -> Bool {
        kind == other.kind && requestID == other.requestID && environment == other.environment
            && planID == other.planID && operationID == other.operationID && result == other.result
    }
}
