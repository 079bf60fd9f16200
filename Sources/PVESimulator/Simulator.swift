import Glibc
package import HTTPMessage
import HTTPTypes
package import MicroHTTPD
import StrictJSON
import Synchronization

/// A stateful Proxmox VE 9 in memory: its API as an HTTP handler, without a hypervisor.
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

        /// The token of a line `USER@REALM!NAME=SECRET`; `nil` for a token that no request could present.
        package init?(line: some StringProtocol) {
            guard let equals = line.firstIndex(of: "="), line.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                return nil
            }
            self.init(id: String(line[..<equals]), secret: String(line[line.index(after: equals)...]))
            do throws(Failure) {
                let caller = try Access(tokens: .list([self])).caller(presenting: "PVEAPIToken=\(line)")
                guard caller.identity == id else { return nil }
            } catch { return nil }
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
        /// The number of guests that replaces the default, spread over the nodes.
        package var guests: Int?
        package var tokens: Tokens
        /// The duration of a task.
        package var taskDuration: Duration
        /// Wall-clock time since 1970.
        package var now: @Sendable () -> Duration
        /// The seed for values that are drawn at run time: identities of clones, MAC addresses.
        package var seed: UInt64?

        package init(
            name: String, guests: Int? = nil, tokens: Tokens = .any, taskDuration: Duration = .milliseconds(150),
            now: @escaping @Sendable () -> Duration = Simulator.wallClock, seed: UInt64? = nil
        ) {
            self.name = name
            self.guests = guests
            self.tokens = tokens
            self.taskDuration = taskDuration
            self.now = now
            self.seed = seed
        }
    }

    struct State: Sendable {
        var world: ClusterState
        var executed: [Execution] = []
        var interceptor: (any Interceptor)?
        /// The number of executed requests by method and pattern, including those no longer kept.
        var counts: [String: Int] = [:]
    }

    /// The maximum number of executions that are kept; the oldest are dropped.
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

    /// A real node has no error texts for these either: it refuses a body that is too large, and otherwise just closes
    /// the connection.
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
        guard let interceptor = state.withLock({ $0.interceptor }) else {
            return answer(request, path: path, fault: nil)
        }
        return await interceptor.respond(to: request, at: path, of: self) { fault in
            self.answer(request, path: path, fault: fault)
        }
    }

    /// The path below `/api2/json`, decoded, without empty segments.
    static func path(of request: Request) -> String {
        FormDecoder.decode(request.path).split(separator: "/").reduce(into: "") { $0 += "/" + $1 }
    }

    private func answer(_ request: Request, path: String, fault: TaskFault?) -> Response {
        do throws(Failure) { return Wire.success(try perform(request, path: path, fault: fault)) } catch {
            return Wire.failure(error)
        }
    }
}

/// Can change how a request is answered.
protocol Interceptor: AnyObject, Sendable {
    /// Responds with the result of `answer` or otherwise; `answer` takes the fault for the tasks that it starts.
    func respond(
        to request: Request, at path: String, of simulator: Simulator, _ answer: (TaskFault?) async -> Response
    ) async -> Response
}

/// A request that changed something.
package struct Execution: Sendable, Hashable {
    package var method: String
    /// Decoded, below `/api2/json`: `/nodes/pve/qemu/100/status/start`.
    package var path: String
    /// The path with the names of its parameters: `/nodes/{node}/qemu/{vmid}/status/start`.
    package var pattern: String
    /// The task it started, if it started one.
    package var upid: String?
    package var parameters: [String: String]
    /// Parameters that are lists.
    package var lists: [String: [String]]
    /// The caller: `root@pam!agent`.
    package var caller: String
    /// Since 1970, by the simulator's clock.
    package var time: Duration
}

/// An endpoint that tells another process which requests were executed.
extension Simulator {
    /// It is outside Proxmox VE's own paths and needs no token: anyone who can reach a simulator can read it. Faults do
    /// not apply here.
    static let executedPath = "/sim/executed"

    /// `GET /sim/executed`: in `executed` the requests that changed something, oldest first, and in `counts` their
    /// number by method and pattern. Only the newest 10,000 are shown; all are counted.
    func executedAnswer(to request: Request) -> Response {
        guard request.method == .get else {
            return Wire.failure(.server(501, "method '\(request.method.rawValue)' not available"))
        }
        let (executed, counts) = state.withLock { ($0.executed, $0.counts) }
        let numbers = counts.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { $0[$1.key] = JSON($1.value) }
        let answer: JSON = ["executed": .array(executed.map(\.json)), "counts": .object(numbers)]
        return Wire.success(answer.bytes)
    }
}

extension Execution {
    /// Secret parameters, which are not shown.
    private static let secrets: Set<String> = ["password", "cipassword", "confirmation-password", "encryption-key"]

    fileprivate var json: JSON {
        var params = JSONObject()
        for (name, value) in parameters.sorted(by: { $0.key < $1.key }) {
            params[name] = .string(Self.secrets.contains(name) ? "**********" : value)
        }
        for (name, items) in lists.sorted(by: { $0.key < $1.key }) { params[name] = JSON(items) }
        let (seconds, attoseconds) = time.components
        return [
            "method": .string(method), "path": .string(path), "params": .object(params), "caller": .string(caller),
            "upid": upid.map { .string($0) }, "at": JSON(Double(seconds) + Double(attoseconds) / 1e18),
        ]
    }
}

/// A simulator served over HTTP on a loopback port.
package struct SimulatorServer: Sendable {
    package let simulator: Simulator
    /// The address where it listens, with the real port.
    package var address: ListenAddress { server.address }
    private let server: HTTPServer

    /// Starts to listen on `address`; port 0 lets the kernel choose one.
    package init(
        _ simulator: Simulator, on address: ListenAddress = .tcp(host: "127.0.0.1", port: 0),
        serving options: HTTPServer.Options = Self.defaultOptions
    ) throws(ServerError) {
        self.simulator = simulator
        server = try HTTPServer(listening: address, options: options, handler: simulator)
    }

    /// One thread, and a long timeout for faults that delay an answer. Like PVE it closes a connection on which nothing comes
    /// for 5 s.
    package static var defaultOptions: HTTPServer.Options {
        var options = HTTPServer.Options()
        options.threads = 1
        options.exchangeDeadline = .seconds(600)
        options.idleTimeout = .seconds(5)
        return options
    }

    /// `http://127.0.0.1:40123`; empty for a Unix socket.
    package var baseURL: String {
        guard case .tcp(let host, let port) = address else { return "" }
        return "http://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }

    /// Stops the server; requests that still run after `limit` are cut off.
    package func shutdown(within limit: Duration = .milliseconds(200)) async { await server.shutdown(within: limit) }
}
