import AgentService
import AgentTestSupport
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import StrictJSON
import Testing
import WireTestSupport

@testable import proxmox_agent

/// Notifications of a whole agent, to receivers on real sockets.
@Suite(.timeLimit(.minutes(3)))
struct NotificationTests {
    private static let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    /// Takes everything, on connections that end with each request.
    private static func receiver() throws -> RawServer { try RawServer(.request, .answer("204 No Content")) }

    private static func setup(
        _ directory: borrowing TemporaryDirectory, _ targets: [(id: String, port: UInt16)]
    ) throws -> Setup {
        try write(Self.secret, to: "\(directory.path)/secret")
        var setup = Setup()
        setup.settings["notify"] = .array(
            targets.map { target in
                [
                    "id": .string(target.id), "kind": "webhook",
                    "url": .string("http://127.0.0.1:\(target.port)/hook"),
                    "secret_file": .string("\(directory.path)/secret"),
                    "events": ["approval_wanted", "operation_ended", "freeze"],
                ]
            })
        return setup
    }

    /// The bodies that a receiver got, once there are so many.
    private static func bodies(_ count: Int, at receiver: RawServer) async throws -> [JSON] {
        let deadline = ContinuousClock.now + .seconds(20)
        while receiver.requests.count < count, .now < deadline { try await Task.sleep(for: .milliseconds(5)) }
        return try receiver.requests.map { try JSON.parse($0.body) }
    }

    private static func type(_ body: JSON) -> String { body["type"]?.string ?? "" }

    @Test func `what happens reaches the webhook, and a dead one delays nothing`() async throws {
        let directory = try TemporaryDirectory()
        let receiver = try Self.receiver()
        defer { receiver.stop() }
        let setup = try Self.setup(directory, [("dead", 1), ("ops", receiver.port)])
        let agent = try await ServedAgent(setup)
        let plan = try await agent.planID(PlanRequest("stop_vm", "vm/101"))
        // Of a plan that is approved already nobody would be told.
        _ = try await Self.bodies(1, at: receiver)
        _ = try await agent.apply(plan, approvedBy: "alice")
        let bodies = try await Self.bodies(2, at: receiver)
        try #require(bodies.count == 2)
        #expect(bodies.map(Self.type) == ["approval_wanted", "operation_ended"])
        #expect(bodies.allSatisfy { $0["data"]?["plan_id"]?.string == plan })
        #expect(bodies[1]["data"]?["outcome"] == "succeeded")
        let listed = try await agent.get("/v1/notifications?target=dead")["notifications"]?.array ?? []
        #expect(listed.count == 2 && listed.allSatisfy { $0["state"] == "waiting" })
        #expect(listed.last?["attempts"] != 0 && listed.last?["error"]?.string?.hasPrefix("cannot be reached") == true)
        let test = try await agent.post("/v1/notifications/test", ["target": "dead"])
        #expect(test["delivered"] == false && test["error"]?.string?.hasPrefix("cannot be reached") == true)
        let id = try #require(listed.last?["notification_id"]?.string)
        #expect(try await agent.post("/v1/notifications/\(id)/retry", [:])["state"] == "waiting")
        // What is not delivered goes to the next process, which is told another address.
        let other = try Self.receiver()
        defer { other.stop() }
        let changed = try Self.setup(directory, [("dead", other.port), ("ops", receiver.port)])
        try await agent.reload(changed, until: "notifications now go to dead, ops")
        _ = try await agent.post("/v1/notifications/\(id)/retry", [:])
        #expect(try await Self.bodies(2, at: other).map(Self.type) == ["approval_wanted", "operation_ended"])
        let figures = try await agent.get("/metrics").text
        #expect(figures.contains("proxmox_agent_notifications_sent_total{target=\"ops\"} 2"))
        let result = try await agent.stop()
        #expect(result.status == 0 && !result.err.contains(Self.secret))
    }

    @Test(arguments: [Milestone.intentRecorded, .outcomeRecording, .outcomeRecorded, .outcomeStored])
    func `a crash loses no notification, and repeats none`(point: Milestone) async throws {
        let directory = try TemporaryDirectory()
        let receiver = try Self.receiver()
        defer { receiver.stop() }
        let agent = try CrashableAgent(try Self.setup(directory, [("ops", receiver.port)]))
        try await agent.start(dying: point.rawValue)
        let plan = try await agent.planID(PlanRequest("stop_vm", "vm/101"))
        _ = try await Self.bodies(1, at: receiver)
        _ = try? await agent.apply(plan, approvedBy: "alice")
        try await agent.die(bySelf: true)
        try await agent.start()
        let bodies = try await Self.bodies(2, at: receiver)
        #expect(bodies.map(Self.type) == ["approval_wanted", "operation_ended"])
        // What was not executed was not taken either, and the plan can be applied again.
        let outcome = bodies.last?["data"]?["outcome"]?.string
        #expect(outcome == (point == .intentRecorded ? "failed" : "succeeded"))
        try await agent.halt()
        try await agent.start()
        _ = try await agent.post("/v1/freeze", ["reason": "drill"])
        #expect(try await Self.bodies(3, at: receiver).map(Self.type).last == "freeze")
        #expect(Set(receiver.requests.compactMap { $0.value(of: "webhook-id") }).count == receiver.requests.count)
        try await agent.stop()
    }
}
