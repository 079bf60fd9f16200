import AgentAudit
import AgentModel
import StrictJSON

extension AuditedStore {
    /// Voids the records whose transitions were not stored and that could not be voided at the time. Runs regularly;
    /// without it the log would count as unsettled until the next start.
    ///
    /// - Throws: if the log still does not work.
    func voidOrphans() async throws(ServiceError) {
        guard ports.audit.fault == nil else { return }
        for orphan in watermark.orphans {
            let records = try await records(behind: orphan.behind)
            // If the file was set aside meanwhile, the record cannot be found any more.
            if records.first?.seq == orphan.behind + 1,
                let own = records.first(where: { $0.event.isSame(as: orphan.event) }),
                !records.contains(where: { $0.event.voids == Int64(clamping: own.seq) })
            {
                try await record(AuditEvent(voiding: own.event, own.seq))
            }
            watermark.close(orphan.ticket)
        }
    }
}

extension AuditEvent {
    /// The record that voids the record number `seq`. When it is written at once it names that record's caller, else
    /// the agent.
    init(voiding event: AuditEvent, _ seq: UInt64, atOnce: Bool = false) {
        let agent = Context.agent.caller
        self.init(
            kind: .void, actor: atOnce ? event.actor : agent.actor,
            principal: atOnce ? event.principal : agent.principal,
            label: atOnce ? event.label : nil, requestID: atOnce ? event.requestID : nil,
            trace: atOnce ? event.trace : nil, environment: event.environment, planID: event.planID,
            operationID: event.operationID,
            result: Self.voiding(event.kind, seq, atOnce: atOnce))
    }

    /// The number of the record that this one voids.
    var voids: Int64? { kind == .void ? result?["voids"]?.integer : nil }

    /// Whether both are records of the same event.
    fileprivate func isSame(as other: AuditEvent) -> Bool {
        kind == other.kind && requestID == other.requestID && environment == other.environment
            && planID == other.planID && operationID == other.operationID && result == other.result
    }
}
