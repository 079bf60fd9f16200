import StrictJSON

// Several agents on one state record the heads of each other's logs, so that each log shows where another one was cut.

/// Why the heads in a record cannot be read.
struct AuditHeadsFlaw: Error {
    let words: String
}

extension AuditEvent {
    /// Tells where the logs of other agents ended at least, by their names.
    package init(heads: [String: AuditHead]) {
        var told = JSONObject()
        for (agent, head) in heads.sorted(by: { $0.key < $1.key }) { told.append(agent, .string(head.description)) }
        self.init(
            kind: .log, actor: "proxmox-agent", principal: "proxmox-agent",
            result: ["event": "heads", "heads": .object(told)])
    }

    /// The heads of other agents' logs that it tells, by their names; empty if it tells none.
    func heads() throws(AuditHeadsFlaw) -> [String: AuditHead] {
        guard kind == .log, let result, result["event"] == "heads" else { return [:] }
        var heads: [String: AuditHead] = [:]
        for member in result["heads"]?.object?.members ?? [] {
            guard let head = member.value.string.flatMap({ AuditHead($0) }) else {
                throw AuditHeadsFlaw(words: "tells a head of \(JSON.string(member.key).shown) that is none")
            }
            heads[member.key] = head
        }
        return heads
    }
}
