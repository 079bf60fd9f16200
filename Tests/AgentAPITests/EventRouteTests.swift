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
import Synchronization
import Testing

/// `GET /v1/events`: where it begins, whom it shows what, and how it ends.
@Suite(.timeLimit(.minutes(1)))
struct EventRouteTests {
    /// A service with two environments, and what asks it. Tokens are the ids of principals.
    private final class World: Sendable {
        let audit = MemoryAuditSink()
        let service: ControlPlane
        let authenticator: Authenticator
        let handler: AgentHandler

        static let boss = Principal(id: "boss", roles: [.operator, .approver])

        init(_ principals: [Principal] = []) throws {
            var limits = Limits()
            limits.livePlans = 100_000
            let all = principals + [Self.boss]
            let managed = try ["home", "cloud"].map { name in
                let pve = FakeHypervisor()
                pve.put("vm/101", status: "stopped")
                return ManagedEnvironment(
                    settings: EnvironmentSettings(
                        name: try #require(EnvironmentName(name)), baseURL: "https://\(name).lan:8006",
                        tokenID: "agent@pve!\(name)", trust: "system"), hypervisor: pve)
            }
            service = ControlPlane(
                managedEnvironments: managed,
                ports: Ports(
                    audit: audit, store: MemoryPlanStore(),
                    log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }),
                rules: Rules(directory: Directory(all)), key: .sample, limits: limits)
            authenticator = Authenticator(Self.credentials(all))
            handler = AgentHandler(
                service: service, authenticator: authenticator, accessLog: Silence(),
                failures: AuthFailures(delay: .zero) { _ in })
        }

        static func credentials(_ principals: [Principal]) -> [Credentials] {
            principals.map { Credentials($0, token: CredentialDigest(of: $0.id.utf8)) }
        }

        func ask(
            _ query: String? = nil, as principal: Principal = boss, _ heard: String? = nil
        ) async -> Response {
            var fields: HTTPFields = [.authorization: "Bearer \(principal.id)"]
            if let heard, let name = HTTPField.Name("Last-Event-ID") { fields[name] = heard }
            return await handler.respond(to: Request(method: .get, path: "/v1/events", query: query, fields: fields))
        }

        func listen(
            _ query: String? = nil, as principal: Principal = boss, _ heard: String? = nil
        ) async throws -> Reader {
            let response = await ask(query, as: principal, heard)
            #expect(response.status == .ok, "\(String(decoding: response.body.bytes, as: UTF8.self))")
            return Reader(try #require(response.stream))
        }

        @discardableResult
        func plan(_ environment: String = "home") async throws -> Plan {
            try await service.workflow.plan(
                .request(.startVM, "vm/101", environment: environment),
                Context(caller: Caller(principal: "boss", label: nil), principal: Self.boss, requestID: "r"))
        }
    }

    private struct Silence: AccessLog {
        func answered(_ entry: AccessEntry) {}
    }

    /// An event that has come.
    private struct Event {
        let id: Int?
        let kind: String
        let data: JSON

        /// `nil` for a block without data.
        init?(_ block: [UInt8]) {
            var fields: [String: String] = [:]
            for line in String(decoding: block, as: UTF8.self).split(separator: "\n") {
                let parts = line.split(separator: ": ", maxSplits: 1)
                if parts.count == 2 { fields[String(parts[0])] = String(parts[1]) }
            }
            guard let data = fields["data"].flatMap({ try? JSON.parse(Array($0.utf8)) }) else { return nil }
            (id, kind, self.data) = (fields["id"].flatMap { Int($0) }, fields["event"] ?? "", data)
        }
    }

    /// Reads a stream as the server does.
    private final class Reader: StreamConnection {
        private struct State {
            var isWoken = true
            var all: [UInt8] = []
            /// The block that has not come whole.
            var block: [UInt8] = []
            var events: [Event] = []

            mutating func take(_ bytes: ArraySlice<UInt8>) {
                all += bytes
                for byte in bytes {
                    let isEnd = byte == 0x0A && block.last == 0x0A
                    block.append(byte)
                    guard isEnd else { continue }
                    if let event = Event(block) { events.append(event) }
                    block = []
                }
            }
        }

        let stream: ResponseStream
        private let state = Mutex(State())

        init(_ stream: ResponseStream) {
            self.stream = stream
            stream.begin(on: self)
        }

        func resume() { state.withLock { $0.isWoken = true } }
        func cut() {}

        private func read() {
            var buffer = [UInt8](repeating: 0, count: 4096)
            while state.withLock({ state in
                defer { state.isWoken = false }
                return state.isWoken
            }) {
                let next = buffer.withUnsafeMutableBytes { stream.read(into: $0) {} }
                guard case .bytes(let count) = next else { continue }
                state.withLock { state in
                    state.take(buffer[..<count])
                    state.isWoken = true
                }
            }
        }

        /// What has come so far.
        var text: String {
            read()
            return String(decoding: state.withLock { $0.all }, as: UTF8.self)
        }

