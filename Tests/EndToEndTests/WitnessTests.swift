import AgentService
import AgentTestSupport
import CurlHTTP
import FoundationEssentials
import Glibc
import HTTPMessage
import HTTPTypes
import MicroHTTPD
import StrictJSON
import Testing
import TransparencyLog
import WireTestSupport

@testable import proxmox_agent

/// A witness over real sockets, as a log asks it and as an agent meets it.
@Suite(.timeLimit(.minutes(2)))
struct WitnessTests {
    private static func key(_ name: String, _ use: NoteKeyUse, _ first: UInt8) throws -> SigningKey {
        try #require(SigningKey(name: name, use: use, seed: Array(first..<first + 32)))
    }

    private static func trees(_ count: UInt8) -> [CompactRange] {
        (0..<count).reduce(into: [.empty]) { trees, number in
            var tree = trees[trees.count - 1]
            tree.append(.leaf([number]))
            trees.append(tree)
        }
    }

    private static func note(_ head: TreeHead, by key: SigningKey) throws -> SignedNote {
        let text = Checkpoint(origin: key.verifier.name, head: head).text
        return SignedNote(text: text, signatures: [try #require(key.signature(on: text, at: 0))])
    }

    private static func proof(from old: UInt64, to new: UInt64) throws -> [TreeHash] {
        var walk = TreeWalk(try #require(TreeProof.consistency(from: old, to: new)))
        for number in 0..<UInt8(new) { walk.append(.leaf([number])) }
        return try #require(walk.hashes)
    }

    /// Runs `body` with a witness of these logs that listens.
    private static func withWitness(
        _ directory: String, _ logs: [SigningKey],
        _ body: (_ key: VerifierKey, _ client: Client) async throws -> Void
    ) async throws {
        let store = try await opened(directory, logs)
        let server = try HTTPServer(
            listening: .tcp(host: "127.0.0.1", port: 0),
            handler: WitnessHandler(store) { Date(timeIntervalSince1970: 77) })
        let client = try Client(of: server.address)
        do { try await body(store.signingKey.verifier, client) } catch {
            await client.stop()
            await server.shutdown(within: .seconds(1))
            throw error
        }
        await client.stop()
        await server.shutdown(within: .seconds(1))
    }

    /// Opens the directory, once the last witness of this process has let go of it.
    private static func opened(_ directory: String, _ logs: [SigningKey]) async throws -> WitnessStore {
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            do throws(WitnessStore.Failure) {
                return try WitnessStore(directory, logs: logs.map(\.verifier), name: nil, host: "witness/test")
            } catch {
                guard error.description.contains("another witness"), .now < deadline else { throw error }
                await Task.yield()
            }
        }
    }

    private static func post(_ client: Client, _ body: String) async throws -> Reply {
        try await client.send(
            OutgoingRequest(
                method: .post, target: "/add-checkpoint", fields: [.contentType: "text/plain"],
                body: Array(body.utf8), once: false))
    }

    @Test func `a witness signs what continues, and remembers it through a restart`() async throws {
        let directory = try TemporaryDirectory()
        let place = "\(directory.path)/witness"
        let (log, other) = (try Self.key("log.example/a", .log, 0), try Self.key("log.example/b", .log, 1))
        let trees = Self.trees(9)
        func request(_ old: UInt64, _ new: UInt64, by key: SigningKey? = nil) throws -> String {
            let proof = old <= new ? try Self.proof(from: old, to: new) : []
            let note = try Self.note(trees[Int(new)].head, by: key ?? log)
            return AddCheckpoint(old: old, proof: proof, note: note).description
        }
        try await Self.withWitness(place, [log]) { key, client in
            let first = try await Self.post(client, try request(0, 3))
            #expect(first.status == 200, "\(first)")
            let note = SignedNote(
                text: Checkpoint(origin: log.verifier.name, head: trees[3].head).text,
                signatures: try SignedNote.signatures(first.text))
            #expect(key.verdict(on: note) == .good(at: 77) && key.name == "witness/test")
            #expect(try await Self.post(client, try request(3, 3)).status == 200, "the same again")
            let conflict = try await Self.post(client, try request(0, 5))
            #expect(conflict.status == 409 && conflict.text == "3\n")
            #expect(conflict.fields[.contentType] == "text/x.tlog.size")
            #expect(try await Self.post(client, try request(0, 3, by: other)).status == 404)
            let stranger = try Self.key("log.example/a", .log, 2)
            #expect(try await Self.post(client, try request(3, 5, by: stranger)).status == 403)
            #expect(try await Self.post(client, try request(5, 3)).status == 400)
            #expect(try await Self.post(client, "old 3\n\nnothing\n").status == 400)
            #expect(try await Self.post(client, String(repeating: "x", count: 2 << 20)).status == 413)
            let get = OutgoingRequest(method: .get, target: "/add-checkpoint", once: false)
            #expect(try await client.send(get).status == 405)
        }
        try await Self.withWitness(place, [log, other]) { key, client in
            var forked = trees[2]
            for number in 20..<26 as Range<UInt8> { forked.append(.leaf([number])) }
            let lie = AddCheckpoint(
                old: 3, proof: try Self.proof(from: 3, to: 8), note: try Self.note(forked.head, by: log))
            #expect(try await Self.post(client, lie.description).status == 422)
            #expect(try await Self.post(client, try request(0, 8)).text == "3\n", "it remembers")
            #expect(try await Self.post(client, try request(3, 8)).status == 200)
            let target = "/\(WitnessStore.hash(log.verifier.name))/checkpoint"
            let shown = try await client.send(OutgoingRequest(method: .get, target: target, once: false))
            let note = try SignedNote(parsing: Array(shown.text.utf8))
            #expect(try Checkpoint.verified(note, by: log.verifier).head == trees[8].head)
            #expect(key.verdict(on: note) == .good(at: 77))
            let unseen = "/\(WitnessStore.hash(other.verifier.name))/checkpoint"
            let none = OutgoingRequest(method: .get, target: unseen, once: false)
            #expect(try await client.send(none).status == 404)
        }
    }

    @Test func `two witnesses do not share a directory, and a damaged memory is not believed`() throws {
        let directory = try TemporaryDirectory()
        let place = "\(directory.path)/witness"
        let log = try Self.key("log.example/a", .log, 0)
        func open(_ name: String? = nil) throws -> WitnessStore {
            try WitnessStore(place, logs: [log.verifier], name: name, host: "witness/test")
        }
        do {
            let store = try open()
            #expect(throws: WitnessStore.Failure.self) { try open() }
            let note = try Self.note(Self.trees(1)[1].head, by: log)
            let signature = try #require(store.signingKey.signature(on: note.text, at: 1))
            try store.put(note, signature)
            var info = stat()
            #expect(lstat("\(place)/witness.key", &info) == 0 && info.st_mode & 0o777 == 0o600)
        }
        #expect(throws: WitnessStore.Failure.self, "another name") { try open("witness/other") }
        do {
            let store = try open("witness/test")
            #expect(store.newest(of: log.verifier.name)?.size == 1)
        }
        try write("log.example/a\n0\n", to: "\(place)/\(WitnessStore.hash(log.verifier.name)).checkpoint")
        #expect(throws: WitnessStore.Failure.self) { try open() }
    }

    /// What a bad witness does with each request, and what it counts as.
    private static let bad: [(name: String, steps: [RawServer.Step], reason: String)] = [
        ("closes", [.request, .close], "unreachable"),
        ("hangs", [.request, .hang], "unreachable"),
        ("redirects", [.request, .answer("302 Found", fields: ["Location: http://127.0.0.1:1/"]), .again], "refused"),
        ("knows nothing", [.request, .answer("404 Not Found"), .again], "refused"),
        ("talks nonsense", [.request, .answer("200 OK", "yes"), .again], "invalid"),
        ("says nothing of the size", [.request, .answer("409 Conflict", "all"), .again], "invalid"),
        ("claims a change", [.request, .answer("422 Unprocessable Content"), .again], "inconsistent"),
        ("claims more", [.request, .answer("409 Conflict", "1000000\n"), .again], "ahead"),
        (
            "sends a gigabyte",
            [
                .request, .send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"),
                .send(Array(repeating: 0x78, count: 200_000)), .hang,
            ], "invalid"
        ),
    ]

    @Test(arguments: bad.indices)
    func `a witness that is down or lies is counted, and holds up nothing`(number: Int) async throws {
        let (name, steps, reason) = Self.bad[number]
        let server = try RawServer { _ in steps }
        defer { server.stop() }
        let key = try Self.key("witness.example/w", .witness, 9).verifier
        let entry: JSON = ["url": .string("http://127.0.0.1:\(server.port)/w"), "key": .string(key.description)]
        try await withAgent(Setup(settings: ["audit_witnesses": [entry]])) { agent in
            let asked = Task { await agent.agent.service.checkpoints.finish(within: .seconds(2)) }
            // Whatever the witness does, plans are made and applied.
            let plan = try await agent.planID(.start)
            #expect(try await agent.apply(plan)["result"]?["status"] == "succeeded", "\(name)")
            await asked.value
            #expect(try await agent.get("/v1/audit/checkpoint").status == 200, "\(name)")
            let metrics = try await agent.get("/metrics").text
            let line =
                "proxmox_agent_audit_witness_failures_total{witness=\"witness.example/w\",reason=\"\(reason)\"} 1"
            #expect(
                metrics.contains(line), "\(name): \(metrics.split(separator: "\n").filter { $0.contains("witness") })")
            #expect(metrics.contains(#"proxmox_agent_audit_checkpoint_withheld{reason="contradiction"} 0"#))
            let told = try agent.lines().filter { $0["result"]?["event"] == "witness_failed" }
            #expect(told.count == 1 && told.first?["result"]?["reason"]?.string == reason, "\(name): \(told)")
        }
        #expect(server.requests.contains { $0.start.hasPrefix("POST /w/add-checkpoint ") }, "\(name)")
    }
}
