import Glibc
package import HTTPMessage
import HTTPTypes
import StrictJSON
import Synchronization

/// A stateful Proxmox VE 9 in memory: its API as an HTTP handler, without anything behind it.
///
/// It answers as recordings of a real node do: statuses, reason phrases, bodies, tasks and locks. Its starting state
/// follows from its name alone.
package final class Simulator: HTTPHandler, Sendable {
    /// An API token the simulator knows.
    package struct Token: Sendable, Hashable {
        /// `user@realm!name`
        package var id: String
        package var secret: String
        /// Privileges by path: `["/vms/100": ["VM.Audit"]]`; `nil` means all.
        package var privileges: [String: Set<String>]?

        package init(id: String, secret: String, privileges: [String: Set<String>]? = nil) {
            self.id = id
            self.secret = secret
            self.privileges = privileges
        }

        /// The token of a line `USER@REALM!NAME=SECRET`; `nil` for one that no request could ever present.
        package init?(line: some StringProtocol) {
            guard let equals = line.firstIndex(of: "="), line.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                return nil
            }
            self.init(id: String(line[..<equals]), secret: String(line[line.index(after: equals)...]))
            do throws(Failure) {
                let caller = try Access(tokens: .list([self])).caller(presenting: "PVEAPIToken=\(line)")
                guard caller.identity == id else { return nil }
            } catch {
                return nil
            }
        }
    }

    package enum Tokens: Sendable, Hashable {
        /// Every well-formed token has all privileges.
        case any
        case list([Token])
    }

    package struct Options: Sendable {
        /// The starting state is a pure function of it. `home` is one node with a few guests, `cloud` three nodes with
        /// some forty guests; any other name gives a small cluster of its own.
        package var name: String
        /// So many guests instead, spread over the nodes.
        package var guests: Int?
        package var tokens: Tokens
        /// How long a task takes.
        package var taskDuration: Duration
        /// What a wrong token waits for its refusal; three seconds on a real node.
        package var authenticationDelay: Duration
        /// Wall-clock time since 1970.
        package var now: @Sendable () -> Duration
        /// Seeds what is invented at run time: identities of clones, MAC addresses.
        package var seed: UInt64?

        package init(
            name: String, guests: Int? = nil, tokens: Tokens = .any, taskDuration: Duration = .milliseconds(150),
            authenticationDelay: Duration = .zero, now: @escaping @Sendable () -> Duration = Simulator.wallClock,
            seed: UInt64? = nil
        ) {
            self.name = name
            self.guests = guests
            self.tokens = tokens
            self.taskDuration = taskDuration
            self.authenticationDelay = authenticationDelay
            self.now = now
            self.seed = seed
        }
    }

    struct State: Sendable {
        var world: ClusterState
        var faults: [Fault] = []
        var executed: [Execution] = []
        /// Requests that are to be carried out later.
        var late: [Request] = []
        /// How many requests of each method and pattern were executed, those no longer kept among them.
        var counts: [String: Int] = [:]
    }

    /// The newest executions are kept, up to this number.
    static let executionLimit = 10_000

    let options: Options
    let state: Mutex<State>

    package init(_ options: Options) {
        self.options = options
        var world = ClusterState.named(options.name, guests: options.guests, at: options.now())
        world.taskDuration = options.taskDuration
        world.access.tokens = options.tokens
        world.random = SeededRandom(seed: options.seed ?? UInt64.random(in: .min ... .max))
        state = Mutex(State(world: world))
    }

    /// `CLOCK_REALTIME`.
    package static func wallClock() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    /// A real node has no words for these either: it refuses what is too large, and else just goes away.
    package func refuse(_ request: Request, because refusal: Refusal) -> Response {
        switch refusal {
        case .bodyTooLarge: Wire.failure(.server(501, "for data too large"))
        case .headTooLarge: Wire.failure(.server(400, "header too large"))
        case .malformed(let detail): Wire.failure(.server(400, detail))
        case .deadlineExceeded, .overloaded, .shareUsedUp, .clientLeft, .shuttingDown:
            Response(status: .serviceUnavailable, ending: .reset)
        }
    }

    package func respond(to request: Request) async -> Response {
        let path = Self.path(of: request)
        if path == Self.executedPath { return executedAnswer(to: request) }
        guard let fault = takeFault(method: request.method.rawValue, path: path) else {
            return await answer(request, path: path, fault: nil)
        }
        return await answer(request, path: path, under: fault)
    }

    /// The path below `/api2/json`, decoded, without empty segments.
    static func path(of request: Request) -> String {
        FormDecoder.decode(request.path).split(separator: "/").reduce(into: "") { $0 += "/" + $1 }
    }

    private func takeFault(method: String, path: String) -> Fault.Effect? {
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

    private func answer(_ request: Request, path: String, under fault: Fault.Effect) async -> Response {
        switch fault {
        case .delay(let time):
            try? await Task.sleep(for: time)
            return await answer(request, path: path, fault: nil)
        case .reset: return Response(status: .badGateway, ending: .reset)
        case .status(let code, let reason): return Wire.raw(status: code, reason: reason, json: false, body: [])
        case .late(let code, let reason):
            state.withLock { $0.late.append(request) }
            return Wire.raw(status: code, reason: reason, json: false, body: [])
        case .hang: return await hang()
        case .executeThenReset:
            _ = await answer(request, path: path, fault: nil)
            return Response(status: .badGateway, ending: .reset)
        case .cutBody:
            let bytes = await answer(request, path: path, fault: nil).body.bytes
            return Wire.raw(
                status: 200, reason: "OK", json: true, body: Array(bytes.prefix(bytes.count / 2)), declared: bytes.count
            )
        case .wrongJSON:
            _ = await answer(request, path: path, fault: nil)
            return Wire.raw(status: 200, reason: "OK", json: true, body: Array("{\"data\":[{\"vmid\":".utf8))
        case .html:
            _ = await answer(request, path: path, fault: nil)
            let page = "<!DOCTYPE html><html><head><title>Proxmox</title></head><body>Welcome</body></html>"
            return Wire.raw(status: 200, reason: "OK", json: false, body: Array(page.utf8), contentType: "text/html")
        case .neverEndingTask, .taskError, .taskWarnings: return await answer(request, path: path, fault: fault)
        }
    }

    private func hang() async -> Response {
        while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
        return Response(status: .badGateway, ending: .reset)
    }

    private func answer(_ request: Request, path: String, fault: Fault.Effect?) async -> Response {
        if hangs(request, path: path) { return await hang() }
        do throws(Failure) {
            return Wire.success(try perform(request, path: path, fault: fault))
        } catch {
            if error.status == 401, options.authenticationDelay > .zero {
                try? await Task.sleep(for: options.authenticationDelay)
            }
            return Wire.failure(error)
        }
    }
}
