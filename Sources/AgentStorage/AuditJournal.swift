internal import AgentAudit
import AgentModel
internal import FoundationEssentials
internal import StrictJSON

/// The writer itself: the chain, its file, and what is wrong with it. Lives on one thread.
final class AuditJournal {
    struct Entry {
        var event: AuditEvent
        var durability: AuditDurability
        var waiter: AuditQueue.Waiter
    }

    private enum Health {
        case good
        /// The last write failed; so many records were refused since.
        case full(AuditError, refused: Int)
        /// Nothing is written until the file is opened anew.
        case broken(AuditError)
    }

    private let path: String
    private let now: @Sendable () -> Date
    private let timing: FileAuditSink.Timing
    private var file: AuditLogFile?
    /// Up to the newest record in the file, synced or not.
    private var chain: AuditChain
    private var health = Health.good
    /// What the log has to say of itself before the next record.
    private var notes: [JSON] = []

    private(set) var head: AuditHead
    private(set) var counters = FileAuditSink.Counters()
    private var unsyncedSince: ContinuousClock.Instant?
    private var lastLook = ContinuousClock.now
    private var lastTry = ContinuousClock.now

    /// The room that has to be there at the start: for some tens of records.
    private static let room: Int64 = 65_536

    /// Opens the log and writes its first record; `saved` is the newest head that the agent remembers from elsewhere.
    init(
        path: String, saved: AuditHead?, now: @escaping @Sendable () -> Date, timing: FileAuditSink.Timing
    ) throws(AuditError) {
        self.path = path
        self.now = now
        self.timing = timing
        var file = try AuditLogFile.open(path: path)
        let tail = try file.tail()
        let found = tail.record?.head
        // A log that was put aside while nobody wrote may end behind what is remembered: that was stored before its end.
        let aside = found == nil ? Self.newestAside(path) : nil
        let saved = aside.map { aside in saved.map { $0.seq > aside.seq ? $0 : aside } ?? aside } ?? saved
        if let found, let saved { try Self.check(found, against: saved, in: path) }
        // A record that a crash left unsynced counts as synced from here on.
        try file.sync()
        try file.checkRoom(for: Self.room)
        head = found ?? saved ?? .empty
        chain = AuditChain(from: head)
        notes = [try Self.note("opened", on: &file, tail, continuing: head)]
        self.file = consume file
        write([])
        switch health {
        case .good: break
        case .full(let error, _), .broken(let error): throw error
        }
    }

    /// The newest head among the files that were put aside under the log's name.
    private static func newestAside(_ path: String) -> AuditHead? {
        AuditLogReader.files(of: path).dropLast().compactMap { file in
            (try? AuditLogReader(path: file).last()) ?? nil
        }.max { $0.seq < $1.seq }
    }

    /// Compares the end of the log with what the agent remembers of it.
    private static func check(
        _ found: AuditHead, against saved: AuditHead, in path: String
    ) throws(AuditError) {
        let cure = "restore it, or keep it as evidence, move it aside and start again"
        guard found.seq >= saved.seq else {
            throw AuditError(
                "audit log \(path): ends at record \(found.seq), but \(saved.seq) was synced: it was cut; \(cure)")
        }
        guard found.seq > saved.seq || found == saved else {
            throw AuditError(
                "audit log \(path): its record \(saved.seq) is not the one that was synced: it was replaced; \(cure)")
        }
    }

    /// Why a record would be refused now.
    var fault: AuditError? {
        switch health {
        case .good: nil
        case .full(let error, _): AuditError("\(error); writing resumes by itself")
        case .broken(let error): error
        }
    }
}

// MARK: - Writing

