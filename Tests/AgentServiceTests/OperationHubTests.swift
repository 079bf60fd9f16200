import AgentModel
import AgentTestSupport
import Synchronization
import Testing

@testable import AgentService

@Suite(.timeLimit(.minutes(1)))
struct OperationHubTests {
    /// How far an operation has come.
    private final class Stage: Sendable {
        let value = Atomic(0)
    }

    private let id = RecordID.sample(1, .operation)

    @Test func `what was published before the wait is not waited for`() async {
        let hub = OperationHub()
        let version = hub.version
        hub.publish(id)
        await hub.wait(for: id, after: version, atMost: .seconds(3600))
    }

    @Test func `publishing wakes all who wait for it`() async {
        let hub = OperationHub()
        let version = hub.version
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<50 { group.addTask { await hub.wait(for: self.id, after: version, atMost: .seconds(3600)) } }
            group.addTask { hub.publish(self.id) }
        }
    }

    @Test func `a wait ends with its time, and when its task is cancelled`() async {
        let hub = OperationHub()
        await hub.wait(for: id, after: hub.version, atMost: .milliseconds(1))
        await hub.wait(for: id, after: hub.version, atMost: .zero)
        let task = Task { await hub.wait(for: id, after: hub.version, atMost: .seconds(3600)) }
        task.cancel()
        await task.value
    }

    @Test func `nobody sleeps through the end, however close it comes`() async {
        let hub = OperationHub()
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<300 {
                let id = RecordID.sample(UInt64(number), .operation)
                let stage = Stage()
                let last = 5
                for _ in 0..<3 {
                    group.addTask {
                        while true {
                            let version = hub.version
                            if stage.value.load(ordering: .acquiring) == last { return }
                            await hub.wait(for: id, after: version, atMost: .seconds(3600))
                        }
                    }
                }
                group.addTask {
                    for next in 1...last {
                        await Task.yield()
                        stage.value.store(next, ordering: .releasing)
                        hub.publish(id)
                    }
                }
            }
        }
    }
}
