import AgentAudit
import AgentModel
import StrictJSON

extension AuditedStore {
    /// Voids the records that stand without their transitions because the log could not be written at the time. Comes
    /// round by itself, or the log would count as unsettled from there on until the next start.
    ///
    /// - Throws: when the log does not work yet.
    func voidOrphans() async throws(ServiceError) {
        guard ports.audit.fault == nil else { return }
        for orphan in watermark.orphans {
            let records = try await records(behind: orphan.behind)
            // In a file that was put aside meanwhile it cannot be found any more.
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
    /// The record that calls one of the number `seq` void: in the name of whom that one is of where that turns out at
    /// once, and of the agent's later.
    init(voiding event: AuditEvent, _ seq: UInt64, atOnce: Bool = false) {
        let agent = Context.agent.caller
        self.init(
            kind: .void, actor: atOnce ? event.actor : agent.actor,
            principal: atOnce ? event.principal : agent.principal,
            label: atOnce ? event.label : nil, requestID: atOnce ? event.requestID : nil,
            environment: event.environment, planID: event.planID, operationID: event.operationID,
            result: [
                "status": event.kind == .applyIntent && !atOnce ? "not_executed" : "not_done",
                "kind": .string(event.kind.rawValue), "voids": JSON(Int(clamping: seq)),
            ])
    }

    /// The number of the record that this one calls void.
    var voids: Int64? { kind == .void ? result?["voids"]?.integer : nil }

    /// Whether both are records of the same thing.
    fileprivate func isSame(as other: AuditEvent) -> Bool {
        kind == other.kind && requestID == other.requestID && environment == other.environment
            && planID == other.planID && operationID == other.operationID && result == other.result
    }
}
