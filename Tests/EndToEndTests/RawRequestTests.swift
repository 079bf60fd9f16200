import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing
import WireTestSupport

/// Requests that no well-behaved client sends, byte by byte.
@Suite(.timeLimit(.minutes(1)))
struct RawRequestTests {
    private static let head = "Host: x\r\nAuthorization: Bearer \(Setup.token)\r\nX-Actor-ID: pi-agent\r\n"

    /// Sends one request on a connection of its own and gives the answer; the agent must live on.
    private static func ask(_ agent: RunningAgent, _ request: String) async throws -> WireMessage {
        let answer = try await RawClient(agent.address).exchange(request)
        #expect(try await agent.get("/healthz").status == 200)
        #expect(agent.executed.isEmpty)
        return answer
    }

    @Test(arguments: [
        "/v1/../healthz", "/v1/plans/..", "/v1/plans/..%2f..%2fhealthz", "/v1/plans/%2e%2e", "/v1/plans/%00",
        "/v1/plans/pln_%0d%0aSet-Cookie:%20x=y", "/v1/plans/%", "/v1/plans/%zz", "/v1/plans/%ff", "/v1/plans/a;b",
        "//healthz", "/healthz/", "/healthz;x", "/healthz%00", "/%68ealthz", "/HEALTHZ", "/v1/plans//", "/v1", "/",
        "/v1/plans/\(String(repeating: "a", count: 4000))", "/v1/operations/..%5c..", "/v1/operations/x%2flog",
        "/api2/json/version", "/v1/actions/plan/",
    ])
    func `a path that is none is not found`(path: String) async throws {
        try await withAgent { agent in
            let answer = try await Self.ask(agent, "GET \(path) HTTP/1.1\r\n\(Self.head)\r\n")
            #expect(answer.status == 404)
            let problem = try JSON.parse(answer.body)
            #expect(["not_found", "plan_not_found", "operation_not_found"].contains(problem["code"]?.string))
            #expect(answer.value(of: "Set-Cookie") == nil)
            #expect(answer.value(of: "Content-Type") == "application/problem+json")
        }
    }

    @Test func `a chunk whose size and extensions do not end is a problem, and ends the connection`() async throws {
        try await withAgent { agent in
            let client = try RawClient(agent.address)
            try? await client.send(
                "POST /v1/actions/plan HTTP/1.1\r\n\(Self.head)Content-Type: application/json\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n2;\(String(repeating: "a", count: 100_000))\r\n{}\r\n0\r\n\r\n"
            )
            let answer = try await client.response()
            #expect(answer.status == 400 && answer.value(of: "Content-Type") == "application/problem+json")
            #expect(try JSON.parse(answer.body)["code"] == "invalid_request")
            #expect(try await client.end() == .closed([]))
            #expect(try await agent.get("/healthz").status == 200)
        }
    }

    @Test(arguments: [
        "Authorization: Bearer \(Setup.token)\r\n", "Host: y\r\n", "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "Content-Length: -1\r\n", "Content-Length: 2x\r\n",
    ])
    func `a header that is given twice or contradicts another closes the connection`(lines: String) async throws {
        try await withAgent { agent in
            let body = "{}"
            let client = try RawClient(agent.address)
            let answer = try await client.exchange(
                "POST /v1/actions/plan HTTP/1.1\r\n\(Self.head)Content-Type: application/json\r\n\(lines)\r\n\(body)")
            #expect(answer.status == 400)
            _ = try await client.end()
            #expect(try agent.records().isEmpty)
            #expect(try await agent.get("/healthz").status == 200)
        }
    }

    @Test(arguments: [
        "X-Actor-ID: a\r\n b: c\r\n", "X-Request-ID: a\u{0}b\r\n", "X-Request-ID: a\rX-Evil: 1\r\n",
        "X-Request-ID: a\nX-Evil: 1\r\n", "X Y: 1\r\n", ": x\r\n",
    ])
    func `nothing that a header holds becomes a header of the answer`(lines: String) async throws {
        try await withAgent { agent in
            let client = try RawClient(agent.address)
            try await client.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\(lines)Connection: close\r\n\r\n")
            let end = try await client.end()
            switch end {
            case .closed(let bytes), .reset(let bytes):
                let text = String(decoding: bytes, as: UTF8.self)
                #expect(!text.contains("\nX-Evil:"), "\(text)")
            }
            #expect(try await agent.get("/healthz").status == 200)
        }
    }

