import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import Logging
import StrictJSON
import Synchronization
import Testing

@testable import AgentAPI

/// Sessions of browsers: which requests they count for, and when they end.
struct SessionTests {
    private static let people = [
        Principal(id: "olga", roles: [.operator]), Principal(id: "alice", roles: [.approver]),
    ]
    private static let loopback = "127.0.0.1:40112"

    /// A handler with sessions, and a clock that tests push.
    private final class Desk: Sendable {
        let audit = MemoryAuditSink()
        let authenticator: Authenticator
        let handler: AgentHandler
        let failures: AuthFailures

        init(
            listening address: ListenAddress = .tcp(host: "127.0.0.1", port: 8080), publicURL: String? = nil,
            hasTLS: Bool = false
        ) {
            let ports = Ports(
                audit: audit, store: MemoryPlanStore(), log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                installation: Installation(origin: "agent.example/audit", publicURL: publicURL))
            let rules = BrowserRules(listening: address, publicURL: publicURL, hasTLS: hasTLS)
            let clock = Clock()
            authenticator = Authenticator(
                SessionTests.people.map { Credentials($0, token: CredentialDigest(of: "token-of-\($0.id)".utf8)) },
                sessions: Sessions(rules, now: { clock.now }))
            failures = AuthFailures(delay: .zero) { [audit] events in
                for event in events { _ = try? await audit.append(event, .now) }
            }
            handler = AgentHandler(
                service: ControlPlane(
                    managedEnvironments: [], ports: ports, rules: Rules(directory: Directory(SessionTests.people)),
                    key: .sample), authenticator: authenticator, accessLog: Silence(), failures: failures,
                and: Route.console(rules))
            self.clock = clock
        }

        let clock: Clock

        func ask(
            _ method: HTTPRequest.Method, _ path: String, _ fields: HTTPFields = [:], body: JSON? = nil,
            host: String = "localhost:8080", peer: String = SessionTests.loopback
        ) async -> Response {
            var all = fields
            all[.host] = host
            if body != nil, all[.contentType] == nil { all[.contentType] = "application/json" }
            return await handler.respond(
                to: Request(method: method, path: path, fields: all, body: body?.bytes ?? [], peer: peer))
        }

        /// Signs in, and gives the cookie as a browser sends it.
        func signIn(_ id: String = "olga", host: String = "localhost:8080", agent: String? = nil) async throws -> String
        {
            var fields = HTTPFields()
            fields[.userAgent] = agent
            let response = await ask(
                .post, "/v1/session", fields, body: ["token": .string("token-of-\(id)")], host: host)
            #expect(response.status == .created, "\(String(decoding: response.body.bytes, as: UTF8.self))")
            let set = try #require(response.fields[.setCookie])
            #expect(set.hasSuffix("; Path=/; Secure; HttpOnly; SameSite=Strict") && !set.contains("Domain"))
            return String(set.prefix { $0 != ";" })
        }

        func kinds() async throws -> [String?] {
            try await audit.records(after: 0, limit: .max).filter { $0.event.kind == .session }
                .map { $0.event.result?["status"]?.string }
        }
    }

    final class Clock: Sendable {
        private let time = Mutex(Date(timeIntervalSince1970: 1_800_000_000))
        var now: Date { time.withLock { $0 } }
        func advance(_ seconds: Double) { time.withLock { $0 += seconds } }
    }

    private struct Silence: AccessLog {
        func answered(_ entry: AccessEntry) {}
    }

    private static func code(_ response: Response) -> String? {
        (try? JSON.parse(response.body.bytes))?["code"]?.string
    }

    @Test func `a token begins a session that is the same caller, and neither token nor cookie is recorded`()
        async throws
    {
        let desk = Desk(publicURL: "https://agent.example")
        let cookie = try await desk.signIn(agent: "Browser/1 " + String(repeating: "x", count: 500))
        let who = await desk.ask(.get, "/v1/session", [.cookie: cookie])
        let shown = try JSON.parse(who.body.bytes)
        #expect(who.status == .ok && shown["principal"] == "olga" && shown["rp_id"] == "agent.example")
        #expect(shown["session"]?["user_agent"]?.string?.hasPrefix("Browser/1 xxx") == true)
        #expect(shown["session"]?["user_agent"]?.string?.utf8.count == 160)
        let log = try await desk.audit.records(after: 0, limit: .max).map { String(decoding: $0.line, as: UTF8.self) }
        #expect(log.count == 1 && log[0].contains(#""method":"token""#) && log[0].contains(#""principal":"olga""#))
        #expect(!log[0].contains("token-of") && !log[0].contains(cookie.split(separator: "=")[1]))
    }

