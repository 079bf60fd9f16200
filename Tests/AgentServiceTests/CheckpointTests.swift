import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import Logging
import StrictJSON
import Synchronization
import Testing
import TransparencyLog

/// What is signed, what is not, and what witnesses' answers are worth.
@Suite(.timeLimit(.minutes(1)))
struct CheckpointTests {
    private static let origin = "log.example/a"

    private static func key(_ name: String, _ use: NoteKeyUse, _ first: UInt8 = 0) throws -> SigningKey {
        try #require(SigningKey(name: name, use: use, seed: Array(first..<first + 32)))
    }

    /// A witness by the rules, that a test can make lie.
    private final class FakeWitness: Witness {
        struct State {
            var newest: SignedNote?
            var known: TreeHead?
            var asked: [AddCheckpoint] = []
            var lie: WitnessAnswer?
        }

        let key: VerifierKey
        let signer: SigningKey
        let log: VerifierKey
        let state = Mutex(State())

        init(_ name: String, _ first: UInt8, log: VerifierKey) throws {
            signer = try CheckpointTests.key(name, .witness, first)
            (key, self.log) = (signer.verifier, log)
        }

        func newest(of origin: String) async -> SignedNote? { state.withLock { $0.newest } }

        func add(_ request: AddCheckpoint) async -> WitnessAnswer {
            state.withLock { state in
                state.asked.append(request)
                if let lie = state.lie { return lie }
                switch request.verdict(
                    { [log] in $0 == log.name ? log : nil }, newest: { [known = state.known] _ in known })
                {
                case .good(let head):
                    state.known = head
                    guard let signature = signer.signature(on: request.note.text, at: 7) else { return .inconsistent }
                    state.newest = SignedNote(
                        text: request.note.text, signatures: request.note.signatures + [signature])
                    return .signed([signature])
                case .conflict(let size): return .conflict(size)
                case .inconsistent: return .inconsistent
                case .badSignature, .unknownLog, .malformed: return .refused("refused")
                }
            }
        }
    }

    private struct Desk {
        let audit = MemoryAuditSink()
        let store: FlakyPlanStore
        let service: ControlPlane
        let witnesses: [FakeWitness]
        let key: SigningKey

        init(
            _ witnesses: [FakeWitness] = [], store: FlakyPlanStore = FlakyPlanStore(), newest: SignedCheckpoint? = nil
        ) throws {
            self.store = store
            self.witnesses = witnesses
            key = try CheckpointTests.key(CheckpointTests.origin, .log)
            service = ControlPlane(
                managedEnvironments: [],
                ports: Ports(
                    audit: audit, store: store, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                    installation: Installation(origin: CheckpointTests.origin),
                    checkpoints: CheckpointPorts(key: key, witnesses: witnesses, newest: newest)), key: .sample)
        }

        var checkpoints: CheckpointService { service.checkpoints }

        func write(_ count: Int = 1) async throws {
            for number in 0..<count { try await audit.append(.sample(number), .now) }
        }

        /// Signs, and waits for the witnesses.
        func make() async { await checkpoints.finish(within: .seconds(10)) }

        func newest() throws -> Checkpoint { try Checkpoint.verified(checkpoints.newest(), by: key.verifier) }

        var stored: SignedCheckpoint? {
            get async throws { try await store.read { $0.checkpoint(of: CheckpointTests.origin) } }
        }
    }

    private static func witness(_ first: UInt8 = 40) throws -> FakeWitness {
        try FakeWitness("witness.example/\(first)", first, log: key(origin, .log).verifier)
    }

    // MARK: Signing

    @Test func `a checkpoint is signed when something was written, and stored with the tree`() async throws {
        let desk = try Desk()
        await desk.make()
        #expect(throws: ServiceError.self) { try desk.newest() }
        try await desk.write(3)
        await desk.make()
        #expect(try desk.newest().head == desk.audit.end.tree?.head)
        let first = try await desk.stored
        #expect(first?.head.size == 3 && first?.tree == desk.audit.end.tree)
        await desk.make()
        #expect(try await desk.stored == first, "nothing was written since")
        try await desk.write()
        await desk.make()
        #expect(try desk.newest().head.size == 4)
        #expect(try await desk.store.read { $0.mark?.tree } == desk.audit.end.tree, "the mark has the tree as well")
    }

