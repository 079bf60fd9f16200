import HTTPMessage
import HTTPTypes
import StrictJSON
import Synchronization

extension Simulator {
    /// The largest request body that a node accepts, in bytes.
    private static let bodyLimit = 512 << 10

    /// Runs a request in Proxmox VE's order: method, token, path, privileges, node, parameters, and then the endpoint.
    func perform(_ request: Request, path: String, fault: TaskFault?) throws(Failure) -> [UInt8] {
        let method = request.method.rawValue
        guard ["GET", "POST", "PUT", "DELETE"].contains(method) else {
            throw Failure(status: 501, message: "method '\(method)' not available", body: .none)
        }
        guard path.hasPrefix("/api2/json") else { throw Self.unserved(path) }
        if request.fields[.transferEncoding] != nil { throw .server(501, "chunked transfer encoding not supported") }
        guard request.body.count <= Self.bodyLimit else { throw .server(501, "for data too large") }
        let segments = path.split(separator: "/").dropFirst(2).map { String($0) }
        let now = options.now()
        return try state.withLock { (state) throws(Failure) in
            state.world.now = now
            state.world.bringBackNodes()
            if let event = state.world.tasks.nextEvent, event <= now { state.world.advance() }
            let caller = try state.world.access.caller(of: request)
            guard let (endpoint, captured) = EndpointTable.all.find(method, segments) else {
                throw .notImplemented(method, "/" + segments.joined(separator: "/"))
            }
            if segments.starts(with: ["cluster", "ha", "rules"]), state.world.haGroups != nil {
                throw .notImplemented(method, "/" + segments.joined(separator: "/"))
            }
            var raw = try FormDecoder.parameters(of: request)
            for (name, value) in captured { raw[name] = .text(value) }
            try Self.check(endpoint.needs, raw, caller)
            if let name = captured["node"], state.world.node(name) == nil {
                throw Failure(
                    "hostname lookup '\(name)' failed - failed to get address info for: \(name): "
                        + (state.world.resolvesNames
                            ? "Name or service not known" : "Temporary failure in name resolution"))
            }
            try Self.checkReach(of: endpoint, captured, state.world)
            let (values, lists) = try endpoint.parameters.check(raw)
            let call = EndpointCall(endpoint: endpoint, caller: caller, values: values, lists: lists)
            state.world.taskFault = fault
            defer { state.world.taskFault = nil }
            if !state.world.isQuorate { try state.withoutQuorum(call) }
            let reply = try endpoint.answer(call, in: &state.world)
            if method != "GET" { state.record(call, path: "/" + segments.joined(separator: "/"), reply) }
            return reply.bytes
        }
    }

    /// Forwards a request for another node to that node.
    private static func checkReach(
        of endpoint: Endpoint, _ captured: [String: String], _ world: ClusterState
    ) throws(Failure) {
        guard let name = captured["node"], !endpoint.isLocal, world.isUnreachable(name) else { return }
        throw Failure(status: 595, message: "No route to host", body: .none)
    }

    private static func unserved(_ path: String) -> Failure {
        let segments = path.split(separator: "/")
        if segments.first == "api2" {
            guard segments.count > 1 else { return .server(501, "no such uri") }
            let uri = "/" + segments.dropFirst(2).joined(separator: "/")
            return .server(501, "no formatter for uri \(uri), \(segments[1])")
        }
        return .server(500, "no such file '\(path)'\n")
    }

    /// Checks `"/vms/{vmid} VM.Audit|VM.Console"`; the value of a placeholder must look like part of a path.
    private static func check(_ needs: String, _ raw: [String: RawValue], _ caller: Caller) throws(Failure) {
        guard let blank = needs.firstIndex(of: " ") else { return }
        let privileges = needs[needs.index(after: blank)...]
        var path = ""
        for part in needs[..<blank].split(separator: "/") {
            guard part.hasPrefix("{") else {
                path += "/\(part)"
                continue
            }
            guard case .text(let value) = raw[String(part.dropFirst().dropLast())] else { continue }
            guard !value.isEmpty, value.allSatisfy({ Format.isAlphanumeric($0) || "-_./@!".contains($0) }) else {
                throw .denied(", \(privileges)")
            }
            path += "/\(value)"
        }
        if path.isEmpty { path = "/" }
        try caller.need(String(privileges), on: path)
    }
}

extension Simulator.State {
    /// Refuses a call that needs quorum, or makes its task fail.
    mutating func withoutQuorum(_ call: EndpointCall) throws(Failure) {
        switch call.endpoint.withoutQuorum(call) {
        case .works: break
        case .refused(let failure): throw failure
        case .refusedAtEnd(let failure):
            var scratch = world
            _ = try call.endpoint.answer(call, in: &scratch)
            throw failure
        case .taskFails(let text): world.taskFault = .fails(text)
        }
    }

    mutating func record(_ call: EndpointCall, path: String, _ reply: Reply) {
        var upid: String?
        if case .data(.string(let text)) = reply, text.hasPrefix("UPID:") { upid = text }
        if executed.count >= Simulator.executionLimit { executed.removeFirst(Simulator.executionLimit / 10) }
        let execution = Execution(
            method: call.endpoint.method, path: path, pattern: "/" + call.endpoint.path, upid: upid,
            parameters: call.values, lists: call.lists, caller: call.caller.identity, time: world.now)
        executed.append(execution)
        counts["\(execution.method) \(execution.pattern)", default: 0] += 1
    }
}
