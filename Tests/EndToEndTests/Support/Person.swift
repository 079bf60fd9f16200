import AgentModel
import AgentTestSupport
import HTTPMessage
import HTTPTypes
import StrictJSON
import Testing

@testable import proxmox_agent

/// Somebody who asks an agent on the command line.
struct Person: Sendable {
    static let alice = Person("alice", "token-of-alice-a41c-and-more")
    static let bob = Person("bob", "token-of-bob-77e0-and-more")
    /// The one who plans and applies.
    static let agent = Person("pi-agent", "token-of-agent-5b7e-and-more")
    /// The one who plans and applies, and may break the glass.
    static let fire = Person("fire", "token-of-fire-91c2-and-more")

    let id: String
    let token: String

    private init(_ id: String, _ token: String) {
        self.id = id
        self.token = token
    }

    /// An agent with two that plan and two that approve.
    static func setup(_ environments: Setup.Environment..., rules: JSON? = nil) -> Setup {
        var setup = Setup(settings: [:])
        if !environments.isEmpty { setup.environments = environments }
        let roles = [
            (agent, ["operator"]), (fire, ["operator", "emergency"]), (alice, ["approver"]), (bob, ["approver"]),
        ]
        setup.settings["principals"] = .array(
            roles.map { person, roles in
                [
                    "id": .string(person.id), "roles": JSON(roles),
                    "token_sha256": .string(CredentialDigest(of: person.token.utf8).description),
                ]
            })
        setup.settings["policy"] = rules.map { ["rules": $0] }
        setup.token = nil
        return setup
    }

    func run(_ arguments: String..., at agent: RunningAgent) async throws -> Program.Result {
        try await start(arguments, at: agent).end()
    }

    func start(
        _ arguments: [String], at agent: RunningAgent, input: String = "/dev/null", onTerminal: Bool = false
    ) throws -> Program {
        try Program(
            arguments, variables: ["PROXMOX_AGENT_URL": "http://\(agent.address)", "PROXMOX_AGENT_TOKEN": token],
            input: input, onTerminal: onTerminal)
    }

    /// What the API itself answers to this person.
    func get(_ path: String, at agent: RunningAgent) async throws -> JSON {
        try await agent.send(.get, path, as: nil, token: token).json
    }

    func plan(_ wish: PlanRequest, at agent: RunningAgent) async throws -> JSON {
        let reply = try await agent.send(.post, "/v1/actions/plan", body: wish.json.bytes, as: nil, token: token)
        #expect(reply.status == 200, "\(reply)")
        return reply.json
    }

    func planID(_ wish: PlanRequest, at agent: RunningAgent) async throws -> String {
        try #require(try await plan(wish, at: agent)["plan_id"]?.string)
    }

    /// Applies a plan, and does not wait for its end.
    func apply(_ plan: String, at agent: RunningAgent) async throws -> Reply {
        let body: JSON = ["plan_id": .string(plan)]
        return try await agent.send(.post, "/v1/actions/apply", body: body.bytes, as: nil, token: token)
    }
}