    @Test func `what cannot be stored is not signed, and is signed later`() async throws {
        let desk = try Desk()
        try await desk.write()
        desk.store.failWrites { true }
        await desk.make()
        #expect(throws: ServiceError.self) { try desk.newest() }
        #expect(desk.checkpoints.figures.withheld == .unstored)
        desk.store.failWrites { false }
        await desk.make()
        #expect(try desk.newest().head.size == 1 && desk.checkpoints.figures.withheld == nil)
    }

    @Test func `a log that is shorter than what was signed is not signed until it has those records`() async throws {
        let before = try Desk()
        try await before.write(5)
        await before.make()
        let signed = try #require(try await before.stored)
        let desk = try Desk(store: before.store, newest: signed)
        for size in 1...4 {
            try await desk.write()
            await desk.make()
            #expect(desk.checkpoints.figures.withheld == .behind, "\(size)")
            #expect(try desk.newest().head == signed.head)
        }
    }

    @Test func `the same length with another tree is a contradiction`() async throws {
        let before = try Desk()
        try await before.write(2)
        await before.make()
        let signed = try #require(try await before.stored)
        let desk = try Desk(store: before.store, newest: signed)
        try await desk.audit.append(.sample(7), .now)
        try await desk.audit.append(.sample(8), .now)
        await desk.make()
        #expect(desk.checkpoints.figures.withheld == .contradiction)
        #expect(try await desk.stored == signed)
    }

    @Test func `a proof leads from the record to the checkpoint`() async throws {
        let desk = try Desk()
        try await desk.write(9)
        await desk.make()
        try await desk.write()
        let head = try desk.newest().head
        for record in desk.audit.records.prefix(9) {
            let proof = try await desk.checkpoints.proof(of: record.seq)
            #expect(TreeProof.holds(.leaf(record.line), at: proof.index, proof.path, in: head))
            #expect(try proof.checkpoint == desk.checkpoints.newest())
        }
        for seq in [0, 10, .max] as [UInt64] {
            let error = await #expect(throws: ServiceError.self) { try await desk.checkpoints.proof(of: seq) }
            #expect(error?.code == .notFound)
        }
    }

    // MARK: Witnesses