    /// What a request under a session has beside its cookie, and what comes of it.
    struct Case: Sendable, CustomTestStringConvertible {
        let method: HTTPRequest.Method
        let fields: [String: String]
        let code: String?
        var host = "localhost:8080"
        var testDescription: String { "\(method) \(fields) at \(host)" }

        init(
            _ method: HTTPRequest.Method, _ fields: [String: String], _ code: String?, host: String = "localhost:8080"
        ) {
            (self.method, self.fields, self.code, self.host) = (method, fields, code, host)
        }
    }

    private static let foreign = "foreign_origin"
    static let cases: [Case] = [
        Case(.get, [:], nil), Case(.get, ["Sec-Fetch-Site": "same-origin"], nil),
        Case(.get, ["Sec-Fetch-Site": "none"], nil), Case(.get, ["Sec-Fetch-Site": "cross-site"], foreign),
        Case(.get, ["Sec-Fetch-Site": "same-site"], foreign), Case(.get, ["Origin": "https://evil.example"], foreign),
        Case(.head, ["Sec-Fetch-Site": "cross-site"], foreign),
        Case(.post, [:], foreign), Case(.post, ["Sec-Fetch-Site": "same-origin"], nil),
        Case(.post, ["Sec-Fetch-Site": "none"], foreign), Case(.post, ["Sec-Fetch-Site": "same-site"], foreign),
        Case(.post, ["Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:8080"], foreign),
        Case(.post, ["Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"], foreign),
        Case(.post, ["Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8080"], nil),
        Case(.post, ["Sec-Fetch-Site": "same-origin", "Origin": "null"], nil),
        Case(.post, ["Origin": "http://localhost:8080"], nil), Case(.post, ["Origin": "HTTP://LOCALHOST:8080"], nil),
        Case(.post, ["Origin": "http://localhost:8081"], foreign),
        Case(.post, ["Origin": "https://localhost:8080"], foreign), Case(.post, ["Origin": "null"], foreign),
        Case(.post, ["Origin": "http://127.0.0.1:8080"], foreign), Case(.post, ["Origin": ""], foreign),
        Case(.post, ["Origin": "http://127.0.0.1:8080"], nil, host: "127.0.0.1:8080"),
        Case(.post, ["Origin": "https://agent.example"], nil, host: "agent.example"),
        Case(.post, ["Origin": "http://agent.example"], nil, host: "agent.example"),
        Case(.post, ["Origin": "https://evil.example"], foreign, host: "evil.example"),
        Case(.get, [:], foreign, host: "evil.example"),
        Case(.post, ["Sec-Fetch-Site": "same-origin"], foreign, host: "evil.example:8080"),
        Case(
            .post, ["Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"], "unsupported_media_type"),
        Case(.post, ["Authorization": "Bearer token-of-alice", "Origin": "https://evil.example"], nil),
        Case(.get, ["Authorization": "Bearer wrong"], "unauthenticated"),
    ]

