import AgentAudit
import AgentModel
import Logging
import Synchronization
package import TransparencyLog

/// Signs checkpoints of the audit log, gets the signatures of witnesses, and proves that records are in it.
///
/// Owns what was signed. A checkpoint is stored before anybody sees it, and none is signed that does not continue the
/// one before.
package final class CheckpointService: Sendable {
    /// Why no checkpoint is signed.
    package enum Withheld: String, Sendable, Hashable, CaseIterable {
        /// The tree of older records is not known.
        case incomplete
        /// The log is not the one of an earlier checkpoint.
        case contradiction
        /// The log is shorter than an earlier checkpoint: it, or the state, came from a backup.
        case behind
        /// The state cannot store it.
        case unstored

        /// In words.
        package var phrase: String {
            switch self {
            case .incomplete: "files of older records are gone, so that its tree is not known"
            case .contradiction: "the log is not the one of an earlier checkpoint"
            case .behind: "the log is shorter than an earlier checkpoint"
            case .unstored: "the state cannot store it"
            }
        }
    }

    struct OfWitness: Sendable {
        /// How long the log is that the witness knows, as far as we know, and what the tree was then.
        var size: UInt64 = 0
        var tree: CompactRange?
        var failure: WitnessFailure?
        var figures = CheckpointFigures.OfWitness()
    }

    struct State: Sendable {
        var newest: SignedCheckpoint?
        var withheld: Withheld?
        var witnesses: [String: OfWitness] = [:]
        var isGreeted = false
        /// The newest of the signings, which run one after the other.
        var turn: Task<Void, Never>?
        /// The questions to the witnesses that are under way.
        var asking: Task<Void, Never>?
    }

    let audited: AuditedStore
    let state: Mutex<State>

    init(_ audited: AuditedStore) {
        self.audited = audited
        let given = audited.ports.checkpoints
        var first = State(newest: given?.newest)
        for witness in given?.witnesses ?? [] {
            // Most likely it has signed the newest one; otherwise it says what it knows.
            let newest = given?.newest
            first.witnesses[witness.key.name] = OfWitness(size: newest?.head.size ?? 0, tree: newest?.tree)
        }
        state = Mutex(first)
    }

    var ports: Ports { audited.ports }

    /// What signatures of checkpoints are verified with; `nil` if none are made.
    package var key: VerifierKey? { ports.checkpoints?.key.verifier }

    /// Signs a checkpoint if records were written since the last one, and starts to ask the witnesses that lack it.
    /// Says in the log why, if it signs none.
    package func make() async {
        guard let given = ports.checkpoints else { return }
        let task = state.withLock { state in
            let task = Task { [before = state.turn] in
                await before?.value
                await self.sign(given)
            }
            state.turn = task
            return task
        }
        await task.value
        startAsking(given)
    }

    /// The last checkpoint before the end: waits for the witnesses, but not longer than `limit`.
    package func finish(within limit: Duration) async {
        await make()
        guard let asking = state.withLock({ $0.asking }) else { return }
        let timer = Task {
            try? await Task.sleep(for: limit)
            asking.cancel()
        }
        await asking.value
        timer.cancel()
    }

    private func sign(_ given: CheckpointPorts) async {
        await greet(given)
        let end = ports.audit.end
        guard let tree = end.tree else { return withhold(end.flaw == .contradiction ? .contradiction : .incomplete) }
        if let newest = state.withLock({ $0.newest }) {
            guard tree.size >= newest.head.size else { return withhold(.behind) }
            if tree.size == newest.head.size {
                guard tree.head != newest.head else { return withhold(nil) }
                // Else nothing would tell once the log is longer.
                await ports.audit.expect(newest.head)
                return withhold(.contradiction)
            }
        }
        guard tree.size > 0 else { return }
        let text = Checkpoint(origin: given.key.verifier.name, head: tree.head).text
        guard let signature = given.key.signature(on: text, at: 0) else {
            return ports.log.error("no checkpoint of the audit log is signed: the signature failed")
        }
        let made = SignedCheckpoint(
            origin: given.key.verifier.name, head: tree.head, tree: tree, signedAt: ports.now(),
            note: SignedNote(text: text, signatures: [signature]))
        guard await store(made) else { return withhold(.unstored) }
        withhold(nil)
    }

    /// Stores a checkpoint unless a longer one is, and only then knows it as the newest.
    func store(_ made: SignedCheckpoint) async -> Bool {
        do throws(ServiceError) {
            try await audited.write { records in
                if let stored = records.checkpoint(of: made.origin), stored.head.size > made.head.size { return }
                records.put(made)
            }
        } catch {
            ports.log.error("a checkpoint cannot be stored: \(error.detail)")
            return false
        }
        state.withLock { state in
            if let newest = state.newest, newest.head.size > made.head.size { return }
            state.newest = made
        }
        return true
    }

    /// Notes why no checkpoint is signed, and logs it when that changes.
    private func withhold(_ reason: Withheld?) {
        let (before, newest) = state.withLock { state in
            defer { state.withheld = reason }
            return (state.withheld, state.newest)
        }
        guard reason != before else { return }
        guard let reason else { return ports.log.notice("checkpoints of the audit log are signed again") }
        let (size, known) = (ports.audit.end.head.seq, newest?.head.size ?? 0)
        let why =
            switch reason {
            case .incomplete:
                "older files of the log are gone; bring them back beside the present one, and start the agent again"
            case .contradiction:
                "the log is not the one of the checkpoint of \(known) records; bring the right files back, or set "
                    + "audit_origin to a new name"
            case .behind:
                "the log has \(size) records, and a checkpoint of \(known) was signed; bring the newer files back, or "
                    + "set audit_origin to a new name"
            case .unstored: "the state does not store it"
            }
        ports.log.error("no checkpoint of the audit log is signed: \(why)", metadata: ["reason": "\(reason)"])
    }

    // MARK: What others ask for

    /// The newest checkpoint as a note.
    package func newest() throws(ServiceError) -> SignedNote {
        guard let newest = state.withLock({ $0.newest }) else {
            throw ServiceError(.notFound, "no checkpoint of the audit log has been signed yet; ask again in a minute")
        }
        return newest.note
    }

    /// The proof that the record of that number is in the newest checkpoint.
    package func proof(of seq: UInt64) async throws(ServiceError) -> ProofFile {
        let note = try newest()
        guard let head = try? Checkpoint(note).head, seq > 0, seq <= head.size else {
            throw ServiceError(.notFound, "the newest checkpoint does not cover record \(seq); ask again in a minute")
        }
        do throws(AuditError) {
            return try await ProofFile(of: seq, in: note, head) { parts throws(AuditError) in
                try await ports.audit.hashes(of: parts, in: head.size, from: nil)
            }
        } catch {
            throw ServiceError(.auditUnavailable, "\(error)")
        }
    }

    package var figures: CheckpointFigures {
        state.withLock { state in
            let names = (ports.checkpoints?.witnesses ?? []).map(\.key.name)
            return CheckpointFigures(
                newest: state.newest, withheld: state.withheld,
                witnesses: names.map { ($0, state.witnesses[$0]?.figures ?? .init()) })
        }
    }
}
