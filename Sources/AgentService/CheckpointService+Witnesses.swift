import AgentAudit
import AgentModel
import Logging
import StrictJSON
import Synchronization
import TransparencyLog

/// What witnesses are asked, and what their answers are worth.
extension CheckpointService {
    /// Looks, before the first signature of this process, for checkpoints of ours that the witnesses know and the state
    /// does not: then state and log came from a backup. Only what our own key has signed counts.
    func greet(_ given: CheckpointPorts) async {
        guard !state.withLock({ $0.isGreeted }) else { return }
        await withTaskGroup(of: Void.self) { group in
            for witness in given.witnesses { group.addTask { await self.look(at: witness, given) } }
        }
        state.withLock { $0.isGreeted = true }
    }

    /// Notes what a witness knows. A checkpoint of ours that is newer than ours is adopted: nothing that contradicts it
    /// is signed any more.
    private func look(at witness: any Witness, _ given: CheckpointPorts) async {
        let key = given.key.verifier
        guard let note = await witness.newest(of: key.name), let known = try? Checkpoint.verified(note, by: key) else {
            return
        }
        if case .good = witness.key.verdict(on: note) {
            state.withLock { state in
                let tree = state.newest.flatMap { $0.head == known.head ? $0.tree : nil }
                state.witnesses[witness.key.name]?.size = known.head.size
                state.witnesses[witness.key.name]?.tree = tree
            }
        }
        guard known.head.size > state.withLock({ $0.newest?.head.size ?? 0 }) else { return }
        ports.log.warning(
            "a witness knows a newer checkpoint of the audit log than the state",
            metadata: ["witness": "\(witness.key.name)", "size": "\(known.head.size)"])
        await adopt(
            SignedCheckpoint(origin: key.name, head: known.head, tree: nil, signedAt: ports.now(), note: note))
    }

    /// Makes it the newest, which the log must continue.
    private func adopt(_ checkpoint: SignedCheckpoint) async {
        let tree = state.withLock { $0.newest?.tree }
        guard await store(checkpoint) else { return }
        if await !continues(checkpoint.head, from: tree) { await ports.audit.expect(checkpoint.head) }
    }

    /// Whether the log is longer than that tree, and continues it.
    private func continues(_ head: TreeHead, from known: CompactRange?) async -> Bool {
        guard let tree = ports.audit.end.tree, tree.size > head.size,
            let parts = TreeProof.consistency(from: head.size, to: tree.size),
            let proof = try? await ports.audit.hashes(of: parts, in: tree.size, from: known)
        else { return false }
        return TreeProof.holds(from: head, to: tree.head, proof)
    }

    /// Asks the witnesses that lack the newest checkpoint, unless that is under way.
    func startAsking(_ given: CheckpointPorts) {
        state.withLock { state in
            guard state.asking == nil, let newest = state.newest, newest.tree != nil else { return }
            let lacking = given.witnesses.filter {
                state.witnesses[$0.key.name].map { $0.figures.size < newest.head.size } ?? false
            }
            guard !lacking.isEmpty else { return }
            state.asking = Task {
                await withTaskGroup(of: Void.self) { group in
                    for witness in lacking { group.addTask { await self.ask(witness, newest, given) } }
                }
                self.state.withLock { $0.asking = nil }
            }
        }
    }

