import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import Glibc
import Testing

@testable import proxmox_agent

/// `proxmox-agent store`, as a process of its own beside the store.
@Suite(.timeLimit(.minutes(1)))
struct StoreCommandTests {
    private let directory: Directory
    private var state: String { directory.path + "/data/state.db" }

    private final class Directory {
        private let own: TemporaryDirectory
        var path: String { own.path }
        init() throws { own = try TemporaryDirectory() }
    }

    init() throws { directory = try Directory() }

    private func store(_ count: Int) async throws -> SQLiteStore {
        let store = try SQLiteStore(path: state)
        let requests = try (0..<count).map { _ in try ActionRequest.sample(.startVM, "vm/101") }
        try await store.write { records in
            for (number, request) in requests.enumerated() { records.put(.sample(request, number: UInt64(number))) }
        }
        return store
    }

    @Test func `check passes a sound state beside the agent and after it`() async throws {
        let store = try await store(3)
        let running = try await Program.run("store", "check", "--state", state)
        #expect(running.status == 0 && running.err.isEmpty, "\(running)")
        #expect(
            running.out.hasPrefix("state \(state): sound\nschema version \(StateSchema.current.steps.count), key "),
            "\(running)")
        #expect(running.out.contains("\nplans: 3 approved\n"), "\(running)")
        try await store.write { $0.put(.sample($0.plans(PlanFilter())[0].request, number: 9)) }
        await store.close()
        let config = directory.path + "/config.json"
        for (text, status) in [
            (#"{"state_path": "\#(state)", "other": 1}"#, 0), (#"{"state_path": 7}"#, 1), ("[]", 1), ("{", 1),
        ] as [(String, Int32)] {
            try Data(text.utf8).write(to: URL(filePath: config))
            let result = try await Program.run("store", "check", "--config", config)
            #expect(result.status == status, "\(text): \(result)")
            #expect(status == 0 ? result.out.contains("plans: 4 approved") : result.err.contains(config), "\(result)")
        }
    }

    @Test func `check names what is wrong and exits with 1`() async throws {
        #expect(try await Program.run("store", "check", "--state", state).status == 1)
        let store = try await store(1)
        await store.close()
        #expect(chmod(state, 0o644) == 0)
        let open = try await Program.run("store", "check", "--state", state)
        #expect(open.status == 1 && open.err.contains("run: chmod 600 \(state)") && open.out.isEmpty, "\(open)")
        #expect(chmod(state, 0o600) == 0)
        let bytes = try readFile(state, limit: 1 << 20)
        let text = Array("start_vm".utf8)
        let place = try #require(bytes.indices.first { bytes[$0...].starts(with: text) })
        var edited = bytes
        edited[place] = UInt8(ascii: "S")
        try Data(edited).write(to: URL(filePath: state))
        #expect(chmod(state, 0o600) == 0)
        let result = try await Program.run("store", "check", "--state", state)
        #expect(result.status == 1 && result.out.hasPrefix("state \(state): not sound\n"), "\(result)")
        #expect(result.err.contains("plans pln_") && result.err.contains("request.action"), "\(result)")
    }

    @Test func `backup makes a state that opens, and overwrites nothing`() async throws {
        let store = try await store(2)
        let copy = directory.path + "/copy.db"
        let result = try await Program.run("store", "backup", "--state", state, copy)
        #expect(result.status == 0 && result.err.isEmpty, "\(result)")
        #expect(result.out.contains("plans: 2 approved"), "\(result)")
        let again = try await Program.run("store", "backup", "--state", state, copy)
        #expect(again.status == 1 && again.err.contains("is there already; name a new file"), "\(again)")
        await store.close()
        let restored = try SQLiteStore(path: copy)
        #expect(restored.key.fingerprint == store.key.fingerprint)
        #expect(try await restored.read { $0.count(PlanFilter()) } == 2)
        await restored.close()
    }
}
