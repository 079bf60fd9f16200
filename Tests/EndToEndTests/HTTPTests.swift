import AgentAPI
import HTTPTypes
import StrictJSON
import Testing
import WireTestSupport

/// Methods, headers, tokens and limits of the API, over raw sockets where libcurl would not send such a thing.
@Suite(.timeLimit(.minutes(2)))
struct HTTPTests {
    private static let open = Route.all.filter { $0.access == .open }
    private static let closed = Route.all.filter { $0.access == .read || $0.access == .change }

    /// A path of the route; ids are well-formed and unknown.
    private static func path(of route: Route) -> String {
        route.path.replacing("{id}", with: route.path.contains("plans") ? unknownPlan : unknownOperation)
    }
    private static let unknownPlan = "pln_00000000000000000000"
    private static let unknownOperation = "op_00000000000000000000"

    // MARK: Tokens

    @Test func `no route but the open ones answers without a token`() async throws {
        try await withAgent { agent in
            for route in Self.closed {
                let body: [UInt8]? = route.method == .post ? PlanRequest.start.json.bytes : nil
                let reply = try await agent.send(route.method, Self.path(of: route), body: body, token: nil)
                expectProblem(reply, 401, "unauthenticated")
                #expect(reply.fields[.wwwAuthenticate] == "Bearer")
            }
            for route in Self.open {
                let reply = try await agent.send(.get, route.path, as: nil, token: nil)
                #expect(reply.status == 200)
            }
            #expect(agent.executed.isEmpty)
        }
    }

    @Test(arguments: [
        "Bearer", "Bearer ", "Bearer wrong", "Bearer \(Setup.token)x", "Bearer \(Setup.token.dropLast())",
        "Basic \(Setup.token)", Setup.token, "Bearer \(Setup.token) \(Setup.token)", "Bearer \"\(Setup.token)\"",
        "Token \(Setup.token)", "Bearer \(Setup.token.uppercased())",
    ])
    func `a token that is not the token is none`(header: String) async throws {
        try await withAgent { agent in
            let reply = try await agent.send(.get, "/v1/plans", fields: [.authorization: header])
            expectProblem(reply, 401, "unauthenticated")
            #expect(!reply.text.contains(Setup.token))
        }
    }

    @Test func `the scheme's name is read in any case`() async throws {
        try await withAgent { agent in
            let reply = try await agent.send(.get, "/v1/plans", fields: [.authorization: "bearer \(Setup.token)"])
            #expect(reply.status == 200)
        }
    }

    @Test func `failed authentications are one record a source and minute`() async throws {
        let agent = try await RunningAgent(Setup())
        for _ in 0..<6 { _ = try? await agent.send(.get, "/v1/plans", token: "wrong") }
        // The open route answers, and counts the guess all the same.
        #expect(try await agent.send(.get, "/readyz", token: "wrong")["environments"] == nil)
        await agent.stop()
        let records = try agent.records().filter { $0["kind"] == "auth_failures" }
        // One, or two where a new minute began in between.
        #expect((1...2).contains(records.count))
        #expect(records.compactMap { $0["result"]?["count"]?.integer }.reduce(0, +) == 7, "\(records)")
        #expect(records.allSatisfy { !$0.text.contains("wrong") })
    }

