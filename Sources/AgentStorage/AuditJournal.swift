internal import AgentAudit
import AgentModel
internal import FoundationEssentials
internal import StrictJSON
internal import TransparencyLog

/// The writer itself: the chain, its file, and its faults. Used on one thread.
final class AuditJournal {
    struct Entry {
        var event: AuditEvent
        var durability: AuditDurability
        var waiter: AuditQueue.Waiter
    }

    private enum Health {
        case good
        /// The last write failed; counts the records that were refused since.
        case full(AuditError, refused: Int)
        /// Nothing is written until the file is reopened.
        case broken(AuditError, FileAuditSink.FaultCause)
    }

    private let path: String
    private let now: @Sendable () -> Date
    private let timing: FileAuditSink.Timing
    private let synced: (Duration) -> Void
    private var file: AuditLogFile?
    /// Its head is the newest record in the file, synced or not.
    private var chain: AuditChain
    /// Of the same records.
    private var tree: AuditTree
    private var health = Health.good
    /// Events of the log itself, written before the next record.
    private var notes: [AuditEvent] = []
    /// The heads that were verified when the log was opened.
    let verified: [AuditHead]
    /// The part that was in the file when it was opened, until it is taken for verification.
    private var history: AuditHistory?
    /// A file with a broken history, and its error: nothing is written to it any more.
    private var distrusted: (file: AuditLogFile.Identity, error: AuditError)?

    /// The synced end.
    private(set) var end: AuditEnd
    private(set) var counters = FileAuditSink.Counters()
    private var unsyncedSince: ContinuousClock.Instant?
    private var lastLook = ContinuousClock.now
    private var lastTry = ContinuousClock.now

    /// The free space that is required at the start, for some tens of records.
    private static let room: Int64 = 65_536

    /// Opens the log, verifies it from the saved head on, and writes its first record. `saved` is the newest head that
    /// the agent stored elsewhere. An `accepted` log only has to end at that head.
    ///
    /// `agent` is the name that each record gets, `stored` the tree at the saved head, and `signed` the newest checkpoint.
    init(
        path: String, agent: String? = nil, saved: AuditHead?, stored: CompactRange?, signed: TreeHead?,
        accepted: AuditHead? = nil, now: @escaping @Sendable () -> Date,
        timing: FileAuditSink.Timing, synced: @escaping (Duration) -> Void = { _ in }
    ) throws(AuditError) {
        self.path = path
        self.now = now
        self.timing = timing
        self.synced = synced
        var file = try AuditLogFile.open(path: path)
        let tail = try file.tail()
        let found = tail.record?.head
        let head: AuditHead
        if let accepted {
            guard accepted == found ?? .empty else {
                throw AuditError("audit log \(path): its head is \(found?.description ?? "none"), not the one named")
            }
            (head, verified) = (found ?? saved ?? .empty, [])
        } else if let saved, saved.seq > 0 {
            (head, verified) = try AuditTrail(path: path, end: tail.end).end(behind: saved, present: found)
        } else {
            (head, verified) = (found ?? Self.newestAside(path) ?? .empty, [])
        }
        // A record that a crash left unsynced counts as synced from now on.
        try file.sync()
        try file.checkRoom(for: Self.room)
        chain = AuditChain(from: head, agent: agent)
        tree = AuditTree.opened(path, end: tail.end, at: head, from: saved, stored, signed: signed)
        end = AuditEnd(head: head, tree: tree.range, flaw: tree.flaw)
        notes = [Self.event(try Self.note("opened", on: &file, tail, continuing: end))]
        history = AuditHistory(of: file, tail)
        self.file = consume file
        write([])
        switch health {
        case .good: break
        case .full(let error, _), .broken(let error, _): throw error
        }
    }

    /// The newest head among the rotated files beside the log.
    private static func newestAside(_ path: String) -> AuditHead? {
        AuditLogReader.files(of: path).dropLast().compactMap { file in
            (try? AuditLogReader(path: file).last()) ?? nil
        }.max { $0.seq < $1.seq }
    }

    /// The history to verify in the background; returned once for each opened file.
    func takeHistory() -> AuditHistory? {
        defer { history = nil }
        return history
    }

