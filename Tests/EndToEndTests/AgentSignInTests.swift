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

    private func signIn(_ body: JSON, at agent: CrashableAgent, _ fields: HTTPFields = site) async throws -> Reply {
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
        _ method: HTTPRequest.Method, _ path: String, at agent: CrashableAgent, _ fields: HTTPFields
    ) async throws -> Reply {
        try await agent.send(method, path, as: nil, token: nil, fields: fields)
    }

    private func withCluster(
        _ body: (_ anna: CrashableAgent, _ bert: CrashableAgent, AgentCluster) async throws -> Void
    ) async throws {
        let cluster = try AgentCluster()
        try await cluster.start()
        _ = try await cluster.leader(by: "anna")
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
