internal import AgentAudit
internal import Glibc
internal import Synchronization

/// All files of a log as one chain: the rotated ones beside it, and the current one.
struct AuditTrail {
    let path: String
    /// Where the last whole record of the current file ends, if known.
    var end: Int64?

    /// Calls `body` with the records from number `seq`, or from the first that exists, until it returns false. Checks
    /// each against the one before it, across files too.
    func walk(from seq: UInt64, _ body: (AuditRecord) throws(AuditError) -> Bool) throws(AuditError) {
        var chain: AuditChain?
        var isEnough = false
        guard var file = try start(from: seq) else { return }
        while true {
            try reader(file).walk(from: seq, &chain) { record throws(AuditError) in
                isEnough = try !body(record)
                return !isEnough
            }
            guard !isEnough, file != path, let next = try successor(of: chain) else { return }
            file = next
        }
    }

    /// The file in which the walk begins; the current one if it has the record.
    private func start(from seq: UInt64) throws(AuditError) -> String? {
        let first = try reader(path).first()
        if let first, first <= seq { return path }
        let aside = asideNewestFirst
        for file in aside where try AuditLogReader(path: file).holds(seq) { return file }
        // No file has the record any more, or yet: begin with the next one that exists.
        let later = ([path] + aside).compactMap { file -> (first: UInt64, file: String)? in
            guard let first = (try? AuditLogReader(path: file).first()) ?? nil, first > seq else { return nil }
            return (first, file)
        }
        return later.min { $0.first < $1.first }?.file
    }

    /// The file that continues the chain.
    private func successor(of chain: AuditChain?) throws(AuditError) -> String? {
        guard let chain else { return nil }
        let next = chain.head.seq + 1
        for file in [path] + asideNewestFirst where try reader(file).first() == next { return file }
        return nil
    }

    private var asideNewestFirst: [String] { AuditLogReader.files(of: path).dropLast().reversed() }

    private func reader(_ file: String) throws(AuditError) -> AuditLogReader {
        try AuditLogReader(path: file, upTo: file == path ? end : nil)
    }
}

// MARK: - What a walk is for

extension AuditTrail {
    /// The records after number `seq`, oldest first, at most `limit`, and no more once they have `bytes` bytes.
    ///
    /// Verifies the chain from the record before them to the next one in `anchors`, so that no broken or forged part is
    /// accepted. Throws if that one is more than `most` records away.
    func records(
        after seq: UInt64, limit: Int, bytes: Int = .max, _ anchors: AuditAnchors, verifying most: Int = .max
    ) throws(AuditError) -> [AuditRecord] {
        var found: [AuditRecord] = []
        var anchor: AuditHead?
        var passed: [AuditHead] = []
        var isVerified = false
        var behind = 0
        var size = 0
        func isFull() -> Bool { found.count >= limit || size >= bytes }
        try walk(from: seq) { record throws(AuditError) in
            if record.seq > seq, !isFull() {
                found.append(record)
                size += record.line.count
                anchor = anchors.next(from: record.seq)
                isVerified = false
                behind = 0
            } else {
                behind += 1
            }
            guard behind <= most else {
                throw AuditError(
                    "audit log \(path): what stands behind record \(record.seq - UInt64(most)) is still being verified; "
                        + "ask again in a minute")
            }
            if record.seq.isMultiple(of: AuditAnchors.distance) { passed.append(record.head) }
            if let anchor, record.seq == anchor.seq {
                guard record.hash == anchor.hash else {
                    throw replaced("its record \(record.seq) is not the one that was written: it was replaced")
                }
                isVerified = true
            }
            return !isFull() || anchor.map { record.seq < $0.seq } ?? false
        }
        // The anchor may have been written after this walk's end.
        guard let anchor else { return found }
        if isVerified {
            anchors.add(passed.filter { $0.seq <= anchor.seq })
        } else if let last = found.last, try !reaches(anchor, from: last.head) {
            throw replaced(
                "its records up to \(last.seq) do not lead to record \(anchor.seq), which was written")
        }
        return found
    }

    private func replaced(_ what: String) -> AuditError {
        AuditError("audit log \(path): \(what); see proxmox-agent audit verify")
    }

    /// Whether the chain continues from `last` to the anchor without a break.
    private func reaches(_ anchor: AuditHead, from last: AuditHead) throws(AuditError) -> Bool {
        var isFirst = true
        var isThere = false
        try walk(from: last.seq) { record throws(AuditError) in
            if isFirst, record.head != last { return false }
            isFirst = false
            isThere = record.head == anchor
            return record.seq < anchor.seq
        }
        return isThere
    }