extension AuditJournal {
    /// Writes the notes and the entries with one write and, where one of them needs it, one sync; tells the waiters.
    ///
    /// `publish` is called whenever a waiter is about to be told, so that it finds ``head`` and ``fault`` as they are
    /// then.
    func write(_ entries: [Entry], publish: () -> Void = {}) {
        if let error = obstacle() { return refuse(entries, error, publish) }
        var batch = Batch(chain)
        let time = Timestamp(now())
        var notes = notes
        if case .full(let error, let refused) = health {
            notes.append(["event": "resumed", "refused": JSON(refused), "reason": .string(error.description)])
        }
        for note in notes { batch.add(Self.event(note), at: time) }
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

    /// What keeps the log from being written at all.
    private func obstacle() -> AuditError? {
        look()
        guard case .broken(let error) = health else { return nil }
        return error
    }

    /// Writes the lines; where they cannot be written, ``fault`` says so.
    private func store(_ batch: Batch) {
        guard !batch.bytes.isEmpty else { return }
        lastTry = .now
        do throws(AuditLogFile.Failure) {
            try file?.append(batch.bytes)
        } catch {
            let refused = if case .full(_, let count) = health { count } else { 0 }
            health = error.heals ? .full(error.error, refused: refused) : .broken(error.error)
            return
        }
        health = .good
        chain = batch.chain
        counters.writes += 1
        counters.records += batch.count
        if unsyncedSince == nil { unsyncedSince = .now }
    }

    private func refuse(_ entries: [Entry], _ error: AuditError, _ publish: () -> Void) {
        if case .full(let error, let refused) = health { health = .full(error, refused: refused + entries.count) }
        publish()
        for entry in entries { entry.waiter.resume(returning: .failure(error)) }
    }

    /// Brings all that is written to stable storage and moves the head there.
    private func sync() {
        guard unsyncedSince != nil, file != nil else { return }
        do throws(AuditError) {
            try file?.sync()
            counters.syncs += 1
            head = chain.head
            unsyncedSince = nil
        } catch {
            // A second sync would say that all is well: the kernel tells of lost pages once.
            health = .broken(error)
            unsyncedSince = nil
        }
    }

    private static func event(_ note: JSON) -> AuditEvent {
        AuditEvent(kind: .log, actor: "proxmox-agent", principal: "proxmox-agent", result: note)
    }

    /// The lines of one write.
    private struct Batch {
        var chain: AuditChain
        var bytes: [UInt8] = []
        var count = 0

        init(_ chain: AuditChain) { self.chain = chain }

        /// Adds a record; `nil` when it is too large for a line.
        @discardableResult
        mutating func add(_ event: AuditEvent, at time: Timestamp) -> AuditHead? {
            var next = chain
            let line = next.extend(with: event, at: time).line
            guard line.count <= AuditRecord.maximumLineLength else { return nil }
            bytes += line
            bytes.append(UInt8(ascii: "\n"))
            count += 1
            chain = next
            return next.head
        }
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

    /// Does what is due without anybody asking: a sync, another try after a failed write, a look at the file.
    func tick() {
        let now = ContinuousClock.now
        if case .full = health, lastTry + timing.retry <= now { write([]) }
        if let unsyncedSince, unsyncedSince + timing.sync <= now { sync() }
        if lastLook + timing.look <= now { look() }
    }

    /// Sees whether others have laid hands on the file.
    private func look() {
        lastLook = .now
        if case .broken = health { return }
        do throws(AuditError) {
            try file?.checkUntouched()
        } catch {
            health = .broken(error)
        }
    }

    /// Opens the path anew: after a rotation, or after a fault was mended. The chain goes on.
    ///
    /// Where the new file cannot be opened, a healthy old one stays in use.
    func reopen() throws(AuditError) {
        look()
        sync()
        let before = fault
        if file?.isAtItsPath ?? true { file = nil }
        do throws(AuditError) {
            var new = try AuditLogFile.open(path: path)
            let tail = try new.tail()
            notes.append(
                try Self.note("reopened", on: &new, tail, continuing: chain.head, after: before))
            file = consume new
        } catch {
            if file == nil { health = .broken(error) }
            throw error
        }
        if case .broken = health { health = .good }
        unsyncedSince = nil
        write([])
        if let fault { throw fault }
    }

    /// Syncs and closes the file; nothing is written afterwards. Throws when what was written may be lost.
    func close() throws(AuditError) {
        sync()
        let last = health
        file = nil
        health = .broken(AuditError("audit log \(path): is closed; the agent is stopping"))
        if case .broken(let error) = last { throw error }
    }

    /// Sets a torn end aside and says how the file was found.
    private static func note(
        _ event: String, on file: inout AuditLogFile, _ tail: AuditLogFile.Tail, continuing head: AuditHead,
        after fault: AuditError? = nil
    ) throws(AuditError) -> JSON {
        var note: JSONObject = ["event": .string(event)]
        if head != .empty { note["continued_from"] = .string(head.description) }
        if let found = tail.record?.head, found != head { note["found"] = .string(found.description) }
        if let fault { note["fault"] = .string(fault.description) }
        if tail.end < file.length {
            note["torn_bytes"] = .integer(file.length - tail.end)
            note["torn_file"] = .string(try file.setAsideTorn(from: tail.end, seq: head.seq + 1))
        }
        return .object(note)
    }
}

extension Array {
    /// The elements that fit, and the others, each in their order.
    fileprivate func partitioned(by fits: (Element) -> Bool) -> (fitting: [Element], others: [Element]) {
        (filter(fits), filter { !fits($0) })
    }
}