    /// Tells of a checkpoint that was signed.
    func expect(_ signed: TreeHead) {
        tree.expect(signed)
        if tree.range == nil { end = AuditEnd(head: end.head, tree: nil, flaw: tree.flaw) }
    }

    /// Stops writing to a file whose history is broken, until another file is opened.
    func distrust(_ identity: AuditLogFile.Identity, _ error: AuditError) {
        guard file?.identity == identity else { return }
        sync()
        distrusted = (identity, error)
        health = .broken(error, .chain)
    }

    /// Why a record would be refused now.
    var fault: AuditError? {
        switch health {
        case .good: nil
        case .full(let error, _): AuditError("\(error); writing resumes by itself")
        case .broken(let error, _): error
        }
    }

    /// The kind of ``fault``.
    var faultCause: FileAuditSink.FaultCause? {
        switch health {
        case .good: nil
        case .full: .full
        case .broken(_, let cause): cause
        }
    }
}

// MARK: - Writing

extension AuditJournal {
    /// Writes the notes and the entries with one write, syncs once if an entry needs it, and resumes the waiters.
    ///
    /// Calls `publish` before it resumes waiters, so that they find the current ``end`` and ``fault``.
    func write(_ entries: [Entry], publish: () -> Void = {}) {
        if let error = obstacle() { return refuse(entries, error, publish) }
        var batch = AuditBatch(chain, tree)
        let time = Timestamp(now())
        var notes = notes
        if case .full(let error, let refused) = health {
            notes.append(
                Self.event(["event": "resumed", "refused": JSON(refused), "reason": .string(error.description)]))
        }
        for note in notes { batch.add(note, at: time) }
        let accepted = entries.map { entry in (entry, head: batch.add(entry.event, at: time)) }
        store(batch)
        if let fault { return refuse(entries, fault, publish) }
        self.notes = []

        let (waiting, done) = accepted.partitioned { entry, head in head != nil && entry.durability == .now }
        if !done.isEmpty {
            publish()
            for (entry, head) in done { entry.waiter.resume(returning: Self.result(head)) }
        }
        if !waiting.isEmpty || !notes.isEmpty { sync() }
        publish()
        for (entry, head) in waiting {
            let failure = fault.map { AuditError($0.description, mayBeWritten: true) }
            entry.waiter.resume(returning: failure.map { .failure($0) } ?? Self.result(head))
        }
    }

    private static func result(_ head: AuditHead?) -> Result<AuditHead, AuditError> {
        guard let head else {
            return .failure(AuditError("audit log: a record is too large; send a smaller request"))
        }
        return .success(head)
    }

    /// The error that prevents all writing; `nil` if there is none.
    private func obstacle() -> AuditError? {
        look()
        guard case .broken(let error, _) = health else { return nil }
        return error
    }

    /// Writes the lines; if that fails, ``fault`` has the error.
    private func store(_ batch: AuditBatch) {
        guard !batch.bytes.isEmpty else { return }
        lastTry = .now
        do throws(AuditLogFile.Failure) {
            try file?.append(batch.bytes)
        } catch {
            let refused = if case .full(_, let count) = health { count } else { 0 }
            health = error.heals ? .full(error.error, refused: refused) : .broken(error.error, .unusable)
            return
        }
        health = .good
        (chain, tree) = (batch.chain, batch.tree)
        counters.writes += 1
        counters.records += batch.count
        if unsyncedSince == nil { unsyncedSince = .now }
    }

    private func refuse(_ entries: [Entry], _ error: AuditError, _ publish: () -> Void) {
        if case .full(let error, let refused) = health { health = .full(error, refused: refused + entries.count) }
        publish()
        for entry in entries { entry.waiter.resume(returning: .failure(error)) }
    }

    /// Syncs all that is written to stable storage and moves the head there.
    private func sync() {
        guard unsyncedSince != nil, file != nil else { return }
        let start = ContinuousClock.now
        do throws(AuditError) {
            try file?.sync()
            synced(start.duration(to: .now))
            counters.syncs += 1
            end = AuditEnd(head: chain.head, tree: tree.range, flaw: tree.flaw)
            unsyncedSince = nil
        } catch {
            // A second sync would report success: the kernel reports lost pages only once.
            health = .broken(error, .unusable)
            unsyncedSince = nil
        }
    }

