import HTTPMessage
import HTTPTypes
import Synchronization

@testable import PVESimulator

/// The pending faults, and the storages that hang.
final class FaultBook: Interceptor {
    struct State {
        var faults: [Fault] = []
        /// Requests to carry out later.
        var late: [Request] = []
        var hangingStorages: Set<String> = []
    }

    let state = Mutex(State())

    func respond(
        to request: Request, at path: String, of simulator: Simulator, _ answer: (TaskFault?) async -> Response
    ) async -> Response {
        let fault = take(method: request.method.rawValue, path: path)
        switch fault {
        case .delay(let time): try? await Task.sleep(for: time)
        case .reset: return Response(status: .badGateway, ending: .reset)
        case .status(let code, let reason): return Wire.raw(status: code, reason: reason)
        case .late(let code, let reason):
            state.withLock { $0.late.append(request) }
            return Wire.raw(status: code, reason: reason)
        case .hang: return await hang()
        default: break
        }
        if hangs(request, path: path, simulator) { return await hang() }
        return damage(await answer(fault?.ofTask), by: fault)
    }

    /// The answer after the fault has damaged it.
    private func damage(_ answer: Response, by fault: Fault.Effect?) -> Response {
        switch fault {
        case .executeThenReset: return Response(status: .badGateway, ending: .reset)
        case .cutBody:
            let bytes = answer.body.bytes
            return Wire.raw(
                status: 200, reason: "OK", type: Wire.json, body: Array(bytes.prefix(bytes.count / 2)),
                declared: bytes.count)
        case .wrongJSON:
            return Wire.raw(status: 200, reason: "OK", type: Wire.json, body: Array("{\"data\":[{\"vmid\":".utf8))
        case .html:
            let page = "<!DOCTYPE html><html><head><title>Proxmox</title></head><body>Welcome</body></html>"
            return Wire.raw(status: 200, reason: "OK", type: "text/html", body: Array(page.utf8))
        default: return answer
        }
    }

    private func hang() async -> Response {
        while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
        return Response(status: .badGateway, ending: .reset)
    }

    private func take(method: String, path: String) -> Fault.Effect? {
        let below = path.hasPrefix("/api2/json") ? path.dropFirst("/api2/json".count) : path[...]
        return state.withLock { state in
            guard !state.faults.isEmpty,
                let index = state.faults.firstIndex(where: { fault in
                    (fault.method ?? method) == method && below.hasPrefix(fault.path == "/" ? "" : fault.path)
                })
            else { return nil }
            state.faults[index].count -= 1
            let effect = state.faults[index].effect
            if state.faults[index].count <= 0 { state.faults.remove(at: index) }
            return effect
        }
    }

    /// Whether a read accesses a storage that hangs. It does if it names one. A status list also does, because PVE then
    /// queries all storages of the node; `content` excludes those without such content, `storage` does not.
    private func hangs(_ request: Request, path: String, _ simulator: Simulator) -> Bool {
        let named = state.withLock { $0.hangingStorages }
        let parts = path.split(separator: "/").dropFirst(2).map(String.init)
        guard !named.isEmpty, parts.count > 2, parts[0] == "nodes", parts[2] == "storage" else { return false }
        let hanging = simulator.state.withLock { state in
            state.world.storages.filter { named.contains($0.id) && $0.isEnabled && $0.isOn(parts[1]) }
        }
        guard !hanging.isEmpty else { return false }
        if parts.count > 4, parts[4] == "content" { return hanging.contains { $0.id == parts[3] } }
        guard parts.count == 3, case .text(let wanted)? = try? FormDecoder.parameters(of: request)["content"] else {
            return parts.count == 3 || parts.last == "status"
        }
        return hanging.contains { storage in Format.list(wanted).contains { storage.contents.contains($0) } }
    }
}

extension Fault.Effect {
    fileprivate var ofTask: TaskFault? {
        switch self {
        case .neverEndingTask: .neverEnds
        case .taskError(let text): .fails(text)
        case .taskWarnings(let count): .warns(count)
        default: nil
        }
    }
}
