import HTTPMessage
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// Talks to a simulator without a network.
struct Driver {
    let simulator: Simulator
    var authorization: String? = "PVEAPIToken=root@pam!test=00000000-0000-0000-0000-000000000000"

    init(_ options: Simulator.Options) { simulator = Simulator(options) }

    init(_ name: String, taskDuration: Duration = .zero) {
        self.init(Simulator.Options(name: name, taskDuration: taskDuration, seed: 1))
    }

    func send(_ method: String, _ path: String, _ form: String = "") async -> Response {
        let parts = path.split(separator: "?", maxSplits: 1)
        var fields = HTTPFields()
        fields[.authorization] = authorization
        if !form.isEmpty { fields[.contentType] = "application/x-www-form-urlencoded" }
        let request = Request(
            method: .init(method) ?? .get, path: "/api2/json" + parts[0],
            query: parts.count > 1 ? String(parts[1]) : nil, fields: fields, body: Array(form.utf8))
        return await simulator.respond(to: request)
    }

    /// The `data` of an answer with status 200.
    func data(
        _ method: String, _ path: String, _ form: String = "", at location: SourceLocation = #_sourceLocation
    ) async throws -> JSON {
        let response = await send(method, path, form)
        #expect(response.status.code == 200, "\(FactReplay.reason(of: response))", sourceLocation: location)
        return try #require(FactReplay.json(of: response)["data"], sourceLocation: location)
    }

    /// The reason phrase of a refused request.
    func refusal(_ method: String, _ path: String, _ form: String = "") async -> String {
        let response = await send(method, path, form)
        return response.status.code == 200 ? "200" : FactReplay.reason(of: response)
    }

    /// Starts a task and tells its status.
    func task(_ method: String, _ path: String, _ form: String = "") async throws -> (upid: String, status: JSON) {
        let upid = try #require(try await data(method, path, form).string)
        return (upid, try await status(of: upid))
    }

    func status(of upid: String) async throws -> JSON {
        let node = upid.split(separator: ":")[1]
        return try await data("GET", "/nodes/\(node)/tasks/\(upid)/status")
    }
}

extension Driver {
    /// Starts a task that must end well; its type.
    @discardableResult
    func done(
        _ method: String, _ path: String, _ form: String = "", at location: SourceLocation = #_sourceLocation
    ) async throws -> String {
        let upid = try #require(try await data(method, path, form, at: location).string, sourceLocation: location)
        let exit = try await status(of: upid)["exitstatus"]?.string
        #expect(exit == "OK", sourceLocation: location)
        return String(upid.split(separator: ":")[5])
    }

    /// Starts a task that must fail; its exit status.
    func failed(_ method: String, _ path: String, _ form: String = "") async throws -> String {
        try await task(method, path, form).status["exitstatus"]?.string ?? "running"
    }

    func config(_ vmid: Int) throws -> [String: String] { try #require(simulator.guest(vmid)).config }
}
