package import AgentAudit
internal import Dispatch
package import FoundationEssentials
internal import Glibc
internal import Synchronization
internal import SystemThread
package import TransparencyLog

/// The audit log in a file: JSON Lines, mode 0600, one writer, one chain over all rotations.
///
/// A separate thread writes. All waiting records are written by one `write` and made durable by one `fdatasync` (group
/// commit). A failed write leaves nothing behind and is retried. A failed sync, or a file that others changed, is a
/// fault until ``reopen()``.
package final class FileAuditSink: AuditSink {
    /// The intervals of the writer.
    package struct Timing: Sendable {
        /// How long a record may be written but not synced.
        package var sync: Duration
        /// The pause before a failed write is retried.
        package var retry: Duration
        /// How often an idle writer checks whether the file was changed by others.
        package var look: Duration

        package init(
            sync: Duration = .milliseconds(500), retry: Duration = .seconds(1), look: Duration = .seconds(2)
        ) {
            self.sync = sync
            self.retry = retry
            self.look = look
        }
    }

    /// What the writer has done since the log was opened.
    package struct Counters: Sendable, Hashable {
        package var records = 0
        package var writes = 0
        package var syncs = 0
        /// The jobs that are waiting now.
        package var waiting = 0
    }

    /// Why the log takes no record.
    package enum FaultCause: String, Sendable, Hashable, CaseIterable {
        /// The disk is full; writing resumes by itself.
        case full
        /// A sync failed, or the file cannot be used.
        case unusable
        /// The file was cut, edited, replaced or deleted underneath the agent.
        case changed
        /// The chain at the start of the file is broken.
        case chain
    }

    private let queue: AuditQueue
    private let path: String
    /// How many records behind a page are verified at most while a request waits.
    private let patience = Mutex(Int.max)

    /// Opens or creates the log at `path`, locks it, verifies the records behind `saved`, and starts the writer.
    ///
    /// A new file gets mode 0600, a new directory (one level) 0700. A torn last line is moved to `<path>.torn-<seq>`.
    /// The first record says where the chain continues. Each record names the `agent`, unless that is `nil`. Throws on a full disk; a disk that fills later is a ``fault``
    /// that clears by itself.
    ///
    /// `saved` is the newest head known from elsewhere. The log, with the rotated files beside it, must have that
    /// record and continue it without a break. The file's part before it is verified in the background; a break there
    /// is a ``fault`` of that file. An `accepted` log is taken as it is if that is its head, `.empty` for an empty one.
    /// Throws with what to do about the file. `tree` is the tree of the records up to `saved`, and `signed` the newest
    /// checkpoint of the log: see ``end``. `synced` gets the time that each sync took, on the writer's thread.
    package init(
        path: String, of agent: String? = nil, continuing saved: AuditHead? = nil, tree: CompactRange? = nil,
        signed: TreeHead? = nil,
        accepting accepted: AuditHead? = nil,
        timing: Timing = Timing(),
        now: @escaping @Sendable () -> Date = { Date() }, synced: @escaping @Sendable (Duration) -> Void = { _ in }
    ) throws(AuditError) {
        // Makes `write` return an error at the file size limit, as for a full disk.
        signal(SIGXFSZ, SIG_IGN)
        let journal = try AuditJournal(
            path: path, agent: agent, saved: saved, stored: tree, signed: signed, accepted: accepted, now: now,
            timing: timing,
            synced: synced)
        let queue = AuditQueue(end: journal.end)
        self.queue = queue
        self.path = path
        queue.anchors.add(journal.verified)
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
        let (path, anchors, most) = (path, queue.anchors, patience.withLock { $0 })
        return try await withCheckedContinuation { waiter in
            // A separate thread, since the disk may be slow.
            do throws(OwnThread.Unavailable) {
                try OwnThread.start {
                    waiter.resume(
                        returning: Result { () throws(AuditError) in
                            try AuditTrail(path: path).records(
                                after: seq, limit: limit, bytes: bytes, anchors, verifying: most)
                        })
                }
            } catch {
                waiter.resume(returning: .failure(AuditError("audit log: \(error)")))
            }
        }.get()
    }

    /// Call it before serving: then a page too far from verified records is refused until these are near.
    package func serve() { patience.withLock { $0 = 4096 } }

    package var end: AuditEnd { queue.state.withLock { $0.end } }

    /// One after the other, so that many proofs do not read the whole log at the same time.
    private static let proofs = DispatchQueue(label: "audit tree")

    package func hashes(
        of parts: [Range<UInt64>], in size: UInt64, from known: CompactRange?
    ) async throws(AuditError) -> [TreeHash] {
        let path = path
        let isGivenUp = Atomic(false)
        let result: Result<[TreeHash], AuditError> = await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                Self.proofs.async {
                    waiter.resume(
                        returning: Result { () throws(AuditError) in
                            // Nobody waits for it any more.
                            guard !isGivenUp.load(ordering: .relaxed) else {
                                throw AuditError("audit log: the question was given up")
                            }
                            return try AuditTrail(path: path).hashes(of: parts, in: size, from: known)
                        })
                }
            }
        } onCancel: {
            isGivenUp.store(true, ordering: .relaxed)
        }
        return try result.get()
    }

    package func expect(_ signed: TreeHead) async {
        _ = await withCheckedContinuation { queue.put(.expect(signed, $0)) }
    }

    package var fault: AuditError? { queue.state.withLock { $0.fault } }

    package var faultCause: FaultCause? { queue.state.withLock { $0.faultCause } }

    package var counters: Counters {
        queue.state.withLock { state in
            var counters = state.counters
            counters.waiting = state.jobs.count
            return counters
        }
    }

    /// Syncs and opens the path anew, as on SIGHUP: after a rotation, or to clear a fault.
    ///
    /// The chain continues; the first record says from where, and what was wrong. Throws if the path cannot be used; a
    /// healthy old file stays in use then.
    ///
    /// An `event`, if given, is that first record.
    @discardableResult
    package func reopen(recording event: AuditEvent? = nil) async throws(AuditError) -> AuditHead {
        try await withCheckedContinuation { queue.put(.reopen(event, $0)) }.get()
    }

    /// Syncs and closes the log after all earlier appends. Later appends throw.
    package func close() async throws(AuditError) {
        _ = try await withCheckedContinuation { queue.put(.close($0)) }.get()
    }
}