    @Test(arguments: [
        "", "GARBAGE\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}",
        "GET /\u{0} HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n" + String(repeating: "X: y\r\n", count: 5000) + "\r\n",
        "GET /\(String(repeating: "a", count: 100_000)) HTTP/1.1\r\n\r\n",
    ])
    func `what is no HTTP ends the connection, not the agent`(text: String) async throws {
        // libmicrohttpd may miss an end that comes with the last bytes of half a head; then silence ends it.
        let setup = Setup(.simulated("cloud"), settings: ["limits": ["idle_timeout_ms": 1000]])
        try await withAgent(setup) { agent in
            let client = try RawClient(agent.address)
            // The agent may hang up before it has been sent everything.
            try? await client.send(text)
            client.finishWriting()
            _ = try await client.end(within: .seconds(15))
            #expect(try await agent.get("/healthz").status == 200)
        }
    }

    @Test func `a body that is too large is refused, before it is sent where its length is known`() async throws {
        try await withAgent { agent in
            for length in [(1 << 20) + 1, 1 << 40] {
                let answer = try await Self.ask(
                    agent,
                    "POST /v1/actions/plan HTTP/1.1\r\n\(Self.head)Content-Type: application/json\r\n"
                        + "Content-Length: \(length)\r\n\r\n")
                #expect(answer.status == 413)
                #expect(try JSON.parse(answer.body)["code"] == "body_too_large")
            }
            let chunk = "10000\r\n" + String(repeating: "x", count: 0x10000) + "\r\n"
            let client = try RawClient(agent.address)
            try await client.send(
                "POST /v1/actions/plan HTTP/1.1\r\n\(Self.head)Content-Type: application/json\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<17 { try await client.send(chunk) }
            try await client.send("0\r\n\r\n")
            #expect(try await client.response().status == 413)
        }
    }

    @Test func `the limit of a body is the configured one, to the byte`() async throws {
        let setup = Setup(.simulated("cloud"), settings: ["limits": ["max_body_bytes": 1024]])
        try await withAgent(setup) { agent in
            let empty = PlanRequest.start.with("reason", "").json.bytes.count
            for (size, status) in [(1024, 200), (1025, 413)] {
                let reason = String(repeating: "x", count: size - empty)
                let reply = try await agent.plan(PlanRequest.start.with("reason", .string(reason)))
                #expect(reply.status == status)
            }
        }
    }

    @Test func `a crowd of idle connections keeps nobody out`() async throws {
        let setup = Setup(.simulated("cloud"), settings: ["limits": ["max_connections": 32]])
        try await withAgent(setup) { agent in
            var crowd: [RawClient] = []
            for number in 0..<200 {
                let client = try RawClient(agent.address)
                if number.isMultiple(of: 2) { try? await client.send("GET /healthz HTTP/1.1\r\nHost: x\r\n") }
                crowd.append(client)
            }
            // The crowd is of the same address: idle ones make room once they have been idle for a moment.
            let deadline = ContinuousClock.now + .seconds(10)
            while (try? await Self.ask(agent, "GET /healthz HTTP/1.1\r\n\(Self.head)\r\n")) == nil {
                try #require(ContinuousClock.now < deadline, "nobody gets in")
            }
            for _ in 0..<3 {
                let answer = try await Self.ask(agent, "GET /v1/plans HTTP/1.1\r\n\(Self.head)\r\n")
                #expect(answer.status == 200)
            }
            #expect(crowd.count == 200)
        }
    }

    @Test func `requests in one packet are answered in order`() async throws {
        try await withAgent { agent in
            let client = try RawClient(agent.address)
            let plan = PlanRequest.start.json.text
            try await client.send(
                "GET /healthz HTTP/1.1\r\n\(Self.head)\r\n"
                    + "POST /v1/actions/plan HTTP/1.1\r\n\(Self.head)Content-Type: application/json\r\n"
                    + "Content-Length: \(plan.utf8.count)\r\n\r\n\(plan)" + "GET /nowhere HTTP/1.1\r\n\(Self.head)\r\n")
            var statuses: [Int] = []
            for _ in 0..<3 { statuses.append(try await client.response().status) }
            #expect(statuses == [200, 200, 404])
        }
    }

    @Test func `a caller who leaves does not stop what was begun`() async throws {
        try await withAgent { agent in
            try agent.pve().holdTasks()
            let id = try await agent.planID(.start)
            let body = #"{"plan_id":"\#(id)"}"#
            let client = try RawClient(agent.address)
            try await client.send(
                "POST /v1/actions/apply HTTP/1.1\r\n\(Self.head)Content-Type: application/json\r\nPrefer: wait=30\r\n"
                    + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
            let operation = try await agent.operation(of: id)
            client.leave()
            try agent.pve().releaseTasks()
            let ended = try await agent.get("/v1/operations/\(operation)?wait=20")
            #expect(ended["state"] == "succeeded", "\(ended)")
            #expect(agent.executed.count == 1)
        }
    }
}