    @Test func `without a configured token it lives, is not ready, and answers nothing else`() async throws {
        var setup = Setup()
        setup.token = nil
        try await withAgent(setup) { agent in
            for route in Self.closed {
                let body: [UInt8]? = route.method == .post ? PlanRequest.start.json.bytes : nil
                let reply = try await agent.send(route.method, Self.path(of: route), body: body)
                expectProblem(reply, 503, "auth_not_configured")
            }
            #expect(try await agent.get("/healthz").status == 200)
            let ready = try await agent.get("/readyz")
            #expect(ready.status == 503)
            #expect(ready["missing"]?.array?.first?["code"] == "auth_not_configured")
            #expect(ready["environments"] == nil)
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `readiness shows the environments to callers with the token only`() async throws {
        try await withAgent { agent in
            for token in [nil, "wrong"] {
                let reply = try await agent.send(.get, "/readyz", token: token)
                #expect(reply.json == ["ok": true])
            }
            #expect(try await agent.get("/readyz")["environments"]?.array?.count == 1)
        }
    }

    // MARK: Headers

    @Test(arguments: ["ab", "a b c", "a\tb", "a;b;c", "ä-gent", "<b>", String(repeating: "a", count: 129)])
    func `a label that is none is refused`(label: String) async throws {
        try await withAgent { agent in
            let reply = try await agent.send(.post, "/v1/actions/plan", body: PlanRequest.start.json.bytes, as: label)
            expectProblem(reply, 400, "invalid_request")
            #expect(reply["detail"]?.string?.contains("X-Actor-ID") == true)
            #expect(try await agent.get("/v1/plans")["plans"] == [])
        }
    }

    @Test(arguments: ["abc", "A._:@/-z", String(repeating: "a", count: 128)])
    func `a label is recorded as it is`(label: String) async throws {
        try await withAgent { agent in
            _ = try await agent.planID(.start, as: label)
            #expect(try agent.records().first?["actor"]?.string == label)
        }
    }

    @Test func `a well-formed request id comes back and into the record, another is replaced`() async throws {
        try await withAgent { agent in
            for id in ["r", "req-1.2_3", String(repeating: "x", count: 128)] {
                let reply = try await agent.send(
                    .post, "/v1/actions/plan", body: PlanRequest.start.json.bytes, fields: [.requestIDField: id])
                #expect(reply.fields[.requestIDField] == id)
                #expect(try agent.records().last?["request_id"]?.string == id)
            }
            for id in ["a b", "a;b", "é", "a%0d%0aX: y", String(repeating: "x", count: 129)] {
                let reply = try await agent.send(.get, "/healthz", fields: [.requestIDField: id])
                let made = try #require(reply.fields[.requestIDField])
                #expect(made.hasPrefix("req_") && made.utf8.count == 20)
            }
        }
    }

    @Test func `every answer carries the headers that keep browsers out of it`() async throws {
        try await withAgent { agent in
            for path in ["/healthz", "/nowhere", "/v1/environments", "/v1/inventory?environment=x"] {
                let fields = try await agent.get(path).fields
                #expect(fields[.xContentTypeOptions] == "nosniff")
                #expect(fields[.cacheControl] == "no-store")
                #expect(fields[.contentSecurityPolicy]?.contains("default-src 'none'") == true)
                #expect(fields[.requestIDField] != nil)
            }
        }
    }

    @Test(arguments: ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data"])
    func `a body that does not say it is JSON is not read`(type: String) async throws {
        try await withAgent { agent in
            for path in ["/v1/actions/plan", "/v1/actions/apply"] {
                let reply = try await agent.send(
                    .post, path, body: PlanRequest.start.json.bytes, fields: [.contentType: type])
                expectProblem(reply, 415, "unsupported_media_type")
            }
            #expect(try agent.records().map { $0["kind"] } == ["refuse", "refuse"])
            let good = try await agent.send(
                .post, "/v1/actions/plan", body: PlanRequest.start.json.bytes,
                fields: [.contentType: "Application/JSON; charset=utf-8"])
            #expect(good.status == 200)
        }
    }

    @Test(arguments: ["", "a b", "schlüssel", String(repeating: "k", count: 256)])
    func `an idempotency key has a form`(key: String) async throws {
        try await withAgent { agent in
            let reply = try await agent.send(
                .post, "/v1/actions/plan", body: PlanRequest.start.json.bytes, fields: [.name("Idempotency-Key"): key])
            expectProblem(reply, 400, "invalid_request")
            #expect(try await agent.get("/v1/plans")["plans"] == [])
        }
    }

    // MARK: Methods and queries

    @Test(arguments: [
        ("POST", "/healthz", "GET, HEAD, OPTIONS"), ("PUT", "/v1/environments", "GET, HEAD, OPTIONS"),
        ("GET", "/v1/actions/plan", "OPTIONS, POST"), ("DELETE", "/v1/actions/apply", "OPTIONS, POST"),
        ("PATCH", "/v1/plans/x", "DELETE, GET, HEAD, OPTIONS"), ("GET", "/v1/operations/x/cancel", "OPTIONS, POST"),
    ])
    func `a wrong method is told the right ones`(method: String, path: String, allow: String) async throws {
        try await withAgent { agent in
            let method = try #require(HTTPRequest.Method(method))
            let reply = try await agent.send(method, path)
            expectProblem(reply, 405, "method_not_allowed")
            #expect(reply.fields[.allow] == allow)
            let options = try await agent.send(.options, path)
            #expect(options.status == 204)
            #expect(options.fields[.allow] == allow)
        }
    }

    @Test(arguments: ["/healthz", "/v1/environments", "/v1/inventory?environment=cloud", "/nowhere"])
    func `HEAD answers as GET does, without the body`(path: String) async throws {
        try await withAgent { agent in
            let get = try await agent.get(path)
            let client = try RawClient(agent.address)
            let head = "Host: x\r\nAuthorization: Bearer \(Setup.token)\r\nX-Actor-ID: pi-agent\r\n\r\n"
            let reply = try await client.exchange("HEAD \(path) HTTP/1.1\r\n\(head)")
            #expect(reply.status == get.status)
            if get.status == 200 { #expect(reply.value(of: "Content-Length") == String(get.body.count)) }
            let next = try await client.exchange("GET /healthz HTTP/1.1\r\n\(head)")
            #expect(next.text == #"{"ok":true}"#, "nothing of a body stood in between")
        }
    }

    @Test(arguments: [
        "/v1/inventory?enviroment=cloud", "/v1/inventory?environment=cloud&environment=cloud",
        "/v1/inventory?environment=cloud&state=maybe", "/v1/inventory?environment=cloud&state=", "/healthz?x=1",
        "/v1/inventory?environment=cl%6", "/v1/inventory?environment=cloud%00", "/v1/inventory?=x",
        "/v1/nodes", "/v1/tasks", "/v1/tasks/status?environment=cloud", "/v1/tasks?environment=cloud&limit=0",
        "/v1/tasks?environment=cloud&limit=1001", "/v1/tasks?environment=cloud&limit=x",
        "/v1/tasks?environment=cloud&node=..%2fpve2", "/v1/tasks/status?environment=cloud&upid=UPID:x",
        "/v1/tasks/status?environment=cloud&upid=..%2f..%2fx", "/v1/plans?state=good", "/v1/plans?limit=501",
        "/v1/plans?before=op_00000000000000000000", "/v1/operations?state=approved", "/v1/operations?plan_id=1",
        "/v1/operations/\(unknownOperation)?wait=61", "/v1/operations/\(unknownOperation)?wait=-1",
        "/v1/operations/\(unknownOperation)/log?limit=0", "/v1/plans?target=vm/1", "/v1/operations?target=guest/101",
    ])
    func `a query that is not understood is refused`(path: String) async throws {
        try await withAgent { agent in
            expectProblem(try await agent.get(path), 400, "invalid_request")
            #expect(agent.executed.isEmpty)
        }
    }

    @Test(arguments: [
        "/v1/inventory?environment=nowhere", "/v1/inventory?environment=", "/v1/nodes?environment=..%2fcloud",
        "/v1/plans?environment=x", "/v1/operations?environment=x",
    ])
    func `an unknown environment is named as such`(path: String) async throws {
        try await withAgent { agent in
            let reply = try await agent.get(path)
            expectProblem(reply, 400, "unknown_environment")
            #expect(reply["detail"]?.string?.contains("cloud") == true)
        }
    }
}
