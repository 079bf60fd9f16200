import AgentService
import Dispatch
import Foundation
import Testing

@testable import AgentStorage

/// Bodies that wait for the threads of a store.
@Suite(.timeLimit(.minutes(1)))
struct StoreQueueTests {
    @Test func `a thread that waits for its server takes no body from one that works`() async {
        let queue = StoreQueue("test", threads: 2)
        let isAway = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            queue.tell(StoreError("away"), of: 0)
            isAway.signal()
            while queue.pause(.seconds(30)) {}
            queue.serve({ _ in }, finish: {})
        }
        isAway.wait()
        Thread.detachNewThread { queue.serve({ for job in $0 { job.refuse(StoreError("taken")) } }, finish: {}) }
        for _ in 0..<100 {
            let taken = await withCheckedContinuation { waiter in
                queue.put(
                    StoreQueue.Job { _ in
                        { _ in }
                    } refuse: {
                        waiter.resume(returning: $0.detail)
                    })
            }
            #expect(taken == "taken")
        }
        queue.close()
        await queue.end()
    }
}
