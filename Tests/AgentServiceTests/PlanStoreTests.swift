import AgentService
import AgentTestSupport
import Testing

@Suite(.timeLimit(.minutes(1)))
struct PlanStoreTests {
    @Test func `the store in memory keeps what every store keeps`() async throws {
        try await PlanStoreConformance(MemoryPlanStore()).check()
    }
}