    @Test(arguments: cases)
    func `a session counts for requests of the agent's own pages only`(one: Case) async throws {
        let desk = Desk(publicURL: "https://agent.example")
        var fields: HTTPFields = [.cookie: try await desk.signIn()]
        for (name, value) in one.fields { fields[try #require(HTTPField.Name(name))] = value }
        let isPost = one.method == .post
        let response = await desk.ask(
            one.method, isPost ? "/v1/freeze" : "/v1/plans", fields, body: isPost ? ["reason": "look"] : nil,
            host: one.host)
        let code = one.method == .head ? (response.status == .forbidden ? Self.foreign : nil) : Self.code(response)
        #expect(code == one.code, "\(response)")
        #expect(response.status.code < 400 || one.code != nil)
        // Refused under the principal whose session it was, with one record.
        let refusals = try await desk.audit.records(after: 0, limit: .max).filter { $0.event.kind == .refuse }
        #expect(
            refusals.map { $0.event.result?["code"]?.string }
                == (code == nil || code == "unauthenticated" ? [] : [code]))
        #expect(refusals.allSatisfy { $0.event.principal == "olga" })
    }

    @Test(
        arguments: [
            (["Origin": "https://evil.example"], "localhost:8080", "foreign_origin"),
            (["Sec-Fetch-Site": "cross-site"], "localhost:8080", "foreign_origin"),
            (["Content-Type": "text/plain"], "localhost:8080", "unsupported_media_type"),
            ([:], "evil.example", "foreign_origin"),
        ] as [([String: String], String, String)])
    func `no page of somebody else signs anybody in`(fields: [String: String], host: String, code: String) async throws
    {
        let desk = Desk()
        var all = HTTPFields()
        for (name, value) in fields { all[try #require(HTTPField.Name(name))] = value }
        let response = await desk.ask(.post, "/v1/session", all, body: ["token": "token-of-olga"], host: host)
        #expect(Self.code(response) == code)
        #expect(response.fields[.setCookie] == nil)
    }

    @Test func `without TLS others than this machine get neither pages nor sessions`() async throws {
        let (plain, other) = (Desk(listening: .tcp(host: "", port: 8080)), "192.0.2.7:40112")
        let cookie = try await plain.signIn()
        for response in [
            await plain.ask(.get, "/ui/", peer: other),
            await plain.ask(.get, "/v1/session", [.cookie: cookie], peer: other),
            await plain.ask(
                .post, "/v1/session", body: ["token": "token-of-olga"], host: "192.0.2.1:8080", peer: other),
        ] { #expect(response.status == .forbidden && Self.code(response) == "tls_required") }
        #expect(await plain.ask(.get, "/ui/").status == .ok)
        #expect(await plain.ask(.get, "/ui/", peer: "unix").status == .ok)
        let safe = Desk(listening: .tcp(host: "", port: 8443), hasTLS: true)
        #expect(await safe.ask(.get, "/ui/", peer: other).status == .ok)
        let response = await safe.ask(
            .post, "/v1/session", [.origin: "https://192.0.2.1:8443"], body: ["token": "token-of-olga"],
            host: "192.0.2.1:8443", peer: other)
        #expect(response.status == .created)
    }

    @Test func `what a page asks for by itself is answered and keeps no session alive`() async throws {
        let desk = Desk()
        let cookie = try await desk.signIn()
        let fields: HTTPFields = [.cookie: cookie, .background: "1"]
        desk.clock.advance(29 * 60)
        #expect(await desk.ask(.get, "/v1/plans", fields).status == .ok)
        desk.clock.advance(60)
        #expect(await desk.ask(.get, "/v1/plans", fields).status == .unauthorized)
    }

    @Test func `a session ends after half an hour without use, and after eight hours in any case`() async throws {
        let desk = Desk()
        let idle = try await desk.signIn()
        let used = try await desk.signIn("alice")
        func status(_ cookie: String) async -> Int { await desk.ask(.get, "/v1/plans", [.cookie: cookie]).status.code }
        desk.clock.advance(29 * 60)
        #expect(await status(used) == 200)
        desk.clock.advance(60)
        #expect(await status(idle) == 401)
        for _ in 0..<16 {
            desk.clock.advance(27 * 60)
            #expect(await status(used) == 200)
        }
        try await desk.authenticator.tidySessions()
        desk.clock.advance(17 * 60)
        #expect(await status(used) == 200)
        desk.clock.advance(60)
        #expect(await status(used) == 401)
        try await desk.authenticator.tidySessions()
        #expect(await desk.ask(.get, "/v1/session", [.cookie: used]).status == .unauthorized)
    }

    @Test func `a session is what its principal is now, and ends with the token that began it`() async throws {
        let desk = Desk()
        let cookies = [try await desk.signIn(), try await desk.signIn("alice")]
        let reduced = Principal(id: "olga", roles: [.viewer])
        desk.authenticator.replace([
            Credentials(reduced, token: CredentialDigest(of: "token-of-olga".utf8)),
            Credentials(Self.people[1], token: CredentialDigest(of: "another".utf8)),
        ])
        let site: HTTPFields = [.secFetchSite: "same-origin", .cookie: cookies[0]]
        #expect(await desk.ask(.get, "/v1/plans", site).status == .ok)
        #expect(Self.code(await desk.ask(.post, "/v1/freeze", site, body: ["reason": "x"])) == "forbidden")
        #expect(await desk.ask(.get, "/v1/plans", [.cookie: cookies[1]]).status == .unauthorized)
        desk.authenticator.replace([Credentials(Self.people[1], token: CredentialDigest(of: "another".utf8))])
        #expect(await desk.ask(.get, "/v1/plans", [.cookie: cookies[0]]).status == .unauthorized)
    }

    @Test func `with a token the cookie does not count, and beside the API it never does`() async throws {
        let desk = Desk()
        let cookie = try await desk.signIn()
        let both = await desk.ask(.get, "/v1/session", [.cookie: cookie, .authorization: "Bearer token-of-alice"])
        let shown = try JSON.parse(both.body.bytes)
        #expect(shown["principal"] == "alice" && shown["session"] == .null)
        #expect(await desk.ask(.get, "/metrics", [.cookie: cookie], peer: "192.0.2.7:1").status == .unauthorized)
        let ready = await desk.ask(.get, "/readyz", [.cookie: cookie])
        #expect(try JSON.parse(ready.body.bytes)["environments"] == nil)
    }

    @Test(arguments: [
        "__Host-proxmox-agent=", "__Host-proxmox-agent=x", "NAME=VALUE; __Host-proxmox-agent=x", "proxmox-agent=VALUE",
        "_ _Host-proxmox-agent=VALUE", "__Host-\tproxmox-agent=VALUE", "NAME =VALUE", "NAME= VALUE", "NAME=\"VALUE\"",
        "__host-proxmox-agent=VALUE",
    ])
    func `other cookies are nobody's`(form: String) async throws {
        let desk = Desk()
        let cookie = try await desk.signIn()
        let parts = cookie.split(separator: "=", maxSplits: 1)
        let sent = form.replacing("NAME", with: parts[0]).replacing("VALUE", with: parts[1])
        #expect(await desk.ask(.get, "/v1/plans", [.cookie: sent]).status == .unauthorized)
        #expect(await desk.ask(.get, "/v1/plans", [.cookie: "a=b; \(cookie); _ _Host-proxmox-agent=x"]).status == .ok)
    }

    private static let madeUp = "__Host-proxmox-agent=\(String(repeating: "A", count: 43))"
    private static let tokenOfOlga: JSON = ["token": "token-of-olga"]

    @Test(
        arguments: [
            (.get, "/v1/session", nil, madeUp, 401, 1), (.get, "/v1/plans", nil, madeUp, 401, 1),
            (.get, "/v1/session", nil, "\(madeUp)A", 401, 0), (.get, "/v1/session", nil, nil, 401, 0),
            (.post, "/v1/session/challenge", [:], madeUp, 200, 0), (.post, "/v1/session", tokenOfOlga, madeUp, 201, 0),
        ] as [(HTTPRequest.Method, String, JSON?, String?, Int, Int)])
    func `a made-up cookie counts as a failed authentication where it is looked up, and is not looked up at a sign-in`(
        method: HTTPRequest.Method, path: String, body: JSON?, cookie: String?, status: Int, failures: Int
    ) async throws {
        let desk = Desk(publicURL: "https://agent.example")
        var fields: HTTPFields = [.secFetchSite: "same-origin"]
        fields[.cookie] = cookie
        #expect(await desk.ask(method, path, fields, body: body).status.code == status)
        await desk.failures.drain()
        let counted = try await desk.audit.records(after: 0, limit: .max).filter { $0.event.kind == .authFailures }
        #expect(counted.count == failures)
    }

    @Test func `a session that ended while its request was under way is none`() async throws {
        let desk = Desk()
        let request = Request(
            method: .get, path: "/v1/plans", fields: [.host: "localhost:8080", .cookie: try await desk.signIn()],
            peer: Self.loopback)
        let identity = try await desk.authenticator.identity(of: request, byCookie: true)
        let session = try #require(identity.session)
        try await desk.authenticator.sessions?.store.write { $0.removeSignIn(.session, session.key) }
        await #expect(throws: ServiceError.self) { try await desk.authenticator.used(identity, by: request) }
    }

    @Test func `a clock that is set back does not take back the last use of a session`() async throws {
        let desk = Desk()
        let cookie = try await desk.signIn()
        for seconds in [-600, 600 + 29 * 60] as [Double] {
            desk.clock.advance(seconds)
            #expect(await desk.ask(.get, "/v1/plans", [.cookie: cookie]).status == .ok)
        }
    }

    @Test func `callers see and end their own sessions, each with one record`() async throws {
        let desk = Desk()
        let site: HTTPFields = [.secFetchSite: "same-origin"]
        let (first, second, other) = (try await desk.signIn(), try await desk.signIn(), try await desk.signIn("alice"))
        func list(_ cookie: String) async throws -> [JSON] {
            try JSON.parse(await desk.ask(.get, "/v1/sessions", [.cookie: cookie]).body.bytes)["sessions"]?.array ?? []
        }
        let own = try await list(second)
        #expect(own.count == 2 && own.count { $0["current"] == true } == 1)
        let id = try #require(own.first { $0["current"] == false }?["id"]?.string)
        var fields = site
        fields[.cookie] = other
        #expect(Self.code(await desk.ask(.delete, "/v1/sessions/\(id)", fields)) == "not_found")
        fields[.cookie] = second
        #expect(await desk.ask(.delete, "/v1/sessions/\(id)", fields).status == .noContent)
        #expect(await desk.ask(.get, "/v1/plans", [.cookie: first]).status == .unauthorized)
        let out = await desk.ask(.delete, "/v1/session", fields)
        #expect(out.status == .noContent && out.fields[.setCookie]?.contains("Max-Age=0") == true)
        #expect(await desk.ask(.get, "/v1/plans", [.cookie: second]).status == .unauthorized)
        #expect(
            Self.code(await desk.ask(.delete, "/v1/session", [.authorization: "Bearer token-of-olga"])) == "not_found")
        #expect(try await list(other).count == 1)
        #expect(try await desk.kinds() == ["signed_in", "signed_in", "signed_in", "ended", "signed_out"])
    }

    @Test func `a principal has so many sessions, and the one unused for longest goes first`() async throws {
        let desk = Desk()
        var cookies: [String] = []
        for _ in 0..<Sessions.maximumOfPrincipal {
            cookies.append(try await desk.signIn())
            desk.clock.advance(1)
        }
        #expect(await desk.ask(.get, "/v1/plans", [.cookie: cookies[0]]).status == .ok)
        desk.clock.advance(1)
        _ = try await desk.signIn()
        #expect(await desk.ask(.get, "/v1/plans", [.cookie: cookies[0]]).status == .ok)
        #expect(await desk.ask(.get, "/v1/plans", [.cookie: cookies[1]]).status == .unauthorized)
        let again = await desk.ask(
            .post, "/v1/session", [.cookie: cookies[0], .secFetchSite: "same-origin"],
            body: ["token": "token-of-olga"])
        #expect(again.status == .created)
        #expect(await desk.ask(.get, "/v1/plans", [.cookie: cookies[0]]).status == .unauthorized)
    }

    @Test func `without a record there is no session`() async throws {
        let audit = FlakyAuditSink()
        audit.refuse { event, _ in event.kind == .session }
        let rules = BrowserRules(listening: .tcp(host: "127.0.0.1", port: 1), publicURL: nil, hasTLS: false)
        let sessions = Sessions(rules)
        let handler = AgentHandler(
            service: ControlPlane(
                managedEnvironments: [],
                ports: Ports(
                    audit: audit, store: MemoryPlanStore(),
                    log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }), key: .sample),
            authenticator: Authenticator(
                [Credentials(Self.people[0], token: CredentialDigest(of: "t".utf8))], sessions: sessions),
            accessLog: Silence(), failures: AuthFailures(delay: .zero) { _ in })
        let response = await handler.respond(
            to: Request(
                method: .post, path: "/v1/session", fields: [.host: "localhost", .contentType: "application/json"],
                body: Array(#"{"token":"t"}"#.utf8)))
        #expect(Self.code(response) == "audit_unavailable" && response.fields[.setCookie] == nil)
        #expect(try await sessions.list(of: Self.people[0]).isEmpty)
    }

    @Test func `a session that cannot be recorded ends none of those that it would have replaced`() async throws {
        let audit = FlakyAuditSink()
        let rules = BrowserRules(listening: .tcp(host: "127.0.0.1", port: 1), publicURL: nil, hasTLS: false)
        let handler = AgentHandler(
            service: ControlPlane(
                managedEnvironments: [],
                ports: Ports(
                    audit: audit, store: MemoryPlanStore(),
                    log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }), key: .sample),
            authenticator: Authenticator(
                [Credentials(Self.people[0], token: CredentialDigest(of: "t".utf8))], sessions: Sessions(rules)),
            accessLog: Silence(), failures: AuthFailures(delay: .zero) { _ in })
        func ask(_ method: HTTPRequest.Method, _ path: String, _ cookie: String?, _ body: String = "") async -> Response
        {
            var fields: HTTPFields = [
                .host: "localhost", .contentType: "application/json", .secFetchSite: "same-origin",
            ]
            fields[.cookie] = cookie
            return await handler.respond(
                to: Request(method: method, path: path, fields: fields, body: Array(body.utf8), peer: Self.loopback))
        }
        let first = await ask(.post, "/v1/session", nil, #"{"token":"t"}"#)
        let cookie = String(try #require(first.fields[.setCookie]).prefix { $0 != ";" })
        audit.refuse { event, _ in event.kind == .session }
        #expect(Self.code(await ask(.post, "/v1/session", cookie, #"{"token":"t"}"#)) == "audit_unavailable")
        #expect(Self.code(await ask(.delete, "/v1/session", cookie)) == "audit_unavailable")
        #expect(await ask(.get, "/v1/session", cookie).status == .ok)
    }

    // MARK: Codes

    @Test func `a code signs in once, within ten minutes, however it is typed`() async throws {
        let desk = Desk()
        func make() async throws -> String {
            let made = await desk.ask(.post, "/v1/session/code", [.authorization: "Bearer token-of-alice"])
            #expect(made.status == .created)
            return try #require(try JSON.parse(made.body.bytes)["code"]?.string)
        }
        func use(_ code: String) async -> Response {
            await desk.ask(.post, "/v1/session", body: ["code": .string(code)])
        }
        let code = try await make()
        #expect(code.wholeMatch(of: /[0-9a-hjkmnp-tv-z]{4}-[0-9a-hjkmnp-tv-z]{4}/) != nil)
        let typed = code.uppercased().replacing("-", with: " ").replacing("0", with: "O").replacing("1", with: "l")
        let used = await use(typed)
        #expect(used.status == .created)
        #expect(try JSON.parse(used.body.bytes)["principal"] == "alice")
        #expect(await use(code).status == .unauthorized)
        let late = try await make()
        desk.clock.advance(601)
        #expect(await use(late).status == .unauthorized)
        let (old, new) = (try await make(), try await make())
        #expect(await use(old).status == .unauthorized)
        #expect(await use(new).status == .created)
    }

    @Test func `after many wrong codes none is looked at for a while`() async throws {
        let desk = Desk()
        let code = try #require(try await desk.authenticator.makeCode(for: "olga")?.reveal())
        for _ in 0..<SignInCodes.maximumFailures {
            #expect(await desk.ask(.post, "/v1/session", body: ["code": "0000-0000"]).status == .unauthorized)
        }
        let refused = await desk.ask(.post, "/v1/session", body: ["code": .string(code)])
        #expect(Self.code(refused) == "rate_limited" && refused.fields[.retryAfter] == "60")
        desk.clock.advance(61)
        #expect(await desk.ask(.post, "/v1/session", body: ["code": .string(code)]).status == .created)
    }

    @Test func `a session makes no code, and a code of a token that is gone is none`() async throws {
        let desk = Desk()
        let fields: HTTPFields = [.cookie: try await desk.signIn(), .secFetchSite: "same-origin"]
        #expect(Self.code(await desk.ask(.post, "/v1/session/code", fields)) == "forbidden")
        let code = try #require(try await desk.authenticator.makeCode(for: "alice")?.reveal())
        desk.authenticator.replace([Credentials(Self.people[1], token: CredentialDigest(of: "another".utf8))])
        #expect(await desk.ask(.post, "/v1/session", body: ["code": .string(code)]).status == .unauthorized)
    }

    @Test(arguments: [[:], ["token": "a", "code": "b"], ["token": 1], ["token": "a", "x": "secret-text"]] as [JSON])
    func `a sign-in that is not well-formed is refused without what was sent`(body: JSON) async throws {
        let response = await Desk().ask(.post, "/v1/session", body: body)
        #expect(Self.code(response) == "invalid_request")
        #expect(!String(decoding: response.body.bytes, as: UTF8.self).contains("secret-text"))
    }
}
