package import AgentModel
package import AgentService

/// A store that survives the process, wherever it keeps the state.
package protocol StateStore: PlanStore {
    /// The installation's key, stored in a file of its own.
    var key: InstallationKey { get }
    /// The id of the installation, made with the state: 16 hexadecimal digits.
    var installation: String { get }
    /// What the writer has done.
    var counters: StoreCounters { get }
    /// What several agents on the state share; `nil` where there can be only one.
    var leases: (any LeaseStore)? { get }
    /// Runs the waiting bodies, and lets other agents have the state. Later calls throw.
    func close() async
    /// From now on nobody waits for a server that is away: whose commit was under way hears that it may be stored.
    func stopWaiting()
}

/// What a store's writer has done since the store was opened.
package struct StoreCounters: Sendable, Hashable {
    package var bodies = 0
    /// The transactions that the bodies shared.
    package var batches = 0
    /// The bodies that are waiting now.
    package var waiting = 0
}

/// The two queues of a store.
struct StoreQueues: Sendable {
    let writer: StoreQueue
    let reader: StoreQueue

    init(_ name: String, readers: Int = 1) {
        writer = StoreQueue(name)
        reader = StoreQueue(name, threads: readers)
    }

    func run<Value: Sendable>(
        _ body: @escaping @Sendable (StoreRecords) -> Value, on queue: StoreQueue
    ) async throws(StoreError) -> Value {
        let result: Result<Value, StoreError> = await withCheckedContinuation { waiter in
            let job = StoreQueue.Job { records in
                let value = body(records)
                return { error in waiter.resume(returning: error.map { .failure($0) } ?? .success(value)) }
            } refuse: {
                waiter.resume(returning: .failure($0))
            }
            queue.put(job)
        }
        return try result.get()
    }

    func stopWaiting() {
        reader.stopWaiting()
        writer.stopWaiting()
    }

    /// Takes no more bodies.
    func close() {
        reader.close()
        writer.close()
    }

    /// Waits for those that it has.
    func end() async {
        reader.close()
        await reader.end()
        writer.close()
        await writer.end()
    }
}
