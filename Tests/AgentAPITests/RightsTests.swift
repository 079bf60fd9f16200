import AgentAPI
import AgentAudit
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

/// Who may do what where: every role on every route, in an environment of its own and in another's.
struct RightsTests {
    /// A role's principal is limited to `home`; the last ones have no limit, and no role.
    private static func principals() throws -> [(String, Principal)] {
        let home = try #require(EnvironmentName("home"))
        return Role.allCases.map { ($0.rawValue, Principal(id: $0.rawValue, roles: [$0], environments: [home])) } + [
            ("shared token", .shared), ("none", Principal(id: "none", roles: [])),
        ]
    }

    private static func service(_ directory: Directory, _ audit: MemoryAuditSink) throws -> ControlPlane {
        let managedEnvironments = try ["home", "cloud"].map { name in
            let pve = FakeHypervisor()
            pve.put("vm/101", status: "stopped")
            return ManagedEnvironment(
                settings: EnvironmentSettings(
                    name: try #require(EnvironmentName(name)), baseURL: "https://\(name).lan:8006",
                    tokenID: "agent@pve!\(name)", trust: "system"), hypervisor: pve)
        }
        return ControlPlane(
            managedEnvironments: managedEnvironments,
            ports: Ports(
                audit: audit, store: MemoryPlanStore(),
                log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }),
            rules: Rules(directory: directory), key: .sample)
    }

    /// A request that is right but for who sends it; `nil` where the route names no environment.
    private static func request(
        _ route: Route, in environment: String, plan: RecordID, operation: RecordID
    ) -> (path: String, query: String?, body: JSON?) {
        let wish: JSON = ["environment": .string(environment), "action": "start_vm", "target": "vm/101"]
        let id = route.path.contains("operations") ? operation.description : plan.description
        let path = route.path.replacing("{id}", with: id)
        switch "\(route.method.rawValue) \(route.path)" {
        case "POST /v1/actions/plan", "POST /v1/policy/explain": return (path, nil, wish)
        case "POST /v1/actions/apply": return (path, nil, ["plan_id": .string(plan.description)])
        case "POST /v1/plans/{id}/approvals":
            return (path, nil, ["decision": "approve", "plan_hash": .string(String(repeating: "0", count: 64))])
        case "POST /v1/operations/{id}/resolve": return (path, nil, ["outcome": "failed", "reason": "looked"])
        case "POST /v1/notifications/test": return (path, nil, ["target": "nobody"])
        case "POST /v1/freeze": return (path, nil, ["environment": .string(environment), "reason": "test"])
        case "GET /v1/tasks/status":
            return (
                path, "environment=\(environment)&upid=UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:", nil
            )
        default:
            let named = route.query.contains { $0.name == "environment" }
            return (path, named ? "environment=\(environment)" : nil, route.method == .post ? [:] : nil)
        }
    }

    @Test func `every role gets on every route what the table says`() async throws {
        let principals = try Self.principals()
        var lines: [String] = []
        for route in Route.all where route.path.hasPrefix("/v1/") {
            for (name, principal) in principals {
                var cells: [String] = []
                for environment in ["home", "cloud", "nowhere"] {
                    cells.append(try await Self.answer(route, environment, principal))
                }
                lines.append(
                    "\(route.method.rawValue) \(route.path) | \(name) | "
                        + zip(["home", "cloud", "nowhere"], cells).map { "\($0): \($1)" }.joined(separator: " | "))
            }
        }
        try expectGolden(lines, "rights.txt")
    }

    /// Status and code of one request, against records that somebody else made.
    private static func answer(_ route: Route, _ environment: String, _ principal: Principal) async throws -> String {
        let owner = Principal(id: "owner", roles: [.operator])
        let directory = principal.isShared ? Directory.shared : Directory([owner, principal])
        let audit = MemoryAuditSink()
        let service = try service(directory, audit)
        let maker = principal.isShared ? Principal.shared : owner
        let context = Context(
            caller: Caller(principal: maker.id, label: "maker", isShared: maker.isShared), principal: maker,
            requestID: "r")
        var plan = RecordID.sample(1)
        var operation = RecordID.sample(1, .operation)
        if environment != "nowhere" {
            let wish = try await service.workflow.plan(.request(.stopVM, "vm/101", environment: environment), context)
            plan = wish.id
            let free = try await service.workflow.plan(.request(.startVM, "vm/101", environment: environment), context)
            let apply = ApplyRequest(planID: free.id)
            if case .operation(let made) = try await service.applies.apply(apply, context, wait: .seconds(20)).kind {
                operation = made.id
            }
        }
        let token = "token-of-\(principal.id)"
        let handler = AgentHandler(
            service: service,
            authenticator: Authenticator([Credentials(principal, token: CredentialDigest(of: token.utf8))]),
            accessLog: Silence(), failures: AuthFailures(delay: .zero) { _ in })
        let (path, query, body) = request(route, in: environment, plan: plan, operation: operation)
        var fields: HTTPFields = [.authorization: "Bearer \(token)", .actorID: "maker"]
        if body != nil { fields[.contentType] = "application/json" }
        let response = await handler.respond(
            to: Request(method: route.method, path: path, query: query, fields: fields, body: body?.bytes ?? []))
        let code = (try? JSON.parse(response.body.bytes))?["code"]?.string
        let refusals = try await refusals(audit)
        if route.access == .change || code == "unknown_environment" {
            #expect(
                refusals == (response.status.code < 400 ? [] : [code]), "\(route.method) \(route.path) \(principal.id)")
        }
        return "\(response.status.code)" + (code.map { " \($0)" } ?? "")
    }

    /// The codes of the refusals that the log holds.
    private static func refusals(_ audit: MemoryAuditSink) async throws -> [String?] {
        try await audit.records(after: 0, limit: .max).filter { $0.event.kind == .refuse }
            .map { $0.event.result?["code"]?.string }
    }

    /// What is wrong with a request before anybody looks at what it asks for.
    enum Flaw: String, CaseIterable, CustomTestStringConvertible {
        case actor, query, media, body, key
        var testDescription: String { rawValue }
    }

    @Test(
        arguments: Route.all.filter { $0.access == .change }.map { "\($0.method.rawValue) \($0.path)" }, Flaw.allCases)
    func `a change that cannot be read is recorded once`(name: String, flaw: Flaw) async throws {
        let route = try #require(Route.all.first { "\($0.method.rawValue) \($0.path)" == name })
        let takesKey = route.path.hasPrefix("/v1/actions/")
        guard flaw != .key || takesKey, ![.media, .body].contains(flaw) || route.method == .post else { return }
        let audit = MemoryAuditSink()
        let principal = Principal(id: "owner", roles: [.operator, .approver])
        let handler = AgentHandler(
            service: try Self.service(Directory([principal]), audit),
            authenticator: Authenticator([Credentials(principal, token: CredentialDigest(of: "t".utf8))]),
            accessLog: Silence(), failures: AuthFailures(delay: .zero) { _ in })
        var fields: HTTPFields = [.authorization: "Bearer t", .contentType: "application/json"]
        if flaw == .actor { fields[.actorID] = "no\u{7}name" }
        if flaw == .media { fields[.contentType] = "text/plain" }
        if flaw == .key { fields[try #require(HTTPField.Name("Idempotency-Key"))] = "a b" }
        let path = route.path.replacing("{id}", with: "none")
        let response = await handler.respond(
            to: Request(
                method: route.method, path: path, query: flaw == .query ? "nonsense=1" : nil, fields: fields,
                body: route.method == .post ? Array((flaw == .body ? "{" : "{}").utf8) : []))
        let code = (try? JSON.parse(response.body.bytes))?["code"]?.string
        #expect(response.status.code >= 400)
        #expect(try await Self.refusals(audit) == [code])
    }

    private struct Silence: AccessLog {
        func answered(_ entry: AccessEntry) {}
    }
}
