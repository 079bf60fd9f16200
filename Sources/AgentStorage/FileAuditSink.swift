package import AgentAudit
package import FoundationEssentials
internal import Glibc
internal import Synchronization
internal import SystemThread

/// The audit log in a file: JSON Lines, mode 0600, one writer, one chain over all rotations.
///
/// One thread of its own writes. All records that wait are written by one `write` and made durable by one
/// `fdatasync` (group commit). A failed write leaves nothing behind and is tried again; a failed sync and a file
/// that others touched are faults until ``reopen()``.
package final class FileAuditSink: AuditSink {
    /// How often the writer does things unasked.
    package struct Timing: Sendable {
        /// How long a record may be written but not synced.
        package var sync: Duration
        /// How long after a failed write the next is tried.
        package var retry: Duration
        /// How often an idle writer looks whether the file was touched.
        package var look: Duration

        package init(
            sync: Duration = .milliseconds(500), retry: Duration = .seconds(1), look: Duration = .seconds(2)
        ) {
            self.sync = sync
            self.retry = retry
            self.look = look
        }
    }

    /// What the writer has done since it was opened.
    package struct Counters: Sendable, Hashable {
        package var records = 0
        package var writes = 0
        package var syncs = 0
    }

    private let queue: AuditQueue
    private let path: String

    /// Opens or creates the log at `path`, locks it, verifies its last record and starts the writer.
    ///
    /// A file that does not exist is created with mode 0600, its directory (one level) with 0700. A torn last line
    /// goes to `<path>.torn-<seq>`. The first record says from where the chain continues. On a full disk it does not
    /// open; one that fills later is a ``fault`` that heals.
    ///
    /// `saved` is the newest head that is known from elsewhere. An empty log continues from it (it was rotated while
    /// nobody wrote); a log that ends before it is refused. Throws with the cure for what is wrong with the file.
    package init(
        path: String, continuing saved: AuditHead? = nil, timing: Timing = Timing(),
        now: @escaping @Sendable () -> Date = { Date() }
    ) throws(AuditError) {
        // A file size limit then is an error of `write` like a full disk.
        signal(SIGXFSZ, SIG_IGN)
        let journal = try AuditJournal(path: path, saved: saved, now: now, timing: timing)
        let queue = AuditQueue(head: journal.head)
        self.queue = queue
        self.path = path
        queue.learn(from: journal)
        do throws(OwnThread.Unavailable) { try OwnThread.start { queue.serve(journal) } } catch {
            throw AuditError("audit log: \(error)")
        }
    }

    deinit { queue.put(.close(nil)) }

    @discardableResult
    package func append(
        _ event: AuditEvent, _ durability: AuditDurability
    ) async throws(AuditError) -> AuditHead {
        guard event.isRecordable else {
            throw AuditError("audit log: a record is nested too deep; send a flatter request")
        }
        return try await withCheckedContinuation { queue.put(.append(event, durability, $0)) }.get()
    }

    package func records(after seq: UInt64, limit: Int, bytes: Int) async throws(AuditError) -> [AuditRecord] {
        let path = path
        return try await withCheckedContinuation { waiter in
            // A thread of its own, as the disk may take its time.
            do throws(OwnThread.Unavailable) {
                try OwnThread.start {
                    waiter.resume(
                        returning: Result { () throws(AuditError) in
                            try AuditLogReader.records(of: path, after: seq, limit: limit, bytes: bytes)
                        })
                }
            } catch {
                waiter.resume(returning: .failure(AuditError("audit log: \(error)")))
            }
        }.get()
    }

    package var head: AuditHead { queue.state.withLock { $0.head } }

    package var fault: AuditError? { queue.state.withLock { $0.fault } }

    package var counters: Counters { queue.state.withLock { $0.counters } }

    /// Syncs what is written and opens the path anew, as on SIGHUP: after a rotation, or to clear a fault.
    ///
    /// The chain goes on; the first record says from where, and what had been wrong. Throws when the path cannot be
    /// used; a healthy file from before is then written on.
    @discardableResult
    package func reopen() async throws(AuditError) -> AuditHead {
        try await withCheckedContinuation { queue.put(.reopen($0)) }.get()
    }

    /// Syncs and closes the log after all that was appended before. Later appends throw.
    package func close() async throws(AuditError) {
        _ = try await withCheckedContinuation { queue.put(.close($0)) }.get()
    }
}

extension AuditQueue {
    /// The writer's thread: serves jobs until the log is closed.
    fileprivate func serve(_ journal: AuditJournal) {
        var isOpen = true
        while isOpen {
            var entries: [AuditJournal.Entry] = []
            func flush() {
                guard !entries.isEmpty else { return }
                journal.write(entries) { learn(from: journal) }
                entries = []
            }
            for job in take(within: journal.patience) {
                switch job {
                case .append(let event, let durability, let waiter):
                    entries.append(.init(event: event, durability: durability, waiter: waiter))
                case .reopen(let waiter):
                    flush()
                    let result = Result { () throws(AuditError) in try journal.reopen() }
                    learn(from: journal)
                    waiter.resume(returning: result.map { journal.head })
                case .close(let waiter):
                    flush()
                    let result = Result { () throws(AuditError) in try journal.close() }
                    learn(from: journal)
                    waiter?.resume(returning: result.map { journal.head })
                    isOpen = false
                }
            }
            flush()
            if isOpen {
                journal.tick()
                learn(from: journal)
            }
        }
    }

    /// Makes known to all what the journal knows.
    fileprivate func learn(from journal: AuditJournal) {
        let (head, fault, counters) = (journal.head, journal.fault, journal.counters)
        state.withLock { state in
            state.head = head
            state.fault = fault
            state.counters = counters
        }
    }
}
