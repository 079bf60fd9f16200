import AgentAPI
import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import HTTPMessage
import HTTPTypes
import Logging
import StrictJSON
import Synchronization
import Testing

/// Who may read the figures, and in which lane.
struct ScrapeAccessTests {
    private static let people = [
        Principal(id: "vera", roles: [.viewer]), Principal(id: "olga", roles: [.operator]),
        Principal(id: "audra", roles: [.auditor]),
        Principal(id: "lola", roles: [.operator, .approver], environments: [.sample]),
    ]

    /// Shows a page of its own, and what it was asked for; notes what was counted.
    private final class Recorder: Meter {
        struct Notes {
            var answers: [String] = []
            var refused: [RefusalReason] = []
            var guesses: [Bool] = []
            var inFlight = 0
        }

        let notes = Mutex(Notes())

        func began() { notes.withLock { $0.inFlight += 1 } }
        func answered() { notes.withLock { $0.inFlight -= 1 } }
        func count(_ answer: CountedAnswer) {
            let route = answer.route.map { Route.all[$0].path } ?? "none"
            notes.withLock { $0.answers.append("\(route) \(answer.method.rawValue) \(answer.status)") }
        }
        func refused(_ reason: RefusalReason) { notes.withLock { $0.refused.append(reason) } }
        func unauthenticated(isGuess: Bool) { notes.withLock { $0.guesses.append(isGuess) } }
        func page(accepting: String?) async -> (contentType: String, body: [UInt8]) {
            ("text/plain; of=\(accepting ?? "-")", Array("figures".utf8))
        }
    }

    private struct Silence: AccessLog {
        func answered(_ entry: AccessEntry) {}
    }

