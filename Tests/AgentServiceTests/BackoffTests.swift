import AgentService
import Testing

struct BackoffTests {
    @Test(arguments: [
        (100, 500, [100, 200, 400, 500, 500]), (200, 5_000, [200, 400, 800, 1_600, 3_200]), (900, 500, [500, 500]),
    ])
    func `pauses double up to the longest`(first: Int, longest: Int, pauses: [Int]) {
        var backoff = Backoff(from: .milliseconds(first), to: .milliseconds(longest))
        for pause in pauses { #expect(backoff.next() == .milliseconds(pause)) }
    }
}
