import AgentAPI
import AgentAudit
import AgentMCP
import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import Logging
import StrictJSON
import Testing

/// A service behind `POST /mcp`, with callers of every role and a hypervisor that a test holds in its hand.
struct Desk {
    static let version = "io.modelcontextprotocol/protocolVersion"
    static let capabilities = "io.modelcontextprotocol/clientCapabilities"
    static let tasks = "io.modelcontextprotocol/tasks"

    struct Answer: CustomStringConvertible {
        let status: Int
        let fields: HTTPFields
        let text: String

        var json: JSON { (try? JSON.parse(Array(text.utf8))) ?? .null }
        var error: JSON? { json["error"] }
        var code: Int64? { error?["code"]?.integer }
        var result: JSON { json["result"] ?? .null }
        var isError: Bool? { result["isError"]?.bool }
        /// What the tool says: the same in both forms.
        var content: JSON {
            (try? JSON.parse(Array((result["content"]?.array?.first?["text"]?.string ?? "").utf8))) ?? .null
        }
        var description: String { "\(status) \(text)" }
    }

    let pve: FakeHypervisor
    let audit = MemoryAuditSink()
    let service: ControlPlane
    private let handler: AgentHandler

    /// The token of each caller is `token-of-` and its name; `other` is another operator.
    static let principals =
        Role.allCases.map { Principal(id: $0.rawValue, roles: [$0]) } + [Principal(id: "other", roles: [.operator])]

    init(
        rules: [PolicyRule] = [], surroundings: Surroundings? = nil,
        change: @escaping FakeHypervisor.Change = { _ in .done(.null) }
    ) throws {
        pve = FakeHypervisor(change: change)
        pve.put("vm/101", status: "running", name: "web")
        pve.put("vm/102", status: "stopped")
        let settings = EnvironmentSettings(
            name: try #require(EnvironmentName("home")), baseURL: "https://pve.lan:8006", tokenID: "agent@pve!home",
            trust: "system")
        service = ControlPlane(
            managedEnvironments: [ManagedEnvironment(settings: settings, hypervisor: pve)],
            ports: Ports(
                audit: audit, store: MemoryPlanStore(), log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }),
            rules: Rules(directory: Directory(Self.principals), policy: Policy(rules: rules)), key: .sample)
        let endpoint = MCPEndpoint(
            service: service,
            surroundings: surroundings ?? Surroundings(listening: .tcp(host: "127.0.0.1", port: 8080)),
            version: "0.0.1", retentionSeconds: 60)
        let credentials = Self.principals.map {
            Credentials($0, token: CredentialDigest(of: "token-of-\($0.id)".utf8))
        }
        handler = AgentHandler(
            service: service, authenticator: Authenticator(credentials), accessLog: Silence(),
            failures: AuthFailures(delay: .zero) { _ in }, and: [endpoint.route])
    }

    private struct Silence: AccessLog {
        func answered(_ entry: AccessEntry) {}
    }

    /// The fields of a proper request.
    static func fields(_ method: String, _ name: String? = nil, as caller: String = "operator") -> HTTPFields {
        var fields: HTTPFields = [
            .host: "localhost:8080", .contentType: "application/json", .authorization: "Bearer token-of-\(caller)",
            .protocolVersion: "2026-07-28", .method: method,
        ]
        fields[.name] = name
        return fields
    }

    static func body(_ method: String, _ params: JSONObject = [:], declaring extensions: JSONObject = [:]) -> JSON {
        var params = params
        params["_meta"] = [
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": ["extensions": .object(extensions)],
        ]
        return ["jsonrpc": "2.0", "id": 7, "method": .string(method), "params": .object(params)]
    }

    func send(
        _ body: [UInt8], _ fields: HTTPFields, _ method: HTTPRequest.Method = .post, path: String = "/mcp"
    ) async -> Answer {
        let response = await handler.respond(to: Request(method: method, path: path, fields: fields, body: body))
        return Answer(
            status: response.status.code, fields: response.fields,
            text: String(decoding: response.body.bytes, as: UTF8.self))
    }

    /// A request of the newest revision.
    func ask(
        _ method: String, _ params: JSONObject = [:], as caller: String = "operator", withTasks: Bool = false
    ) async -> Answer {
        let name = (params["name"] ?? params["taskId"])?.string
        let body = Self.body(method, params, declaring: withTasks ? [Self.tasks: [:]] : [:])
        return await send(body.bytes, Self.fields(method, name, as: caller))
    }

    /// A request of an older revision.
    func askLegacy(_ method: String, _ params: JSONObject = [:], version: String? = nil) async -> Answer {
        var fields = Self.fields(method)
        (fields[.protocolVersion], fields[.method]) = (version, nil)
        let body: JSON = ["jsonrpc": "2.0", "id": "a", "method": .string(method), "params": .object(params)]
        return await send(body.bytes, fields)
    }

    func call(
        _ tool: String, _ arguments: JSONObject = [:], as caller: String = "operator", withTasks: Bool = false
    ) async -> Answer {
        await ask(
            "tools/call", ["name": .string(tool), "arguments": .object(arguments)], as: caller, withTasks: withTasks)
    }

    /// Plans and gives the plan's id.
    func plan(_ action: String, on target: String, as caller: String = "operator") async throws -> String {
        let answer = await call(
            "plan_create", ["environment": "home", "action": .string(action), "target": .string(target)], as: caller)
        return try #require(answer.content["plan_id"]?.string, "\(answer)")
    }

    /// The second person says yes, over REST.
    func approve(_ plan: String) async throws {
        let found = await call("plan_get", ["plan_id": .string(plan)])
        let body: JSON = ["decision": "approve", "plan_hash": found.content["plan_hash"]]
        let answer = await send(body.bytes, Self.fields("", as: "approver"), path: "/v1/plans/\(plan)/approvals")
        #expect(answer.status == 200, "\(answer)")
    }

    func kinds() async throws -> [String] {
        try await audit.records(after: 0, limit: .max).map { $0.event.kind.rawValue }
    }
}

extension HTTPField.Name {
    static let host = named("Host")
    static let protocolVersion = named("MCP-Protocol-Version")
    static let method = named("Mcp-Method")
    static let name = named("Mcp-Name")
    static let originField = named("Origin")

    private static func named(_ text: String) -> Self { Self(text) ?? .accept }
}