    private static func handler(
        token: String?, people: [Principal] = people, _ meter: any Meter = Recorder(),
        _ rates: RateLimits = RateLimits()
    ) -> AgentHandler {
        let ports = Ports(
            audit: MemoryAuditSink(), store: MemoryPlanStore(),
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let service = ControlPlane(
            managedEnvironments: [], ports: ports, rules: Rules(directory: Directory(people)), key: .sample)
        return AgentHandler(
            service: service,
            authenticator: Authenticator(
                people.map { Credentials($0, token: CredentialDigest(of: "token-of-\($0.id)".utf8)) },
                scrapeToken: token.map { CredentialDigest(of: $0.utf8) }),
            accessLog: Silence(), failures: AuthFailures(delay: .zero) { _ in }, throttle: Throttle(rates),
            meter: meter)
    }

    private static func request(
        from peer: String, host: String = "127.0.0.1:8080", _ authorization: String? = nil, _ more: HTTPFields = [:]
    ) throws -> Request {
        var fields: HTTPFields = [try #require(HTTPField.Name("Host")): host]
        if let authorization { fields[.authorization] = "Bearer \(authorization)" }
        for field in more { fields.append(field) }
        return Request(method: .get, path: "/metrics", fields: fields, peer: peer)
    }

    @Test(
        arguments: [
            (nil, "127.0.0.1:4711", nil, 200), (nil, "[::1]:4711", nil, 200), (nil, "127.8.9.1:4711", nil, 200),
            (nil, "[::ffff:127.0.0.1]:4711", nil, 200), (nil, "192.0.2.7:4711", nil, 401), (nil, "unix", nil, 401),
            (nil, "[2001:db8::1]:4711", nil, 401), (nil, "127.0.0.1:4711", "guess", 401),
            ("scrape", "127.0.0.1:4711", nil, 401), ("scrape", "192.0.2.7:4711", nil, 401),
            ("scrape", "127.0.0.1:4711", "scrape", 200), ("scrape", "192.0.2.7:4711", "scrape", 200),
            ("scrape", "unix", "scrape", 200), ("scrape", "192.0.2.7:4711", "scrap", 401),
            ("scrape", "192.0.2.7:4711", "", 401), (nil, "192.0.2.7:4711", "scrape", 401),
        ] as [(String?, String, String?, Int)])
    func `only the scrape token, or loopback where there is none, gets in`(
        token: String?, peer: String, sent: String?, status: Int
    ) async throws {
        for people in [Self.people, []] {
            let handler = Self.handler(token: token, people: people)
            let request = try Self.request(from: peer, sent)
            let answer = await handler.respond(to: request)
            #expect(answer.status.code == status, "\(people.count)")
            let isIn = String(decoding: answer.body.bytes, as: UTF8.self) == "figures"
            #expect(isIn == (status == 200))
            #expect(handler.admission(of: request).lane == (isIn ? .health : .ordinary))
            if !isIn { #expect(answer.fields[.wwwAuthenticate] == "Bearer") }
        }
    }

    @Test(arguments: [("vera", 200), ("olga", 200), ("audra", 403), ("lola", 403)], [nil, "scrape"])
    func `a principal that may view everything gets in`(person: (id: String, status: Int), token: String?) async throws
    {
        let handler = Self.handler(token: token)
        for peer in ["192.0.2.7:4711", "127.0.0.1:4711"] {
            let request = try Self.request(from: peer, "token-of-\(person.id)")
            #expect(await handler.respond(to: request).status.code == person.status)
            #expect(handler.admission(of: request).lane == (person.status == 200 ? .health : .ordinary))
        }
    }

    @Test(arguments: ["agent.example.org", "agent.example.org:8080", "127.0.0.1.example.org", "", "192.0.2.7"])
    func `a page that resolves its name to loopback does not get in`(host: String) async throws {
        let request = try Self.request(from: "127.0.0.1:4711", host: host)
        #expect(await Self.handler(token: nil).respond(to: request).status.code == 401)
    }

    @Test(arguments: ["localhost", "LOCALHOST:1", "[::1]:8080", "127.0.0.1"])
    func `a loopback name gets in`(host: String) async throws {
        let request = try Self.request(from: "127.0.0.1:4711", host: host)
        #expect(await Self.handler(token: nil).respond(to: request).status.code == 200)
    }

    @Test(arguments: ["Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"])
    func `what a proxy passes on is not from this machine`(name: String) async throws {
        let more: HTTPFields = [try #require(HTTPField.Name(name)): "192.0.2.7"]
        let request = try Self.request(from: "127.0.0.1:4711", nil, more)
        #expect(await Self.handler(token: nil).respond(to: request).status.code == 401)
    }

    @Test func `the scrape token opens nothing else`() async throws {
        let handler = Self.handler(token: "scrape")
        for route in Route.all where route.path.hasPrefix("/v1/") {
            let request = Request(
                method: route.method, path: route.path.replacing("{id}", with: "x"),
                fields: [.authorization: "Bearer scrape"], peer: "127.0.0.1:1")
            #expect(await handler.respond(to: request).status.code == 401, "\(route.path)")
        }
    }

    @Test func `a page is asked for with what is accepted, and its answer has its type`() async throws {
        let handler = Self.handler(token: nil)
        let answer = await handler.respond(
            to: try Self.request(from: "127.0.0.1:4711", nil, [.accept: "application/openmetrics-text"]))
        #expect(answer.fields[.contentType] == "text/plain; of=application/openmetrics-text")
        #expect(answer.fields[.cacheControl] == "no-store")
    }

    @Test func `each answer is counted once, with its route, its method and its status`() async throws {
        let meter = Recorder()
        var rates = RateLimits()
        rates.requests = 2
        let handler = Self.handler(token: nil, meter, rates)
        func ask(_ method: HTTPRequest.Method, _ path: String, _ token: String? = "token-of-olga") async {
            let fields: HTTPFields = token.map { [.authorization: "Bearer \($0)"] } ?? [:]
            _ = await handler.respond(to: Request(method: method, path: path, fields: fields, peer: "192.0.2.7:1"))
        }
        await ask(.head, "/healthz", nil)
        await ask(.get, "/v1/plans/pln_00000000000000000000")
        await ask(.get, "/v1/plans/pln_00000000000000000001")
        await ask(.get, "/v1/plans")
        await ask(.get, "/v1/plans", nil)
        await ask(.put, "/v1/plans", "wrong")
        await ask(.get, "/v1/plans", "wrong")
        _ = handler.refuse(Request(method: .post, path: "/v1/actions/plan", peer: "unix"), because: .overloaded)
        meter.notes.withLock { notes in
            #expect(
                notes.answers == [
                    "/healthz HEAD 200", "/v1/plans/{id} GET 404", "/v1/plans/{id} GET 404", "/v1/plans GET 429",
                    "/v1/plans GET 401", "none PUT 405", "/v1/plans GET 429", "/v1/actions/plan POST 503",
                ])
            #expect(notes.refused == [.requests, .requests, .overloaded])
            #expect(notes.guesses == [false])
            #expect(notes.inFlight == 0)
        }
    }
}
