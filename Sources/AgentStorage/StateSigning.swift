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

extension StatePlace {
    /// Reads it. Changes nothing, and may run beside the agent.
    package func signing() throws(StoreError) -> InspectedSigning {
        let (database, key) = try openForInspection()
        let version = try StateSchema.current.look(at: database, self, key)
        guard version == StateSchema.current.version else {
            throw StoreError("state \(self.database): is of an older version; start the agent once")
        }
        let id = try naming { () throws(SQLiteError) in
            try database.value("SELECT value FROM meta WHERE name = 'installation'")?.text ?? ""
        }
        let records = StoreRecords(SQLiteState(database, self), key)
        let checkpoints = records.checkpoints()
        if let failure = records.failure { throw failure }
        return InspectedSigning(key: key, installation: id, checkpoints: checkpoints)
    }
}
