import FoundationEssentials
import HTTPMessage
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// A change in the simulated cloud, what has to be there before it, and what is there after it.
struct ChangeScenario: Sendable, CustomTestStringConvertible {
    /// Something that happens in the cluster behind the agent's back.
    typealias Step = @Sendable (Simulator) async throws -> Void

    let wish: PlanRequest
    /// Makes the world ready for it.
    let prepare: Step
    /// Whether the world is as promised.
    let happened: @Sendable (ChangedCluster) async throws -> Bool
    /// Something that moves what was looked at, for deeds that are about no guest of their own.
    var disturb: Step?
    /// How many calls it takes.
    var calls = 1

    init(
        _ action: String, _ target: String, _ params: JSONObject = [:],
        given prepare: @escaping Step = { _ in }, disturb: Step? = nil, calls: Int = 1,
        then happened: @escaping @Sendable (ChangedCluster) async throws -> Bool
    ) {
        wish = PlanRequest(action, target, params)
        self.prepare = prepare
        self.happened = happened
        self.disturb = disturb
        self.calls = calls
    }

    var testDescription: String { "\(wish.action) \(wish.target) \(JSON.object(wish.params).text)" }

    /// The cluster after the deed, to look at.
    struct ChangedCluster {
        let pve: Simulator

        func guest(_ id: Int) -> Simulator.GuestState? { pve.guest(id) }

        /// What the cluster answers to a read; null where it refuses.
        func read(_ path: String) async throws -> JSON { try await pve.ask("GET", path) ?? .null }

        var last: Execution? { pve.executed.last }
    }

    /// An agent for deeds: it may download, and run commands in guests.
    static let setup = Setup(
        .simulated(
            "cloud",
            settings: [
                "agent_exec_allow": ["uptime", "systemctl restart"], "download_allow": ["https://images.example/"],
            ]))
}

extension Simulator {
    /// What an administrator gets for a request; `nil` where it is refused.
    @discardableResult
    func ask(_ method: String, _ path: String, _ form: String = "") async throws -> JSON? {
        let parts = path.split(separator: "?", maxSplits: 1)
        var fields = HTTPFields()
        fields[.authorization] = "PVEAPIToken=agent@pve!cloud=\(Setup.secret(of: "cloud"))"
        if !form.isEmpty { fields[.contentType] = "application/x-www-form-urlencoded" }
        let request = Request(
            method: .init(method) ?? .get, path: "/api2/json" + parts[0],
            query: parts.count > 1 ? String(parts[1]) : nil, fields: fields, body: Array(form.utf8))
        let response = await respond(to: request)
        guard response.status.code == 200 else { return nil }
        return try JSON.parse(response.body.bytes)["data"] ?? .null
    }

    /// The same, where it must be done; it does not count as anything that the agent did.
    func make(_ method: String, _ path: String, _ form: String = "") async throws {
        if try await ask(method, path, form) == nil { throw Missed(what: "\(method) \(path) \(form)") }
        forgetExecutions()
    }
}
