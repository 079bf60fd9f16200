import AgentAPI
import AgentModel
import AgentTestSupport
import FoundationEssentials
import Glibc
import HTTPMessage
import HTTPTypes
import StrictJSON
import Testing
import WireTestSupport

@testable import proxmox_agent

/// The console over real sockets: its files, sign-in, and event streams under a session.
@Suite(.timeLimit(.minutes(2)))
struct ConsoleTests {
    private static let site: HTTPFields = [.name("Sec-Fetch-Site"): "same-origin"]

    /// Signs in, and gives the fields of a page's requests.
    private static func signIn(_ member: TestPrincipals, at agent: some AgentUnderTest) async throws -> HTTPFields {
        let body: JSON = ["token": .string(member.token)]
        let reply = try await agent.send(.post, "/v1/session", body: body.bytes, as: nil, token: nil, fields: site)
        #expect(reply.status == 201, "\(reply)")
        var fields = site
        fields[.cookie] = String(try #require(reply.fields[.setCookie]).prefix { $0 != ";" })
        return fields
    }

    @Test func `the console comes with headers that keep others' scripts and frames out`() async throws {
        try await withAgent { agent in
            let page = try await agent.send(.get, "/ui/", as: nil, token: nil)
            #expect(page.status == 200 && page.fields[.contentType] == "text/html; charset=utf-8")
            let policy = try #require(page.fields[.contentSecurityPolicy])
            for part in [
                "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
                "form-action 'none'",
                "frame-ancestors 'none'", "base-uri 'none'",
            ] { #expect(policy.split(separator: "; ").contains(part[...])) }
            #expect(!policy.contains("unsafe") && !policy.contains("*"))
            #expect(page.fields[.xContentTypeOptions] == "nosniff")
            for (name, value) in [
                ("Referrer-Policy", "no-referrer"), ("Cross-Origin-Opener-Policy", "same-origin"),
                ("Cross-Origin-Resource-Policy", "same-origin"), ("X-Frame-Options", "DENY"),
                ("Cache-Control", "private, no-cache"),
            ] { #expect(page.fields[values: .name(name)] == [value]) }
            let tag = try #require(page.fields[.eTag])
            let again = try await agent.send(.get, "/ui/", as: nil, token: nil, fields: [.ifNoneMatch: tag])
            #expect(again.status == 304 && again.body.isEmpty)
            let style = try await agent.send(.get, "/ui/app.css", as: nil, token: nil)
            #expect(style.status == 200 && style.fields[.contentType] == "text/css; charset=utf-8")
            let script = try await agent.send(.get, "/ui/app.js", as: nil, token: nil)
            #expect(script.fields[.contentType] == "text/javascript; charset=utf-8")
            let root = try await agent.send(.get, "/ui", as: nil, token: nil)
            #expect(root.status == 308 && root.fields[.location] == "/ui/")
            for path in ["/ui/none.js", "/ui/..%2fapp.js", "/ui/a/b"] {
                expectProblem(try await agent.send(.get, path, as: nil, token: nil), 404, "not_found")
            }
            expectProblem(try await agent.send(.post, "/ui/", as: nil, token: nil), 405, "method_not_allowed")
        }
    }

    @Test func `without a console there are neither pages nor sessions`() async throws {
        try await withAgent(Setup(settings: ["ui": false])) { agent in
            expectProblem(try await agent.send(.get, "/ui/", token: nil), 404, "not_found")
            let body: JSON = ["token": .string(Setup.token)]
            expectProblem(
                try await agent.send(.post, "/v1/session", body: body.bytes, token: nil), 404, "not_found")
            #expect(try await agent.get("/v1/session")["session"] == .null)
        }
    }

    @Test func `whoever signs in asks, approves and applies as with a token`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            let (asker, approver) = (
                try await Self.signIn(.agent, at: agent), try await Self.signIn(.alice, at: agent)
            )
            func send(_ path: String, _ body: JSON, _ fields: HTTPFields) async throws -> Reply {
                try await agent.send(.post, path, body: body.bytes, as: nil, token: nil, fields: fields)
            }
            let plan = try await send("/v1/actions/plan", PlanRequest.stop.json, asker)
            #expect(plan["state"] == "awaiting_approval", "\(plan)")
            let id = try #require(plan["plan_id"]?.string)
            let word: JSON = ["decision": "approve", "plan_hash": plan["plan_hash"] ?? .null]
            expectProblem(try await send("/v1/plans/\(id)/approvals", word, asker), 403, "forbidden")
            #expect(try await send("/v1/plans/\(id)/approvals", word, approver)["state"] == "approved")
            var waiting = asker
            waiting[.preferWait] = "wait=15"
            #expect(
                try await send("/v1/actions/apply", ["plan_id": .string(id)], waiting)["result"]?["status"]
                    == "succeeded")
            let records = try agent.records()
            #expect(records.first { $0["kind"] == "approve" }?["principal"] == "alice")
            #expect(records.count { $0["kind"] == "session" } == 2)
        }
    }

