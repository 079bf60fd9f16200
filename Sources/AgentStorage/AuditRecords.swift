package import AgentAudit

/// Reads the records of a log for a purpose other than the log itself.
package enum AuditRecords {
    /// Calls `body` with each record of the log at `path`, oldest first: those of the rotated files beside it, then its
    /// own. Checks each against its hash and against the one before it in the same file; `audit verify` checks more.
    ///
    /// Throws if a file cannot be read, or has a line that is no record.
    package static func walk(
        _ path: String, _ body: (AuditRecord) throws(AuditError) -> Void
    ) throws(AuditError) {
        var last: UInt64 = 0
        for file in AuditLogReader.files(of: path) {
            var chain: AuditChain?
            try AuditLogReader(path: file).walk(from: 0, &chain) { record throws(AuditError) in
                // Two files may have the same records where a copy of one lies beside it.
                guard record.seq > last else { return true }
                last = record.seq
                try body(record)
                return true
            }
        }
    }
}