    private static func event(_ note: JSON) -> AuditEvent {
        AuditEvent(kind: .log, actor: "proxmox-agent", principal: "proxmox-agent", result: note)
    }
}

// MARK: - Time, rotation, end

extension AuditJournal {
    /// How long the thread may sleep.
    var patience: Duration {
        var next = lastLook + timing.look
        if case .full = health { next = min(next, lastTry + timing.retry) }
        if let unsyncedSince { next = min(next, unsyncedSince + timing.sync) }
        return max(.zero, ContinuousClock.now.duration(to: next))
    }

    /// Does what is due at this time: a sync, a retry after a failed write, a check of the file.
    func tick() {
        let now = ContinuousClock.now
        if case .full = health, lastTry + timing.retry <= now { write([]) }
        if let unsyncedSince, unsyncedSince + timing.sync <= now { sync() }
        if lastLook + timing.look <= now { look() }
    }

    /// Checks whether another process changed the file.
    private func look() {
        lastLook = .now
        if case .broken = health { return }
        do throws(AuditError) {
            try file?.checkUntouched()
        } catch {
            health = .broken(error, .changed)
        }
    }

    /// Opens the path anew: after a rotation, or after a fault was fixed. The chain continues with one record: `event`,
    /// if given, which then also describes the opening.
    ///
    /// If the new file cannot be opened, a healthy old one stays in use.
    func reopen(recording event: AuditEvent? = nil) throws(AuditError) {
        look()
        sync()
        let before = fault
        if file?.isAtItsPath ?? true { file = nil }
        let note: JSON
        do throws(AuditError) {
            var new = try AuditLogFile.open(path: path)
            if let distrusted, new.identity == distrusted.file {
                self.file = consume new
                throw distrusted.error
            }
            let tail = try new.tail()
            let last = AuditEnd(head: chain.head, tree: tree.range)
            note = try Self.note("reopened", on: &new, tail, continuing: last, after: before)
            history = AuditHistory(of: new, tail)
            file = consume new
        } catch {
            if file == nil { health = .broken(error, .unusable) }
            throw error
        }
        distrusted = nil
        if case .broken = health { health = .good }
        unsyncedSince = nil
        notes.append(event.map { Self.event($0, telling: note) } ?? Self.event(note))
        write([])
        guard let fault else { return }
        // Without its record, the event does not take place: the note is only about the opening then.
        if event != nil, let last = notes.indices.last { notes[last] = Self.event(note) }
        throw fault
    }

    private static func event(_ event: AuditEvent, telling note: JSON) -> AuditEvent {
        var event = event
        var result = event.result?.object ?? [:]
        result["log"] = note
        event.result = .object(result)
        return event
    }

    /// Syncs and closes the file; nothing is written afterwards. Throws if written records may be lost.
    func close() throws(AuditError) {
        sync()
        let last = health
        file = nil
        health = .broken(AuditError("audit log \(path): is closed; the agent is stopping"), .unusable)
        if case .broken(let error, _) = last { throw error }
    }

    /// Sets a torn end aside, and describes the state of the file.
    private static func note(
        _ event: String, on file: inout AuditLogFile, _ tail: AuditLogFile.Tail, continuing end: AuditEnd,
        after fault: AuditError? = nil
    ) throws(AuditError) -> JSON {
        let head = end.head
        var note: JSONObject = ["event": .string(event)]
        if head != .empty { note["continued_from"] = .string(head.description) }
        if let found = tail.record?.head, found != head { note["found"] = .string(found.description) }
        if tail.end == 0, head.seq > 0, let tree = end.tree { note["tree"] = tree.told }
        if let fault { note["fault"] = .string(fault.description) }
        if tail.end < file.length {
            note["torn_bytes"] = .integer(file.length - tail.end)
            note["torn_file"] = .string(try file.setAsideTorn(from: tail.end, seq: head.seq + 1))
        }
        return .object(note)
    }
}

extension Array {
    /// The elements that satisfy the condition, and the others, in order.
    fileprivate func partitioned(by fits: (Element) -> Bool) -> (fitting: [Element], others: [Element]) {
        (filter(fits), filter { !fits($0) })
    }
}
