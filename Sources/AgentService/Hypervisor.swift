package import AgentModel
package import StrictJSON

/// Why a call to a hypervisor failed. Texts hold no secret.
package enum HypervisorError: Error, Sendable, Hashable {
    /// It answered with an error.
    case refused(PVERejection)
    /// Nothing was sent.
    case unreachable(String)
    /// Nothing was sent: the gate was closed.
    case withheld
    /// No answer in time. Whether the call had an effect is unknown.
    case timeout(sent: Bool)
    /// The connection broke, or the answer cannot be understood.
    case invalid(String, mayHaveExecuted: Bool)

    /// For a mutation: whether PVE may still have carried it out. Only `false` is certain.
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
    /// The state of a mutation's step that ended with this error.
    var stepState: StepState {
        switch self {
        case _ where mayHaveExecuted: .unknown
        case .refused: .failed
        case .unreachable, .timeout, .invalid, .withheld: .notSent
        }
    }
}

/// The result of a mutation that PVE accepted.
package enum Accepted: Sendable, Hashable {
    /// PVE is working on it; the task's end is the outcome.
    case task(UPID)
    /// Done at once, with PVE's `data`.
    case done(JSON)
}

/// Rows of an inventory, rendered as `{…},{…}` without brackets. Each row names its environment.
package struct RenderedRows: Sendable, Hashable {
    package let bytes: [UInt8]
    package let count: Int

    package init(bytes: [UInt8], count: Int) {
        self.bytes = bytes
        self.count = count
    }
}

/// The location of a guest in the cluster's resource list.
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

    /// The guest's location; `nil` if it is not in the list, which PVE filters by the token's rights.
    func locate(_ guest: GuestRef) async throws(HypervisorError) -> GuestPlace?

    /// Sends a read call and returns its `data`.
    func read(_ call: Call) async throws(HypervisorError) -> JSON

    /// Sends a mutation. `gate` is called on any thread, once the connection is ready and before the first byte is
    /// written. If it returns false, the call ends as ``HypervisorError/withheld``.
    func change(
        _ call: Call, passing gate: @escaping @Sendable () -> Bool
    ) async throws(HypervisorError) -> Accepted

    /// Returns once no mutation that has passed its gate has anything left to write. One that still has is aborted.
    func finishWriting() async

    /// `GET /nodes/{node}/tasks/{upid}/status`.
    func status(of task: UPID) async throws(HypervisorError) -> TaskStatus

    /// `GET /nodes/{node}/tasks/{upid}/log`: the lines from `start` on, at most `limit`, and how many there are.
    func log(of task: UPID, from start: Int, limit: Int) async throws(HypervisorError) -> (lines: [String], total: Int)

    /// `DELETE /nodes/{node}/tasks/{upid}`: asks PVE to stop the task. `gate` as for ``change(_:passing:)``.
    func stop(_ task: UPID, passing gate: @escaping @Sendable () -> Bool) async throws(HypervisorError)
}