    @Test func `wrong sign-ins are tallied like wrong tokens`() async throws {
        let agent = try await RunningAgent(TestPrincipals.setup())
        for body: JSON in [["token": "wrong-token-1"], ["code": "abcd-efgh"], ["token": ""]] {
            expectProblem(
                try await agent.send(.post, "/v1/session", body: body.bytes, as: nil, token: nil), 401,
                "unauthenticated")
        }
        let foreign = try await agent.send(
            .post, "/v1/session", body: Array("{}".utf8), as: nil, token: nil, fields: [.origin: "https://evil.example"]
        )
        expectProblem(foreign, 403, "foreign_origin")
        // Who only asks whether somebody is signed in tries nothing.
        expectProblem(try await agent.send(.get, "/v1/session", as: nil, token: nil), 401, "unauthenticated")
        await agent.stop()
        let records = try agent.records().filter { $0["kind"] == "auth_failures" }
        #expect(records.compactMap { $0["result"]?["count"]?.integer }.reduce(0, +) == 4, "\(records)")
        #expect(records.allSatisfy { !$0.text.contains("wrong-token") && !$0.text.contains("abcd") })
    }

    @Test func `an event stream ends with its session, and leaves others alone`() async throws {
        try await withAgent(TestPrincipals.setup()) { agent in
            func watch(_ fields: HTTPFields, after: Int? = nil) async throws -> RawClient {
                let client = try RawClient(agent.address)
                let query = after.map { "?after=\($0)" } ?? ""
                try await client.send(
                    "GET /v1/events\(query) HTTP/1.0\r\nHost: localhost\r\nCookie: \(fields[.cookie] ?? "")\r\n\r\n")
                #expect(try await client.read(through: "\r\n\r\n").contains(" 200 "))
                return client
            }
            let (gone, kept) = (try await Self.signIn(.agent, at: agent), try await Self.signIn(.alice, at: agent))
            let (first, past, other) = (
                try await watch(gone), try await watch(gone, after: 1), try await watch(kept)
            )
            let out = try await agent.send(.delete, "/v1/session", as: nil, token: nil, fields: gone)
            #expect(out.status == 204)
            _ = try await first.end()
            _ = try await past.end()
            agent.clock.advance(seconds: 31 * 60)
            await agent.agent.housekeeping()
            _ = try await other.end()
        }
    }

    @Test func `after SIGHUP a session has what its principal has, or has ended`() async throws {
        let agent = try await ServedAgent(TestPrincipals.setup([.agent, .alice]))
        let (asker, approver) = (try await Self.signIn(.agent, at: agent), try await Self.signIn(.alice, at: agent))
        try await agent.reload(TestPrincipals.setup([.alice, .bob]), until: "put in force")
        #expect(try await agent.send(.get, "/v1/plans", as: nil, token: nil, fields: asker).status == 401)
        #expect(try await agent.send(.get, "/v1/plans", as: nil, token: nil, fields: approver).status == 200)
        _ = try await agent.stop()
    }

    // MARK: Codes and the demonstration

    @Test func `the command gets a code that signs its caller in`() async throws {
        try await withAgent(Person.setup()) { agent in
            let result = try await Person.alice.run("sign-in-code", at: agent)
            let code = try #require(result.out.split(separator: "\n").first, "\(result)")
            let body: JSON = ["code": .string(String(code))]
            let reply = try await agent.send(.post, "/v1/session", body: body.bytes, as: nil, token: nil)
            #expect(reply.status == 201 && reply["principal"] == "alice", "\(reply)")
        }
    }

