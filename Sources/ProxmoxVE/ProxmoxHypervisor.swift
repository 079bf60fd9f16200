package import AgentModel
package import AgentService
import HTTPMessage
package import StrictJSON

/// One Proxmox VE as an implementation of the service's port.
package struct ProxmoxHypervisor: Hypervisor {
    private let client: PVEClient
    private let environment: EnvironmentName
    private let lists = LargeReads()

    package init(client: PVEClient, environment: EnvironmentName) {
        self.client = client
        self.environment = environment
    }

    package func version() async throws(HypervisorError) -> (version: String, isSimulator: Bool) {
        let data = try await get(Call(.get, ["version"])).data
        guard let version = data["version"]?.string else {
            throw .invalid("GET /version names no version", mayHaveExecuted: false)
        }
        return (version, data["simulator"]?.flag == true)
    }

    package func inventory(runningOnly: Bool) async throws(HypervisorError) -> RenderedRows {
        try await list(Self.resources) { body throws(JSONError) in
            try GuestRows(body).rendered(environment: environment, runningOnly: runningOnly)
        }
    }

    package func locate(_ guest: GuestRef) async throws(HypervisorError) -> GuestPlace? {
        try await list(Self.resources) { body throws(JSONError) in try GuestRows(body).place(of: guest) }
    }

    /// Lists of resources, which may be large, are reduced to the members that planning uses.
    package func read(_ call: Call) async throws(HypervisorError) -> JSON {
        guard call.method == .get, call.path == ["cluster", "resources"], !call.parameters.isEmpty else {
            return try await get(call).data
        }
        return try await list(try PVECall(call)) { body throws(JSONError) in try GuestRows.tree(body) }
    }

    /// The most bytes of lists that were in memory at once.
    package var mostListBytes: Int { lists.most }

    /// Reads a list that may be large, and at once converts it into something smaller.
    private func list<Value: Sendable>(
        _ call: PVECall, _ make: ([UInt8]) throws(JSONError) -> Value
    ) async throws(HypervisorError) -> Value {
        guard let cost = await lists.enter(call.target) else {
            throw .invalid("the call was given up", mayHaveExecuted: false)
        }
        let body: [UInt8]
        do throws(PVEError) { body = try await client.getRaw(call) } catch {
            lists.leave(cost, of: call.target, found: nil)
            throw HypervisorError(error)
        }
        lists.hold(body.count)
        defer { lists.leave(cost, of: call.target, found: body.count) }
        do throws(JSONError) { return try make(body) } catch {
            throw .invalid("the list of resources: \(error.detail)", mayHaveExecuted: false)
        }
    }

    package func change(
        _ call: Call, passing gate: @escaping @Sendable () -> Bool
    ) async throws(HypervisorError) -> Accepted {
        let wired = try PVECall(call)
        let data: JSON
        do throws(PVEError) { data = try await client.send(wired, gate: gate).data } catch {
            throw HypervisorError(error)
        }
        if let upid = data.string.flatMap(UPID.init) { return .task(upid) }
        // A task was started, but it cannot be followed.
        guard !call.startsTask, data.string?.hasPrefix("UPID:") != true else {
            throw .invalid("it names no task: \(data.shown)", mayHaveExecuted: true)
        }
        return .done(data)
    }

    package func finishWriting() async { await client.finishWriting() }

    package func status(of task: UPID) async throws(HypervisorError) -> TaskStatus {
        let data = try await get(Call(.get, Self.path(of: task) + ["status"])).data
        switch data["status"]?.string {
        case "running": return .running
        case "stopped": return .stopped(TaskExit(exitStatus: data["exitstatus"]?.string ?? "no exit status"))
        default: throw .invalid("a task's status is neither running nor stopped", mayHaveExecuted: false)
        }
    }

    package func log(
        of task: UPID, from start: Int, limit: Int
    ) async throws(HypervisorError) -> (lines: [String], total: Int) {
        let reply = try await get(
            Call(
                .get, Self.path(of: task) + ["log"],
                [(name: "start", value: .text("\(start)")), (name: "limit", value: .text("\(limit)"))]))
        let lines = (reply.data.array ?? []).prefix(limit).compactMap {
            $0["t"]?.string.map { String($0.prefix(4096)) }
        }
        return (lines, reply.total.map { Int($0) } ?? start + lines.count)
    }

    package func stop(_ task: UPID, passing gate: @escaping @Sendable () -> Bool) async throws(HypervisorError) {
        let call = try PVECall(Call(.delete, Self.path(of: task)))
        do throws(PVEError) { _ = try await client.send(call, gate: gate) } catch { throw HypervisorError(error) }
    }

    private static func path(of task: UPID) -> [String] {
        ["nodes", task.node.description, "tasks", task.description]
    }

    private static let resources: PVECall = {
        guard let path = try? PVEPath("cluster", "resources") else { preconditionFailure("a fixed path is a path") }
        return PVECall(.get, path, [PVEParameter("type", "vm")])
    }()

    private func get(_ call: Call) async throws(HypervisorError) -> PVEReply {
        let wired = try PVECall(call)
        do throws(PVEError) { return try await client.get(wired) } catch { throw HypervisorError(error) }
    }
}

extension PVECall {
    /// A call in its wire form; secrets are unwrapped here.
    init(_ call: Call) throws(HypervisorError) {
        let method: Method =
            switch call.method {
            case .get: .get
            case .post: .post
            case .put: .put
            case .delete: .delete
            }
        do throws(PVEPath.Invalid) {
            self.init(
                method, try PVEPath(segments: call.path),
                call.parameters.flatMap { name, value in
                    switch value {
                    case .text(let text): [PVEParameter(name, text)]
                    case .list(let texts): texts.map { PVEParameter(name, $0) }
                    case .secret(let secret): [PVEParameter(name, secret.reveal())]
                    // The digest must be filled in before sending; PVE refuses an empty one.
                    case .observedDigest: [PVEParameter(name, "")]
                    }
                })
        } catch {
            throw .invalid("a part of the path \(call.shownPath) cannot stand in a path", mayHaveExecuted: false)
        }
    }
}

extension HypervisorError {
    /// What the service needs to know of a failed call.
    init(_ error: PVEError) {
        switch error {
        case .refused(let refusal):
            self = .refused(PVERejection(status: refusal.status, reason: refusal.words, errors: refusal.errors))
        case .unauthenticated(let reason):
            self = .refused(
                PVERejection(status: 401, reason: "\(reason.isEmpty ? "401" : reason) (the API token is not accepted)"))
        case .invalid(let why): self = .invalid(why, mayHaveExecuted: true)
        case .transport(.unreachable(let why)): self = .unreachable(why)
        case .transport(.withheld): self = .withheld
        case .transport(.timeout(let sent)): self = .timeout(sent: sent)
        case .transport(.broken(let why, let sent)): self = .invalid(why, mayHaveExecuted: sent)
        case .transport(.tooLarge(let limit)):
            self = .invalid("larger than \(limit) bytes", mayHaveExecuted: true)
        case .transport(.cancelled(let sent)): self = .invalid("the call was given up", mayHaveExecuted: sent)
        }
    }
}