    /// Verifies the rotated files, a little at a time. If they lead to `end`, the record before the current file's
    /// first, adds their heads to `anchors`. A flaw in them only makes their pages unavailable.
    func learnAside(upTo end: AuditHead, _ anchors: AuditAnchors, isWanted: () -> Bool) {
        var passed: [AuditHead] = []
        var isLinked = false
        do throws(AuditError) {
            try walk(from: 0) { record throws(AuditError) in
                if record.seq.isMultiple(of: AuditAnchors.distance) { passed.append(record.head) }
                if record.seq.isMultiple(of: 64) { usleep(1000) }
                isLinked = record.head == end
                return record.seq < end.seq && isWanted()
            }
        } catch { return }
        if isLinked { anchors.add(passed) }
    }

    /// The newest record, after verifying all records behind the saved head, with some heads on the way. Throws, with
    /// what to do, if the log lacks that head or does not continue it.
    func end(
        behind saved: AuditHead, present: AuditHead?
    ) throws(AuditError) -> (head: AuditHead, passed: [AuditHead]) {
        var head: AuditHead?
        var passed: [AuditHead] = []
        do throws(AuditError) {
            try walk(from: saved.seq) { record throws(AuditError) in
                if head == nil {
                    let isSaved = record.head == saved
                    guard isSaved || (record.seq == saved.seq + 1 && record.prev == saved.hash) else {
                        throw AuditError(
                            record.seq == saved.seq
                                ? "audit log \(path): its record \(saved.seq) is not the one that was synced: it was replaced"
                                : "audit log \(path): records \(saved.seq) to \(record.seq - 1) are missing, of which "
                                    + "\(saved.seq) was synced")
                    }
                }
                head = record.head
                if record.seq.isMultiple(of: AuditAnchors.distance) { passed.append(record.head) }
                return true
            }
        } catch {
            throw refusal(error.description, present)
        }
        guard let head else {
            let what =
                present.map { "ends at record \($0.seq), but \(saved.seq) was synced: it was cut" }
                ?? "is empty or gone, but record \(saved.seq) was synced"
            throw refusal("audit log \(path): \(what)", present)
        }
        guard present == nil || present == head else {
            throw refusal("audit log \(path): does not continue record \(head.seq)", present)
        }
        return (head, passed)
    }

    /// Reports what is wrong, and what to do. Accepting the current file is suggested only if it is valid.
    private func refusal(_ what: String, _ present: AuditHead?) -> AuditError {
        let command = "proxmox-agent audit accept --config FILE --head"
        let isWhole = (try? AuditVerifier.verify(files: [path], ignoringTorn: true)) != nil
        return AuditError(
            isWhole || present == nil
                ? "\(what). Bring the right file back, or, to go on with what there is: \(command) "
                    + (present?.description ?? "none")
                : "\(what). Bring the right file back; or keep this one as evidence, move it to another directory, and go on "
                    + "without it: \(command) none")
    }
}

/// Some of the heads that the log is known to have had: written by this process, or verified.
final class AuditAnchors: Sendable {
    /// Sorted.
    private let heads = Mutex<[AuditHead]>([])
    /// The least distance between two, in records.
    static let distance: UInt64 = 256

    /// Adds the newest head; replaces the last one if that is still too close to the one before.
    func note(_ head: AuditHead) {
        heads.withLock { heads in
            guard let last = heads.last else { return heads.append(head) }
            // The newest head is replaced until it is far enough from the one before.
            let before = heads.dropLast().last?.seq ?? 0
            guard head.seq > last.seq else { return }
            if last.seq - before < Self.distance { heads[heads.count - 1] = head } else { heads.append(head) }
        }
    }

    /// Adds verified heads.
    func add(_ verified: [AuditHead]) {
        heads.withLock { heads in
            let all = (heads + verified).sorted { $0.seq < $1.seq }
            heads = []
            for head in all {
                // Keep the newest, even if another is close before it.
                let isFarEnough = heads.last.map { head.seq - $0.seq >= Self.distance } ?? true
                if isFarEnough || head.seq == all.last?.seq, heads.last != head { heads.append(head) }
            }
        }
    }

    /// The first head at or after the record of this number.
    func next(from seq: UInt64) -> AuditHead? {
        heads.withLock { heads in
            var (low, high) = (0, heads.count)
            while low < high {
                let middle = (low + high) / 2
                if heads[middle].seq < seq { low = middle + 1 } else { high = middle }
            }
            return low < heads.count ? heads[low] : nil
        }
    }
}
