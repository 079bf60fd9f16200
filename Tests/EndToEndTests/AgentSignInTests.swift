import AgentService
import AgentTestSupport
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import PostgreSQLTestSupport
import StrictJSON
import Testing
import WireTestSupport

@testable import proxmox_agent

/// Sign-ins at several agents on one state: who is signed in at one is signed in at all, and what counts once counts
/// once at all of them.
@Suite(.serialized, .timeLimit(.minutes(3)), .enabled(if: PostgreSQLServer.isPossible, "\(PostgreSQLServer.whyNot)"))
struct AgentSignInTests {
    private static let site: HTTPFields = [.name("Sec-Fetch-Site"): "same-origin"]

    private func signIn(
        _ body: JSON, at agent: some AgentUnderTest, _ fields: HTTPFields = site
    ) async throws -> Reply {
        try await agent.send(.post, "/v1/session", body: body.bytes, as: nil, token: nil, fields: fields)
    }

    /// The fields of a page's requests after a sign-in.
    private func page(_ reply: Reply) throws -> HTTPFields {
        #expect(reply.status == 201, "\(reply)")
        var fields = Self.site
        fields[.cookie] = String(try #require(reply.fields[.setCookie]).prefix { $0 != ";" })
        return fields
    }

    private func ask(
        _ method: HTTPRequest.Method, _ path: String, at agent: some AgentUnderTest, _ fields: HTTPFields
    ) async throws -> Reply {
        try await agent.send(method, path, as: nil, token: nil, fields: fields)
    }

    private func withCluster(
        _ body: (_ anna: CrashableAgent, _ bert: CrashableAgent, AgentCluster) async throws -> Void
    ) async throws {
        let cluster = try AgentCluster()
        try await cluster.start()
        _ = try await cluster.leader(by: "anna")
        // Each signs in once it has looked at the others.
        for agent in cluster.agents {
            while try await ask(.post, "/v1/session/challenge", at: agent, Self.site).status == 503 {}
        }
        try await body(try cluster.agent("anna"), try cluster.agent("bert"), cluster)
        try await cluster.stop()
    }

    @Test func `who is signed in at one agent is signed in at all, and signed out at all at once`() async throws {
        try await withCluster { anna, bert, _ in
            let page = try page(try await signIn(["token": .string(Setup.token)], at: anna))
            let who = try await ask(.get, "/v1/session", at: bert, page)
            #expect(who.status == 200 && who["session"]?["current"] == true, "\(who)")
            let other = try self.page(try await signIn(["token": .string(Setup.token)], at: bert))
            #expect(try await ask(.get, "/v1/sessions", at: anna, page)["sessions"]?.array?.count == 2)

            // A stream at one agent ends within seconds of a sign-out at the other.
            let stream = try RawClient(try #require(bert.address))
            try await stream.send(
                "GET /v1/events HTTP/1.0\r\nHost: localhost\r\nCookie: \(page[.cookie] ?? "")\r\n\r\n")
            #expect(try await stream.read(through: "\r\n\r\n").contains(" 200 "))
            #expect(try await ask(.delete, "/v1/session", at: anna, page).status == 204)
            for agent in [bert, anna] {
                expectProblem(try await ask(.get, "/v1/plans", at: agent, page), 401, "unauthenticated")
            }
            _ = try await stream.end(within: .seconds(10))

            // One session ends another, at whichever agent.
            let third = try await signIn(["token": .string(Setup.token)], at: anna)
            let id = try #require(third["session"]?["id"]?.string)
            #expect(try await ask(.delete, "/v1/sessions/\(id)", at: bert, other).status == 204)
            expectProblem(try await ask(.get, "/v1/plans", at: anna, try self.page(third)), 401, "unauthenticated")
            try await anna.halt()
            try await anna.start()
            #expect(try await ask(.get, "/v1/plans", at: anna, other).status == 200)

            let kinds = try [anna, bert].map { agent in
                try agent.lines().filter { $0["kind"] == "session" }.compactMap { $0["result"]?["status"]?.string }
            }
            #expect(kinds == [["signed_in", "signed_out", "signed_in"], ["signed_in", "ended"]])
        }
    }

    @Test func `a session that is signed out at two agents at once is recorded as signed out once`() async throws {
        try await withCluster { anna, bert, _ in
            for _ in 0..<5 {
                let page = try page(try await signIn(["token": .string(Setup.token)], at: anna))
                async let one = ask(.delete, "/v1/session", at: anna, page)
                async let other = ask(.delete, "/v1/session", at: bert, page)
                let statuses = try await [one, other].map(\.status)
                #expect(statuses.contains(204) && statuses.allSatisfy { [204, 401].contains($0) }, "\(statuses)")
            }
            let records = try [anna, bert].flatMap { try $0.lines() }.compactMap { $0["result"] }
            let void = records.count { $0["voids"] != nil && $0["kind"] == "session" }
            #expect(records.count { $0["status"] == "signed_out" } - void == 5)
        }
    }

    @Test func `a code that was made at one agent counts once at all of them`() async throws {
        try await withCluster { anna, bert, _ in
            func code(at agent: CrashableAgent) async throws -> JSON {
                let made = try await agent.send(.post, "/v1/session/code", as: nil)
                return ["code": .string(try #require(made["code"]?.string, "\(made)"))]
            }
            let first = try await code(at: anna)
            _ = try page(try await signIn(first, at: bert))
            expectProblem(try await signIn(first, at: anna), 401, "unauthenticated")
            for _ in 0..<5 {
                let next = try await code(at: anna)
                async let one = signIn(next, at: anna)
                async let other = signIn(next, at: bert)
                #expect(try await [one, other].map(\.status).sorted() == [201, 401])
            }
            let (old, new) = (try await code(at: anna), try await code(at: bert))
            expectProblem(try await signIn(old, at: bert), 401, "unauthenticated")
            _ = try page(try await signIn(new, at: anna))
        }
    }

    @Test func `of a principal there are so many sessions at all agents together`() async throws {
        try await withCluster { anna, bert, _ in
            var pages: [HTTPFields] = []
            for number in 0..<17 {
                pages.append(
                    try page(
                        try await signIn(["token": .string(Setup.token)], at: number.isMultiple(of: 2) ? anna : bert))
                )
            }
            for agent in [anna, bert] {
                #expect(try await ask(.get, "/v1/plans", at: agent, pages[0]).status == 401)
                #expect(try await ask(.get, "/v1/sessions", at: agent, pages[1])["sessions"]?.array?.count == 16)
            }
            // At two agents at once, each replaces another one.
            async let one = signIn(["token": .string(Setup.token)], at: anna)
            async let other = signIn(["token": .string(Setup.token)], at: bert)
            #expect(try await [one, other].map(\.status) == [201, 201])
            #expect(try await ask(.get, "/v1/sessions", at: anna, pages[16])["sessions"]?.array?.count == 16)
        }
    }

    @Test func `rows that nobody with the key has made keep nobody from signing in`() async throws {
        try await withCluster { anna, bert, cluster in
            _ = try cluster.server.sql(
                """
                INSERT INTO sign_ins SELECT 'session', 'made up ' || n, 'principal:nobody', 99999999999999, 'x'
                FROM generate_series(1, 5000) AS n
                """, in: cluster.database)
            for agent in [anna, bert] { _ = try page(try await signIn(["token": .string(Setup.token)], at: agent)) }
        }
    }

    @Test func `a stream under a session outlives one look at its session that fails, and not two`() async throws {
        let cluster = try AgentCluster([])
        let cutter = try CommitCutter(to: cluster.server.port)
        var setup = cluster.setup(of: "anna")
        setup.settings["state_url"] = .string(
            cluster.server.address(cluster.database, at: "127.0.0.1", port: cutter.port))
        let anna = try await RunningAgent(setup)
        let leases = Task { await anna.agent.service.leases.run() }
        try await cluster.settle(by: anna) { $0["anna"] == ["cloud"] }
        let page = try page(try await signIn(["token": .string(Setup.token)], at: anna))
        let stream = try RawClient(anna.address)
        try await stream.send("GET /v1/events HTTP/1.0\r\nHost: localhost\r\nCookie: \(page[.cookie] ?? "")\r\n\r\n")
        _ = try await stream.read(through: "retry: 2000")
        cutter.shut(true)
        _ = try cluster.server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
        )
        await anna.agent.endStreamsOfEndedSessions()
        await anna.agent.beat()
        _ = try await stream.read(through: "\n: ")
        await anna.agent.endStreamsOfEndedSessions()
        _ = try await stream.end()
        cutter.shut(false)
        leases.cancel()
        await anna.stop()
        cutter.close()
        try await cluster.stop()
    }

    @Test func `an agent that is cut off from the database believes no cookie`() async throws {
        try await withCluster { anna, bert, cluster in
            let page = try page(try await signIn(["token": .string(Setup.token)], at: bert))
            #expect(try await ask(.get, "/v1/session", at: bert, page).status == 200)
            let cutter = try #require(cluster.cutters["bert"])
            cutter.shut(true)
            // The other one connects again by itself.
            _ = try cluster.server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
            )
            for path in ["/v1/session", "/v1/environments"] {
                expectProblem(try await ask(.get, path, at: bert, page), 503, "store_unavailable")
            }
            // What cannot be a cookie is not looked up, and where a session begins none is.
            let nobody: HTTPFields = [.cookie: "__Host-proxmox-agent=x"]
            expectProblem(try await ask(.get, "/v1/session", at: bert, nobody), 401, "unauthenticated")
            expectProblem(try await signIn(["token": "wrong"], at: bert, page), 401, "unauthenticated")
            expectProblem(try await ask(.post, "/v1/session/challenge", at: bert, page), 404, "not_found")
            // Whose session it was is known, although not whether it has ended.
            var foreign = page
            foreign[.name("Sec-Fetch-Site")] = "cross-site"
            expectProblem(try await ask(.get, "/v1/plans", at: bert, foreign), 403, "foreign_origin")
            #expect(try bert.lines().last { $0["kind"] == "refuse" }?["result"]?["code"] == "foreign_origin")
            expectProblem(try await signIn(["token": .string(Setup.token)], at: bert), 503, "store_unavailable")
            expectProblem(try await signIn(["code": "0000-0000"], at: bert), 503, "store_unavailable")
            #expect(try await bert.get("/v1/environments").status == 200, "a token needs no state")
            func untilItWorks(_ method: HTTPRequest.Method, at agent: CrashableAgent) async throws -> Reply {
                while true {
                    let reply = try await ask(method, "/v1/session", at: agent, page)
                    if reply.status != 503 { return reply }
                }
            }
            #expect(try await untilItWorks(.delete, at: anna).status == 204)
            cutter.shut(false)
            let reply = try await untilItWorks(.get, at: bert)
            expectProblem(reply, 401, "unauthenticated")
        }
    }
}