        var events: [Event] {
            read()
            return state.withLock { $0.events }
        }

        /// The ids of events, in order.
        var ids: [Int] { events.compactMap(\.id) }

        /// Waits until it has as many events.
        func events(_ count: Int) async -> [String] {
            let deadline = ContinuousClock.now + .seconds(20)
            while events.count < count, ContinuousClock.now < deadline { await Task.yield() }
            return events.map(\.kind)
        }

        /// Waits for the end of the stream.
        func ended() async -> Bool {
            let deadline = ContinuousClock.now + .seconds(20)
            while !stream.isOver, ContinuousClock.now < deadline { await Task.yield() }
            return stream.isOver
        }
    }

    // MARK: Where it begins

    @Test func `begins with what happens from now on`() async throws {
        let world = try World()
        try await world.plan()
        let response = await world.ask()
        #expect(response.fields[.contentType] == "text/event-stream")
        #expect(response.fields[.cacheControl] == "no-store")
        let reader = Reader(try #require(response.stream))
        #expect(reader.text == "retry: 2000\nid: 1\n\n")
        let plan = try await world.plan()
        #expect(await reader.events(1) == ["plan.created"])
        let event = try #require(reader.events.first)
        #expect(event.id == 2)
        #expect(event.data["plan_id"]?.string == plan.id.description)
        #expect(event.data["kind"] == "plan.created" && event.data["environment"] == "home")
    }

    @Test(arguments: [(0, 3), (1, 2), (3, 0)])
    func `resumes behind an event`(after: Int, count: Int) async throws {
        let world = try World()
        for _ in 0..<3 { try await world.plan() }
        let readers = [
            try await world.listen("after=\(after)"), try await world.listen(nil, "\(after)"),
            // The header is newer than the address, which a browser sends unchanged.
            try await world.listen("after=0", "\(after)"),
        ]
        try await world.plan()
        let expected = Array(after + 1...4)
        #expect(expected.count == count + 1)
        for reader in readers {
            _ = await reader.events(expected.count)
            #expect(reader.ids == expected)
        }
    }

    @Test(
        arguments: [
            ("after=x", nil, "query parameter after"), ("after=", nil, "query parameter after"),
            ("after=-1", nil, "query parameter after"), ("after=%2B1", nil, "query parameter after"),
            ("after=01", nil, "query parameter after"), ("after=1.0", nil, "query parameter after"),
            ("after=99999999999999999999999", nil, "query parameter after"), ("after=2", nil, "newest record is 1"),
            ("after=1&after=1", nil, "after"), (nil, "", "header Last-Event-ID"), (nil, "x", "header Last-Event-ID"),
            (nil, "0x1", "header Last-Event-ID"), (nil, "1, 1", "header Last-Event-ID"),
            (nil, "١", "header Last-Event-ID"),
            (nil, String(repeating: "9", count: 4000), "header Last-Event-ID"), (nil, "2", "newest record is 1"),
            ("after=x", "1", "query parameter after"), ("after=1", "x", "header Last-Event-ID"),
            ("kind=plans", nil, "query parameter kind"), ("kind=", nil, "query parameter kind"),
            ("kind=plan,", nil, "query parameter kind"), ("plan=x", nil, "query parameter plan"),
            ("id=1", nil, "after"),
        ] as [(String?, String?, String)])
    func `tells of junk where it is and what would do`(query: String?, heard: String?, word: String) async throws {
        let world = try World()
        try await world.plan()
        let response = await world.ask(query, heard)
        let problem = try JSON.parse(response.body.bytes)
        #expect(response.status == .badRequest && response.stream == nil)
        #expect(problem["code"] == "invalid_request")
        let detail = try #require(problem["detail"]?.string)
        #expect(detail.contains(word) && detail.utf8.count < 1200, "\(detail)")
    }

    @Test func `an unknown plan or environment is reported as everywhere`() async throws {
        let world = try World([Principal(id: "far", roles: [.viewer], environments: [try #require(.init("cloud"))])])
        let plan = try await world.plan()
        let far = Principal(id: "far", roles: [])
        #expect(await world.ask("environment=nowhere").status == .badRequest)
        #expect(await world.ask("environment=home", as: far).status == .badRequest)
        #expect(await world.ask("plan=\(plan.id)", as: far).status == .notFound)
        #expect(await world.ask("plan=\(RecordID.sample(9))").status == .notFound)
        #expect(await world.ask("plan=\(plan.id)").status == .ok)
    }

    // MARK: Who sees what

    @Test(
        arguments: [
            ([Role.viewer], nil, 200, ["home", "cloud"]), ([.viewer], "home", 200, ["home"]),
            ([.operator], "cloud", 200, ["cloud"]), ([.approver], "home", 200, ["home"]), ([.auditor], nil, 403, []),
            ([.auditor, .viewer], "home", 200, ["home"]), ([], nil, 403, []), ([.viewer], "elsewhere", 200, []),
        ] as [([Role], String?, Int, [String])])
    func `roles and environments limit events as they limit lists`(
        roles: [Role], environment: String?, status: Int, expected: [String]
    ) async throws {
        let name = try environment.map { try #require(EnvironmentName($0)) }
        let caller = Principal(id: "caller", roles: Set(roles), environments: name.map { [$0] })
        let world = try World([caller])
        let old = await world.ask("after=0", as: caller)
        #expect(old.status.code == status)
        guard status == 200 else { return }
        let live = try await world.listen(as: caller)
        for place in ["home", "cloud"] { try await world.plan(place) }
        // What concerns everybody comes last, so that nothing is missed before it.
        _ = try await world.service.freezes.freeze(
            FreezeRequest(reason: "end"),
            Context(caller: Caller(principal: "boss", label: nil), principal: World.boss, requestID: "r"))
        for reader in [live, Reader(try #require(old.stream)), try await world.listen("after=0", as: caller)] {
            let kinds = await reader.events(expected.count + 1)
            #expect(kinds == expected.map { _ in "plan.created" } + ["freeze.set"])
            #expect(reader.events.compactMap { $0.data["environment"]?.string } == expected)
        }
    }

    @Test(arguments: [
        ("kind=plan", [1, 2]), ("kind=freeze,plan.rejected", [3]), ("environment=cloud", [2, 3]),
        ("environment=home&kind=plan.created", [1]), ("kind=operation,environment,policy", []),
    ])
    func `filters by environment and kind`(query: String, ids: [Int]) async throws {
        let world = try World()
        let live = try await world.listen(query)
        for place in ["home", "cloud"] { try await world.plan(place) }
        _ = try await world.service.freezes.freeze(
            FreezeRequest(reason: "end"),
            Context(caller: Caller(principal: "boss", label: nil), principal: World.boss, requestID: "r"))
        let whole = try await world.listen("after=0")
        _ = await whole.events(3)
        let old = try await world.listen("after=0&\(query)")
        for reader in [live, old] {
            _ = await reader.events(ids.count)
            #expect(reader.ids == ids)
        }
    }

    // MARK: How it goes on

    @Test func `a sign of life tells from where to resume`() async throws {
        let world = try World()
        let reader = try await world.listen("kind=freeze")
        let whole = try await world.listen()
        try await world.plan()
        _ = await whole.events(1)
        await world.handler.events.beat()
        #expect(reader.text == "retry: 2000\nid: 0\n\n: 1\nid: 1\n\n")
        #expect(whole.text.hasSuffix("\n\n: 1\nid: 1\n\n"))
    }

    @Test func `events without a record have no id`() async throws {
        let world = try World()
        let reader = try await world.listen("kind=environment")
        let name = try #require(EnvironmentName("home"))
        world.service.events.tell(
            AgentEvent(name, Probe(at: Date(), version: nil, isSimulator: false, error: "no route to host")))
        #expect(await reader.events(1) == ["environment.down"])
        #expect(reader.ids.isEmpty && reader.events[0].data["error"] == "no route to host")
    }

    @Test func `streams end when the rules change, and a stranger's does not begin`() async throws {
        let caller = Principal(id: "caller", roles: [.viewer])
        let world = try World([caller])
        let reader = try await world.listen(as: caller)
        let resumed = try await world.listen("after=0", as: caller)
        world.service.access.replace(Rules(directory: Directory([World.boss])))
        world.authenticator.replace(World.credentials([World.boss]))
        await world.handler.events.endAll()
        #expect(await reader.ended())
        #expect(await resumed.ended())
        #expect(await world.ask(as: caller).status == .unauthorized)
        try await world.plan()
        #expect(reader.events.isEmpty)
    }

    @Test func `who does not read is dropped, and resumes without loss`() async throws {
        let world = try World()
        let slow = try await world.listen()
        let good = try await world.listen()
        let enough = 600
        for count in 1...enough {
            try await world.plan()
            _ = await good.events(count)
        }
        #expect(slow.stream.isOver)
        #expect(good.ids == Array(1...enough))
        let again = try await world.listen("after=0")
        _ = await again.events(enough)
        #expect(again.ids == Array(1...enough))
    }

    @Test func `whoever resumes in the middle of much gets each event once and in order`() async throws {
        let world = try World()
        let total = 300
        await withTaskGroup { group in
            for writer in 0..<4 {
                group.addTask {
                    for _ in 0..<total / 4 { _ = try? await world.plan(writer.isMultiple(of: 2) ? "home" : "cloud") }
                }
            }
            for _ in 0..<20 {
                group.addTask {
                    do {
                        // Where the log is now, a bit behind it, or at its beginning.
                        let head = Int(try await world.service.events.newest())
                        let start = max(0, head - ([0, 10, 1000].randomElement() ?? 0))
                        let reader = try await world.listen("after=\(start)")
                        _ = await reader.events(total - start)
                        #expect(reader.ids == Array(start + 1...total))
                    } catch {
                        Issue.record(error)
                    }
                }
                await Task.yield()
            }
        }
    }
}
