import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Testing

@Suite(.timeLimit(.minutes(1)))
struct SQLiteStoreTests {
    @Test func `the store in a file keeps what every store keeps`() async throws {
        let directory = try TemporaryDirectory()
        let store = try SQLiteStore(path: "\(directory.path)/data/state.db")
        try await PlanStoreConformance(store).check()
        await store.close()
    }
}