    @Test func `witnesses sign, and go on with the next one`() async throws {
        let desk = try Desk([try Self.witness(40), try Self.witness(50)])
        for size in [3, 8, 9] as [UInt64] {
            try await desk.write(Int(size) - Int(desk.audit.head.seq))
            await desk.make()
            let note = try desk.checkpoints.newest()
            for witness in desk.witnesses { #expect(witness.key.verdict(on: note) == .good(at: 7)) }
            #expect(note.signatures.count == 3)
            #expect(try await desk.stored?.note == note, "with their signatures")
            #expect(desk.checkpoints.figures.witnesses.map(\.figures.size) == [size, size])
        }
        #expect(desk.witnesses[0].state.withLock { $0.asked.map(\.old) } == [0, 3, 8])
    }

    @Test func `a witness that knows another size than expected is proven that one`() async throws {
        let witness = try Self.witness()
        let first = try Desk([witness])
        try await first.write(4)
        await first.make()
        let stored = try #require(try await first.stored)
        // It has forgotten everything, and shows nothing.
        witness.state.withLock { ($0.known, $0.newest) = (nil, nil) }
        let desk = try Desk([witness], store: first.store, newest: stored)
        try await desk.write(7)
        await desk.make()
        #expect(witness.key.verdict(on: try desk.checkpoints.newest()) == .good(at: 7))
        #expect(witness.state.withLock { $0.asked.map(\.old) } == [0, 4, 0])
    }

    @Test(
        arguments: [
            (.unreachable("down"), .unreachable), (.refused("403"), .refused), (.inconsistent, .inconsistent),
            (.invalid("garbage"), .invalid), (.signed([]), .invalid), (.conflict(0), .invalid),
            (.conflict(2), .invalid),
            (.conflict(1_000_000), .ahead), (.conflict(.max), .ahead),
            (.signed([SignedNote.Signature(name: "witness.example/40", keyID: 1, bytes: [1])]), .invalid),
        ] as [(WitnessAnswer, WitnessFailure)])
    func `a witness that is down or lies stops nothing, and is counted`(
        lie: WitnessAnswer, failure: WitnessFailure
    ) async throws {
        let (liar, honest) = (try Self.witness(40), try Self.witness(50))
        let desk = try Desk([liar, honest])
        liar.state.withLock { $0.lie = lie }
        for size in [3, 5] as [UInt64] {
            try await desk.write(Int(size) - Int(desk.audit.head.seq))
            await desk.make()
            #expect(try desk.newest().head.size == size && desk.checkpoints.figures.withheld == nil)
            #expect(honest.key.verdict(on: try desk.checkpoints.newest()) == .good(at: 7))
            #expect(liar.key.verdict(on: try desk.checkpoints.newest()) == .unsigned)
        }
        #expect(desk.checkpoints.figures.witnesses[0].figures.failures == [failure: 2])
        let told = desk.audit.events.filter { $0.result?["event"] == "witness_failed" }
        #expect(told.count == 1 && told.first?.result?["reason"]?.string == failure.rawValue, "recorded once")
        liar.state.withLock { $0.lie = nil }
        await desk.make()
        #expect(
            liar.key.verdict(on: try desk.checkpoints.newest()) == .good(at: 7), "asked again, though nothing is new")
    }

    @Test func `a signature that is forged under the witness's own name is not taken`() async throws {
        let witness = try Self.witness()
        let desk = try Desk([witness])
        let forged = SignedNote.Signature(
            name: witness.key.name, keyID: witness.key.id, bytes: Array(repeating: 1, count: 72))
        witness.state.withLock { $0.lie = .signed([forged]) }
        try await desk.write()
        await desk.make()
        #expect(try desk.checkpoints.newest().signatures.count == 1)
        #expect(desk.checkpoints.figures.witnesses[0].figures.failures == [.invalid: 1])
    }

    /// State and log came from a backup, and only the witness remembers what was signed since.
    @Test func `what a witness knows of our own checkpoints keeps us from signing others`() async throws {
        let witness = try Self.witness()
        let before = try Desk([witness])
        try await before.write(3)
        await before.make()
        let old = try #require(try await before.stored)
        try await before.write(4)
        await before.make()
        let lost = try #require(try await before.stored)

        let desk = try Desk([witness], newest: old)
        try await desk.write(3)
        for number in 20..<22 { try await desk.audit.append(.sample(number), .now) }
        await desk.make()
        #expect(desk.checkpoints.figures.withheld == .behind)
        #expect(try desk.newest().head == lost.head)
        #expect(try await desk.stored?.head == lost.head)
        for number in 22..<24 { try await desk.audit.append(.sample(number), .now) }
        await desk.make()
        #expect(desk.checkpoints.figures.withheld == .contradiction, "as long as that, and another")
        #expect(witness.state.withLock { $0.known } == lost.head)
    }

    @Test func `a witness that shows what our key has not signed is not believed`() async throws {
        let witness = try Self.witness()
        let desk = try Desk([witness])
        let stranger = try Self.key(Self.origin, .log, 90)
        let text = Checkpoint(origin: Self.origin, head: TreeHead(size: 1000, root: .empty)).text
        let forged = SignedNote(text: text, signatures: [try #require(stranger.signature(on: text, at: 0))])
        witness.state.withLock { $0.newest = forged }
        try await desk.write()
        await desk.make()
        #expect(try desk.newest().head.size == 1 && desk.checkpoints.figures.withheld == nil)
    }
}
