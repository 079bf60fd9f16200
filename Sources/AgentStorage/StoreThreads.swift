import AgentService
internal import SQLite

extension StoreRecords {
    /// Runs one statement without values, despite an earlier failure. Returns its error, if any.
    fileprivate func attempt(_ sql: String) -> StoreError? {
        failure = nil
        run(sql)
        return failure
    }
}

/// Writes: each batch is one transaction, each body a savepoint. Used on one thread.
final class StoreWriting {
    private var file: StateFile?
    private var records: StoreRecords?

    init(_ file: StateFile) {
        self.file = file
        records = StoreRecords(file.database, file.key, file.place)
    }

    /// Runs the bodies, and resumes their callers when everything is on disk.
    func run(_ jobs: [StoreQueue.Job]) {
        guard let records else { return }
        var ended: [(tell: (StoreError?) -> Void, failure: StoreError?)] = []
        var lost = records.attempt("BEGIN IMMEDIATE")
        for job in jobs {
            if let lost {
                job.refuse(lost)
                continue
            }
            lost = records.attempt("SAVEPOINT body")
            let tell = job.run(records)
            let failure = records.failure
            if failure != nil { lost = records.attempt("ROLLBACK TO body") }
            // An error such as a full disk ends the whole transaction: earlier bodies' writes are lost too.
            lost = (lost ?? records.attempt("RELEASE body")).map { failure ?? $0 }
            ended.append((tell, failure))
        }
        if lost == nil { lost = records.attempt("COMMIT") }
        if records.isInTransaction { _ = records.attempt("ROLLBACK") }
        for (tell, failure) in ended { tell(failure ?? lost) }
    }

    /// Moves the log into the file and releases the lock.
    func close() {
        records = nil
        file = nil
    }
}

/// Reads: each batch shares one snapshot. Used on one thread.
final class StoreReading {
    private var records: StoreRecords?

    init(_ records: StoreRecords) { self.records = records }

    func run(_ jobs: [StoreQueue.Job]) {
        guard let records else { return }
        if let failure = records.attempt("BEGIN") {
            for job in jobs { job.refuse(failure) }
            return
        }
        for job in jobs {
            records.failure = nil
            let tell = job.run(records)
            tell(records.failure)
        }
        _ = records.attempt("COMMIT")
    }

    func close() { records = nil }
}
