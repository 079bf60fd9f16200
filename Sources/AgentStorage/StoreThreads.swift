import AgentService
internal import Dispatch
internal import SQLite
internal import Synchronization

extension StoreRecords {
    /// Runs one statement without values, despite an earlier failure. Returns its error, if any.
    fileprivate func attempt(_ sql: String) -> StoreError? {
        attempt { () throws(StoreError) in try database.run(sql) }
    }

    fileprivate func begin() -> StoreError? { attempt { () throws(StoreError) in try database.begin() } }
    fileprivate func commit() -> StoreError? { attempt { () throws(StoreError) in try database.commit() } }

    private func attempt(_ work: () throws(StoreError) -> Void) -> StoreError? {
        failure = nil
        do throws(StoreError) { try work() } catch { failure = error }
        return failure
    }
}

/// Writes: each batch is one transaction, each body a savepoint. Used on one thread.
final class StoreWriting {
    private var records: StoreRecords?
    private var owner: AnyObject?
    private let committed: (Duration) -> Void

    /// Keeps `owner` until it is closed: what keeps other agents from the state.
    init(_ records: StoreRecords, keeping owner: AnyObject? = nil, _ committed: @escaping (Duration) -> Void) {
        self.records = records
        self.owner = owner
        self.committed = committed
    }

    /// Runs the bodies, and resumes their callers when everything is on disk.
    func run(_ jobs: [StoreQueue.Job]) {
        guard let records else { return }
        if !(records.database.isFar && runTogether(jobs, records)) { runEach(jobs, records) }
        records.database.revive()
    }

    /// Without savepoints, each of which would be another question to the server. False, and nothing is done, if a body
    /// fails: then each has to run anew in its own. If the connection is lost, or the server has ended the transaction
    /// because it took too long, all are refused.
    private func runTogether(_ jobs: [StoreQueue.Job], _ records: StoreRecords) -> Bool {
        if let lost = records.begin() {
            for job in jobs { job.refuse(lost) }
            return true
        }
        var ended: [(StoreError?) -> Void] = []
        for job in jobs {
            ended.append(job.run(records))
            if let failure = records.failure {
                guard !records.database.isInTransaction else {
                    _ = records.attempt("ROLLBACK")
                    return false
                }
                for tell in ended { tell(failure) }
                for job in jobs[ended.count...] { job.refuse(failure) }
                return true
            }
        }
        let lost = commit(records)
        for tell in ended { tell(lost) }
        return true
    }

    private func commit(_ records: StoreRecords) -> StoreError? {
        let start = ContinuousClock.now
        let lost = records.commit()
        if lost == nil { committed(start.duration(to: .now)) }
        if records.database.isInTransaction { _ = records.attempt("ROLLBACK") }
        return lost
    }

    private func runEach(_ jobs: [StoreQueue.Job], _ records: StoreRecords) {
        var ended: [(tell: (StoreError?) -> Void, failure: StoreError?)] = []
        var lost = records.begin()
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
        if lost == nil {
            lost = commit(records)
        } else if records.database.isInTransaction {
            _ = records.attempt("ROLLBACK")
        }
        for (tell, failure) in ended { tell(failure ?? lost) }
    }

    /// Closes the database, and lets other agents have the state.
    func close() {
        records = nil
        owner = nil
    }
}

/// Reads: each batch shares one snapshot. Used on one thread.
final class StoreReading {
    private var records: StoreRecords?

    init(_ records: StoreRecords) { self.records = records }

    func run(_ jobs: [StoreQueue.Job]) {
        guard let records else { return }
        if let failure = records.begin() {
            for job in jobs { job.refuse(failure) }
            return records.database.revive()
        }
        for job in jobs {
            records.failure = nil
            let tell = job.run(records)
            tell(records.failure)
            // The next body gets a new snapshot.
            if records.database.isFailed {
                _ = records.attempt("ROLLBACK")
                _ = records.begin()
            }
        }
        _ = records.commit()
        records.database.revive()
    }

    func close() { records = nil }
}