    private static func config(_ directory: String, _ more: String = "") throws -> String {
        let path = directory + "/config.json"
        try write(
            """
            {"listen_addr":"127.0.0.1:0","audit_log_path":"\(directory)/audit.log",
             "state_path":"\(directory)/state.db"\(more.contains("environments") ? "" : #","environments":[{"name":"home","base_url":"simulator://home","token_id":"agent@pve!home"}]"#)\(more)}
            """, to: path)
        return path
    }

    @Test func `a demonstration prints codes, and its approver approves what the shared token asks for`() async throws {
        let directory = try TemporaryDirectory()
        let program = try Program(
            ["serve", "--demo", "--config", try Self.config(directory.path)],
            variables: ["PROXMOX_AGENT_API_TOKEN": "change-me"])
        let line = try await program.line { $0.contains("listening") }
        let word = line.split { !"0123456789.:".contains($0) }.first { $0.hasPrefix("127.0.0.1:") }
        let host = String(try #require(word))
        let client = try Client(of: try #require(ListenAddress(host)))
        func send(_ path: String, _ body: JSON, _ fields: HTTPFields) async throws -> Reply {
            var all = fields
            all[.contentType] = "application/json"
            return try await client.send(
                OutgoingRequest(method: .post, target: path, fields: all, body: body.bytes, once: true))
        }
        let row = try await program.line(ofOutput: true) { $0.contains("demo-approver") }
        let code = String(try #require(row.split(separator: " ").last))
        let signedIn = try await send("/v1/session", ["code": .string(code)], Self.site)
        #expect(signedIn.status == 201 && signedIn["principal"] == "demo-approver", "\(signedIn)")
        var page = Self.site
        let set = try #require(signedIn.fields[HTTPField.Name.setCookie])
        page[.cookie] = String(set.prefix { $0 != ";" })
        let shared: HTTPFields = [.authorization: "Bearer change-me", .actorID: "local-operator"]
        let plan = try await send(
            "/v1/actions/plan", ["environment": "home", "action": "stop_vm", "target": "vm/102"], shared)
        #expect(plan["state"] == "awaiting_approval", "\(plan)")
        let id = try #require(plan["plan_id"]?.string)
        let approved = try await send(
            "/v1/plans/\(id)/approvals", ["decision": "approve", "plan_hash": plan["plan_hash"] ?? .null], page)
        #expect(approved["state"] == "approved", "\(approved)")
        #expect(try await send("/v1/actions/apply", ["plan_id": .string(id)], shared).status < 300)
        // What the shared token could do alone, it still can.
        let other = try await send(
            "/v1/actions/plan", ["environment": "home", "action": "stop_vm", "target": "vm/101"], shared)
        let declared: JSON = ["plan_id": other["plan_id"] ?? .null, "approved_by": "alice"]
        #expect(try await send("/v1/actions/apply", declared, shared).status < 300)
        await client.stop()
        program.signal(SIGTERM)
        let result = try await program.end()
        #expect(!result.err.contains(code), "codes are not for the log")
    }

    @Test(arguments: [
        (#","listen_addr":"0.0.0.0:0""#, "loopback"), (#","ui":false"#, "console"),
        (
            #","environments":[{"name":"home","base_url":"http://127.0.0.1:1","token_id":"agent@pve!home","token_secret_env":"S"}]"#,
            "simulators"
        ),
    ])
    func `there is no demonstration with anything real`(more: String, why: String) async throws {
        let directory = try TemporaryDirectory()
        var path = try Self.config(directory.path, more)
        if more.contains("listen_addr") {
            let text = String(decoding: try readFile(path, limit: 4096), as: UTF8.self)
            path = directory.path + "/other.json"
            try write(text.replacing(#""listen_addr":"127.0.0.1:0","#, with: ""), to: path)
        }
        let result = try await Program.run("serve", "--demo", "--config", path, variables: ["S": "secret-of-home-1"])
        #expect(result.status == 1 && result.err.contains(why), "\(result)")
    }
}