extension AuditQueue {
    /// Runs the writer's thread: serves jobs until the log is closed.
    fileprivate func serve(_ journal: AuditJournal) {
        var isOpen = true
        verify(journal.takeHistory())
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
                case .reopen(let event, let waiter):
                    flush()
                    let result = Result { () throws(AuditError) in try journal.reopen(recording: event) }
                    learn(from: journal)
                    verify(journal.takeHistory())
                    waiter.resume(returning: result.map { journal.end.head })
                case .expect(let signed, let waiter):
                    flush()
                    journal.expect(signed)
                    learn(from: journal)
                    waiter.resume(returning: .success(journal.end.head))
                case .distrust(let file, let error):
                    flush()
                    journal.distrust(file, error)
                    learn(from: journal)
                case .close(let waiter):
                    flush()
                    let result = Result { () throws(AuditError) in try journal.close() }
                    learn(from: journal)
                    waiter?.resume(returning: result.map { journal.end.head })
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

    /// Verifies the history of the file that was opened.
    private func verify(_ history: AuditHistory?) {
        history?.verify(anchors) { [weak self] in
            self?.state.withLock { !$0.isClosed } ?? false
        } found: { [weak self] error in
            if let identity = history?.identity { self?.put(.distrust(identity, error)) }
        }
    }

    /// Publishes the journal's state.
    fileprivate func learn(from journal: AuditJournal) {
        let (end, fault, cause, counters) = (journal.end, journal.fault, journal.faultCause, journal.counters)
        if end.head.seq > 0 { anchors.note(end.head) }
        state.withLock { state in
            state.end = end
            state.fault = fault
            state.faultCause = cause
            state.counters = counters
        }
    }
}
