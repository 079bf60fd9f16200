import AgentModel
import HTTPTypes
import StrictJSON

/// Principals with tokens of their own.
enum TestPrincipals: String, CaseIterable, Sendable {
    /// Who plans and applies, and somebody else who may.
    case agent = "pi-agent"
    case other = "other-agent"
    case alice, bob
    /// May ask for changes, and approve those of others.
    case chief
    case watcher, auditor
    /// May do everything, but in `home` only.
    case local

    private var roles: [JSON] {
        switch self {
        case .agent, .other: ["operator"]
        case .alice, .bob: ["approver"]
        case .chief: ["operator", "approver"]
        case .watcher: ["viewer"]
        case .auditor: ["auditor"]
        case .local: ["operator", "approver", "auditor"]
        }
    }

    var token: String { "token-of-\(rawValue)-a41c-and-more" }

    /// As a configuration has it.
    private var entry: JSON {
        [
            "id": .string(rawValue), "token_sha256": .string(CredentialDigest(of: token.utf8).description),
            "roles": .array(roles), "environments": self == .local ? ["home"] : nil,
        ]
    }

    /// The environments `cloud` and `home`, where all of them get in, or these.
    static func setup(
        _ members: [TestPrincipals] = allCases, rules: JSON? = nil, settings: JSONObject = [:]
    ) -> Setup {
        var setup = Setup(.simulated("cloud"), .simulated("home"), settings: settings)
        setup.settings["principals"] = .array(members.map(\.entry))
        setup.settings["policy"] = rules.map { ["rules": $0] }
        setup.token = nil
        return setup
    }
}

extension AgentUnderTest {
    /// A request of somebody's with their own token and no label.
    func send(
        _ method: HTTPRequest.Method, _ target: String, _ body: JSON? = nil, by member: TestPrincipals,
        key: String? = nil,
        wait: Int? = nil
    ) async throws -> Reply {
        var fields = HTTPFields()
        if let key { fields[.name("Idempotency-Key")] = key }
        if let wait { fields[.preferWait] = "wait=\(wait)" }
        return try await send(method, target, body: body?.bytes, as: nil, token: member.token, fields: fields)
    }

    func plan(_ wish: PlanRequest, by member: TestPrincipals, key: String? = nil) async throws -> Reply {
        try await send(.post, "/v1/actions/plan", wish.json, by: member, key: key)
    }

    func apply(_ plan: Reply, by member: TestPrincipals, key: String? = nil) async throws -> Reply {
        let id = plan["plan_id"] ?? .null
        return try await send(.post, "/v1/actions/apply", ["plan_id": id], by: member, key: key, wait: 15)
    }

    /// An approver's word on a plan, or on another hash than the plan's.
    func decide(_ word: String, _ plan: Reply, hash: JSON? = nil, by member: TestPrincipals) async throws -> Reply {
        try await send(
            .post, "/v1/plans/\(plan["plan_id"]?.string ?? "")/approvals",
            ["decision": .string(word), "plan_hash": hash ?? plan["plan_hash"] ?? .null, "reason": "looked at it"],
            by: member)
    }

    func state(of plan: Reply, by member: TestPrincipals = .agent) async throws -> String? {
        try await send(.get, "/v1/plans/\(plan["plan_id"]?.string ?? "")", by: member)["state"]?.string
    }

    /// What kinds of records there are of a plan, in order.
    func kinds(of plan: Reply) throws -> [String] { try kinds(of: plan["plan_id"]?.string ?? "") }
}