/// Bodies that wait for a thread that runs them.
final class StoreQueue: Sendable {
    /// A body, with the calls that resume its caller.
    struct Job: Sendable {
        /// Runs the body. The result resumes the caller, with the body's value or with the error that voids it.
        let run: @Sendable (StoreRecords) -> @Sendable (StoreError?) -> Void
        /// Resumes the caller with an error because the body did not run.
        let refuse: @Sendable (StoreError) -> Void
    }

    private struct State {
        var jobs: [Job] = []
        var isClosed = false
        /// No thread waits for its server any more.
        var isImpatient = false
        var closers: [CheckedContinuation<Void, Never>] = []
        /// How many threads have not ended.
        var threads: Int
        /// Why each thread that cannot work now cannot.
        var away: [Int: StoreError] = [:]
        var counters = StoreCounters()
    }

    private let state: Mutex<State>
    /// Rung for jobs and at the end; one thread wakes each time.
    private let bell = DispatchSemaphore(value: 0)
    /// What threads wait on that cannot work now: they must not hear the bell in place of one that can.
    private let closing = DispatchSemaphore(value: 0)
    private let name: String
    private let threads: Int

    /// For the state at `name`, with so many threads that call ``serve(_:finish:)``.
    init(_ name: String, threads: Int = 1) {
        self.name = name
        self.threads = threads
        state = Mutex(State(threads: threads))
    }

    var counters: StoreCounters {
        state.withLock { state in
            var counters = state.counters
            counters.waiting = state.jobs.count
            return counters
        }
    }

    func put(_ job: Job) {
        let (refusal, wasEmpty): (StoreError?, Bool) = state.withLock { state in
            if state.isClosed { return (StoreError("state \(name): is closed; the agent is stopping"), false) }
            if state.away.count == threads, let reason = state.away.values.first { return (reason, false) }
            state.jobs.append(job)
            return (nil, state.jobs.count == 1)
        }
        if let refusal { return job.refuse(refusal) }
        if wasEmpty { bell.signal() }
    }

    /// Notes why a thread cannot work now, or with `nil` that it can again. While no thread can, jobs are refused.
    func tell(_ reason: StoreError?, of thread: Int) {
        let refused = state.withLock { state in
            state.away[thread] = reason
            guard state.away.count == threads else { return [Job]() }
            defer { state.jobs = [] }
            return state.jobs
        }
        if let reason { for job in refused { job.refuse(reason) } }
    }

    /// Waits on one of the threads; false once the queue is closed, or ``stopWaiting()`` was called.
    func pause(_ time: Duration) -> Bool {
        let deadline = ContinuousClock.now + time
        while !state.withLock({ $0.isClosed || $0.isImpatient }) {
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else { return true }
            _ = closing.wait(timeout: .now() + .nanoseconds(Int(left / .nanoseconds(1))))
        }
        return false
    }

    /// Lets threads that wait for their server give up, and their callers hear that nobody knows.
    func stopWaiting() {
        state.withLock { $0.isImpatient = true }
        for _ in 0..<threads { closing.signal() }
    }

    /// Takes no more jobs. The threads end once they have run those that wait.
    func close() {
        state.withLock { $0.isClosed = true }
        for _ in 0..<threads {
            bell.signal()
            closing.signal()
        }
    }

    /// Waits until the threads have ended, after ``close()``.
    func end() async {
        await withCheckedContinuation { waiter in
            let isDone = state.withLock { state in
                if state.threads > 0 { state.closers.append(waiter) }
                return state.threads == 0
            }
            if isDone { waiter.resume() }
        }
    }

    /// Runs on each thread: calls `run` with all waiting jobs until the queue is closed and empty, then `finish`.
    func serve(_ run: ([Job]) -> Void, finish: () -> Void) {
        while true {
            bell.wait()
            let (jobs, isClosed) = state.withLock { state in
                defer { state.jobs = [] }
                if !state.jobs.isEmpty {
                    state.counters.batches += 1
                    state.counters.bodies += state.jobs.count
                }
                return (state.jobs, state.isClosed)
            }
            if !jobs.isEmpty { run(jobs) }
            if isClosed { break }
        }
        finish()
        let closers = state.withLock { state in
            state.threads -= 1
            guard state.threads == 0 else { return [CheckedContinuation<Void, Never>]() }
            defer { state.closers = [] }
            return state.closers
        }
        for closer in closers { closer.resume() }
    }
}
