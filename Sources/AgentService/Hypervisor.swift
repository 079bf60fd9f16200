package import AgentModel
package import StrictJSON

/// Why a hypervisor gave no good answer. Texts hold no secret.
package enum HypervisorError: Error, Sendable, Hashable {
    /// It answered, and the answer is no.
    case refused(PVERejection)
    /// Nothing was sent.
    case unreachable(String)
    /// Nothing was sent: the gate was closed.
    case withheld
    /// No answer within the time; nothing is known of what it did.
    case timeout(sent: Bool)
    /// The connection broke, or what came cannot be understood.
    case invalid(String, mayHaveExecuted: Bool)

    /// For a mutation: whether PVE may have carried it out all the same. Only `false` is certain.
    package var mayHaveExecuted: Bool {
        switch self {
        case .refused(let upstream): upstream.isFromGateway
        case .unreachable, .withheld: false
        case .timeout(let sent): sent
        case .invalid(_, let may): may
        }
    }
}

extension HypervisorError {
    /// What became of a mutation that ended so.
    var stepState: StepState {
        switch self {
        case _ where mayHaveExecuted: .unknown
        case .refused: .failed
        case .unreachable, .timeout, .invalid, .withheld: .notSent
        }
    }
}

/// What came of a mutation that PVE accepted.
package enum Accepted: Sendable, Hashable {
    /// PVE works on it; the task's end is the outcome.
    case task(UPID)
    /// Done at once, with PVE's `data`.
    case done(JSON)
}

/// Rows of an inventory, rendered: `{…},{…}` without brackets, each row with its environment.
package struct RenderedRows: Sendable, Hashable {
    package let bytes: [UInt8]
    package let count: Int

    package init(bytes: [UInt8], count: Int) {
        self.bytes = bytes
        self.count = count
    }
}

/// Where a guest is, as the cluster's resource list has it.
package struct GuestPlace: Sendable, Hashable {
    package let node: NodeName
    package let pool: String?

    package init(node: NodeName, pool: String?) {
        self.node = node
        self.pool = pool
    }
}

/// The port to one Proxmox VE. Reads may be retried by the adapter; a mutation is sent at most once.
package protocol Hypervisor: Sendable {
    /// `GET /version`: the version text, such as `9.2.6`, and whether a simulator says so.
    func version() async throws(HypervisorError) -> (version: String, isSimulator: Bool)

    /// `GET /cluster/resources?type=vm`, all guests or the running ones.
    func inventory(runningOnly: Bool) async throws(HypervisorError) -> RenderedRows

    /// Where the guest is; `nil` when the list, which PVE filters by the token's rights, does not have it.
    func locate(_ guest: GuestRef) async throws(HypervisorError) -> GuestPlace?

    /// A read call; answers its `data`.
    func read(_ call: Call) async throws(HypervisorError) -> JSON

    /// A mutation. `gate` is asked when the way to PVE is open, right before the first byte is written; its no ends the
    /// call as ``HypervisorError/withheld``. Called on any thread.
    func change(
        _ call: Call, passing gate: @escaping @Sendable () -> Bool
    ) async throws(HypervisorError) -> Accepted

    /// Returns when no mutation that has passed its gate has anything left to write: one that has is broken off.
    func finishWriting() async

    /// `GET /nodes/{node}/tasks/{upid}/status`.
    func status(of task: UPID) async throws(HypervisorError) -> TaskStatus

    /// `GET /nodes/{node}/tasks/{upid}/log`: the lines from `start` on, at most `limit`, and how many there are.
    func log(of task: UPID, from start: Int, limit: Int) async throws(HypervisorError) -> (lines: [String], total: Int)

    /// `DELETE /nodes/{node}/tasks/{upid}`: asks PVE to stop the task.
    func stop(_ task: UPID) async throws(HypervisorError)
}
