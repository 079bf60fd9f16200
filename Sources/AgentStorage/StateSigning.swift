package import AgentModel
package import AgentService
internal import SQLite

/// What signs checkpoints of the audit log, and those that were signed.
package struct InspectedSigning: Sendable {
    package let key: InstallationKey
    /// The id of the installation.
    package let installation: String
    /// The newest of each origin.
    package let checkpoints: [SignedCheckpoint]
}

extension InspectedSigning {
    fileprivate init(
        of state: any StateDatabase, _ version: Int64, _ key: InstallationKey
    ) throws(StoreError) {
        guard version >= StateSchema.current.version else {
            throw StoreError("state \(state.name): is of an older version; start the agent once")
        }
        let id = try state.value("SELECT value FROM meta WHERE name = 'installation'")?.text ?? ""
        let records = StoreRecords(state, key)
        let checkpoints = records.checkpoints()
        if let failure = records.failure { throw failure }
        self.init(key: key, installation: id, checkpoints: checkpoints)
    }
}

extension StatePlace {
    /// Reads it. Changes nothing, and may run beside the agent.
    package func signing() throws(StoreError) -> InspectedSigning {
        let (database, key) = try openForInspection()
        let version = try StateSchema.current.look(at: database, self, key)
        return try InspectedSigning(of: SQLiteState(database, self), version, key)
    }
}

extension PostgreSQLPlace {
    /// Reads it. Changes nothing, and may run beside the agent.
    package func signing() throws(StoreError) -> InspectedSigning {
        let (state, version, key) = try openForInspection()
        return try InspectedSigning(of: state, version, key)
    }
}