    private func ask(_ witness: any Witness, _ newest: SignedCheckpoint, _ given: CheckpointPorts) async {
        let name = witness.key.name
        let known = state.withLock { $0.witnesses[name] } ?? OfWitness()
        var (old, tree) = (min(known.size, newest.head.size), known.tree)
        for isLast in [false, true] {
            let request: AddCheckpoint
            do throws(AuditError) {
                request = try await self.request(from: old, tree?.size == old ? tree : nil, newest)
            } catch {
                return await note(.unproven, error.description, of: name)
            }
            switch await witness.add(request) {
            case .signed(let signatures): return await take(signatures, of: witness, newest)
            case .conflict(let size) where size > newest.head.size:
                await note(.ahead, "it says that the log had \(size) records", of: name)
                return await look(at: witness, given)
            case .conflict(let size) where size == old || isLast:
                return await note(.invalid, "it contradicts itself about the size that it knows", of: name)
            case .conflict(let size): (old, tree) = (size, nil)
            case .inconsistent: return await note(.inconsistent, "it says that the log was changed", of: name)
            case .refused(let why): return await note(.refused, why, of: name)
            case .unreachable(let why): return await note(.unreachable, why, of: name)
            case .invalid(let why): return await note(.invalid, why, of: name)
            }
        }
    }

    private func request(
        from old: UInt64, _ known: CompactRange?, _ newest: SignedCheckpoint
    ) async throws(AuditError) -> AddCheckpoint {
        let parts = TreeProof.consistency(from: old, to: newest.head.size) ?? []
        let proof = try await ports.audit.hashes(of: parts, in: newest.head.size, from: known)
        // The first signature is the log's own.
        let own = SignedNote(text: newest.note.text, signatures: Array(newest.note.signatures.prefix(1)))
        return AddCheckpoint(old: old, proof: proof, note: own)
    }

    /// Takes a witness's signature if it is good.
    private func take(
        _ signatures: [SignedNote.Signature], of witness: any Witness, _ newest: SignedCheckpoint
    ) async {
        let own = signatures.filter { $0.name == witness.key.name && $0.keyID == witness.key.id }
        guard case .good(let time) = witness.key.verdict(on: SignedNote(text: newest.note.text, signatures: own)),
            let signature = own.first
        else { return await note(.invalid, "its signature is not good", of: witness.key.name) }
        let (isBack, current) = state.withLock { state in
            if state.newest?.head == newest.head {
                state.newest?.note.signatures.removeAll { $0.name == signature.name && $0.keyID == signature.keyID }
                state.newest?.note.signatures.append(signature)
            }
            let isBack = state.witnesses[witness.key.name]?.failure != nil
            state.witnesses[witness.key.name]?.failure = nil
            state.witnesses[witness.key.name]?.size = newest.head.size
            state.witnesses[witness.key.name]?.tree = newest.tree
            state.witnesses[witness.key.name]?.figures.size = newest.head.size
            state.witnesses[witness.key.name]?.figures.signedAt = time ?? 0
            return (isBack, state.newest)
        }
        if isBack { ports.log.notice("a witness signs again", metadata: ["witness": "\(witness.key.name)"]) }
        // Lost signatures are asked for again after the next start: no reason to fail.
        guard let current, current.head == newest.head else { return }
        do throws(ServiceError) {
            try await audited.write { records in
                if records.checkpoint(of: current.origin)?.head == current.head { records.put(current) }
            }
        } catch {
            ports.log.warning("a witness's signature cannot be stored: \(error.detail)")
        }
    }

    /// Counts a failure, and records it once until the witness signs again or fails in another way.
    private func note(_ failure: WitnessFailure, _ why: String, of name: String) async {
        let before = state.withLock { state in
            defer {
                state.witnesses[name]?.failure = failure
                state.witnesses[name]?.figures.failures[failure, default: 0] += 1
            }
            return state.witnesses[name]?.failure
        }
        guard before != failure else { return }
        ports.log.warning(
            "a witness does not sign the audit log's checkpoint: \(why)",
            metadata: ["witness": "\(name)", "reason": "\(failure.rawValue)"])
        // At the end the log is closed already.
        guard ports.audit.fault == nil else { return }
        let event = AuditEvent(
            kind: .log, actor: "proxmox-agent", principal: "proxmox-agent",
            result: [
                "event": "witness_failed", "witness": .string(name), "reason": .string(failure.rawValue),
                "message": .string(why),
            ])
        // It is in the agent's own log and in the figures, whether this can be recorded or not.
        _ = try? await audited.record(event, .soon)
    }
}
