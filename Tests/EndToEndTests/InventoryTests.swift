import HTTPMessage
import HTTPTypes
import MicroHTTPD
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Synchronization
import Testing
import WireTestSupport

/// The guests of several environments at once, some of which are not well.
@Suite(.timeLimit(.minutes(1)))
struct InventoryTests {
    private static func part(_ reply: Reply, _ name: String) throws -> JSON {
        try #require(reply["result"]?["environments"]?.array?.first { $0["name"]?.string == name }, "\(reply)")
    }

    @Test(arguments: [("all", 48), ("running", 43)])
    func `all environments answer together, each row with its own`(state: String, count: Int) async throws {
        try await withAgent(Setup(.simulated("home"), .simulated("cloud"))) { agent in
            let reply = try await agent.get("/v1/inventory?state=\(state)")
            #expect(reply.status == 200)
            #expect(reply["result"]?["status"] == "ok")
            let rows = try #require(reply["result"]?["data"]?.array)
            #expect(rows.count == count)
            for name in ["home", "cloud"] {
                let part = try Self.part(reply, name)
                #expect(part["status"] == "ok")
                #expect(part["error"] == nil)
                #expect(part["fetched_at"] != nil)
                #expect(part["count"] == JSON(rows.count { $0["environment"]?.string == name }))
            }
            let record = try #require(try agent.records().first)
            #expect(record["result"] == ["status": "ok", "count": JSON(count)])
        }
    }

    @Test func `one that fails is named, the others' guests are there, nobody waits beyond its timeout`() async throws {
        let page = "<html><body>It works</body></html>"
        let html = try RawServer(.request, .answer("200 OK", fields: ["Content-Type: text/html"], page), .again)
        let cut = try RawServer(
            .request, .send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"data\":[{\"vmid\":100"), .close)
        let mute = try RawServer(.request, .hang)
        let refused = try RawServer(.request, .answer("500 no such luck"), .again)
        // Nobody listens there, and no server that asks for any free port is given it.
        let dead: UInt16 = 1
        defer { for server in [html, cut, mute, refused] { server.stop() } }
        let quick: JSONObject = ["timeout_ms": 600]
        let setup = Setup(
            .simulated("home"), .elsewhere("dead", at: dead),
            .elsewhere("mute", at: mute.port, settings: quick), .elsewhere("html", at: html.port, settings: quick),
            .elsewhere("cut", at: cut.port, settings: quick), .elsewhere("refused", at: refused.port, settings: quick),
            .simulated("cloud"))
        try await withAgent(setup) { agent in
            let start = ContinuousClock.now
            let reply = try await agent.get("/v1/inventory")
            #expect(ContinuousClock.now - start < .seconds(10))
            #expect(reply.status == 200, "\(reply)")
            #expect(reply["result"]?["status"] == "partial")
            #expect(reply["result"]?["data"]?.array?.count == 48)
            let names = reply["result"]?["environments"]?.array?.compactMap { $0["name"]?.string }
            #expect(names == ["home", "dead", "mute", "html", "cut", "refused", "cloud"])
            let codes = [
                "dead": "upstream_unreachable", "mute": "upstream_timeout", "html": "upstream_invalid",
                "cut": "upstream_invalid", "refused": "upstream_refused",
            ]
            for (name, code) in codes {
                let part = try Self.part(reply, name)
                #expect(part["status"] == "failed")
                #expect(part["count"] == 0)
                #expect(part["error"]?["code"]?.string == code, "\(part.text)")
                #expect(part["error"]?["detail"]?.string?.hasPrefix("\(name): ") == true)
            }
            let record = try #require(try agent.records().first)
            #expect(record["result"]?["status"] == "partial")
            #expect(record["result"]?["failed_environments"] == ["dead", "mute", "html", "cut", "refused"])
        }
    }

    @Test func `the slow one's own timeout bounds the wait, and the other's does not`() async throws {
        let setup = Setup(
            .simulated("home", settings: ["timeout_ms": 20_000]), .simulated("cloud", settings: ["timeout_ms": 300]))
        try await withAgent(setup) { agent in
            try agent.pve("cloud").inject(Fault(.hang))
            let start = ContinuousClock.now
            let reply = try await agent.get("/v1/inventory")
            #expect((.milliseconds(300)..<(.seconds(10))).contains(ContinuousClock.now - start))
            #expect(reply["result"]?["status"] == "partial")
            #expect(try Self.part(reply, "cloud")["error"]?["code"] == "upstream_timeout")
            #expect(try Self.part(reply, "home")["count"] == 8)
        }
    }

    @Test(arguments: ["say \"hi\"", "back\\slash", "</script>", "a\u{202E}b", "{\"vmid\":1}", "línea\u{0301}"])
    func `a guest's name is data, whatever it is`(name: String) async throws {
        try await withAgent { agent in
            try agent.pve().addGuest(700, on: "pve1", config: ["name": name, "memory": "512"])
            let reply = try await agent.get("/v1/inventory?environment=cloud")
            let rows = try #require(reply["result"]?["data"]?.array)
            #expect(rows.first { $0["vmid"] == 700 }?["name"] == .string(name))
            #expect(rows.count == 41)
            let planned = try await agent.plan(PlanRequest("start_vm", "vm/700"))
            #expect(planned["preview"]?["observed"]?["name"] == .string(name))
        }
    }

    @Test func `where all fail the answer says so`() async throws {
        let setup = Setup(.simulated("home"), .simulated("cloud"))
        try await withAgent(setup) { agent in
            for name in ["home", "cloud"] { try await agent.datacenter.unplug(name) }
            let reply = try await agent.get("/v1/inventory")
            #expect(reply.status == 502)
            #expect(reply["result"]?["status"] == "failed")
            #expect(reply["result"]?["data"] == [])
            #expect(try Self.part(reply, "home")["error"]?["code"] == "upstream_unreachable")
            expectProblem(try await agent.get("/v1/inventory?environment=home"), 502, "upstream_unreachable")
            for name in ["home", "cloud"] { try agent.datacenter.plug(name) }
            #expect(try await agent.get("/v1/inventory")["result"]?["status"] == "ok")
        }
    }

    @Test func `a probe tells who is there and who is not`() async throws {
        try await withAgent(Setup(.simulated("home"), .simulated("cloud"))) { agent in
            let before = try await agent.get("/v1/environments")["environments"]?.array
            #expect(before?.map { $0["reachable"] } == [.null, .null])
            try await agent.datacenter.unplug("cloud")
            await agent.probe()
            let after = try await agent.get("/v1/environments")["environments"]?.array
            #expect(after?.map { $0["reachable"] } == [true, false])
            #expect(after?.last?["error"]?.string?.hasPrefix("cloud: PVE was not reached") == true)
            #expect(try await agent.get("/readyz").status == 200, "a PVE that is away does not make the agent unready")
            #expect(agent.log.lines.contains { $0.hasPrefix("warning environment does not answer") })
        }
    }

    @Test(arguments: [true, false])
    func `identical reads at the same time share one fetch, if they may`(share: Bool) async throws {
        // Before the agent knows how large the list is it reads no more than two of them at once.
        let count = share ? 8 : 2
        let pve = GatedPVE(opensAt: share ? nil : count)
        let server = try HTTPServer(listening: .tcp(host: "127.0.0.1", port: 0), options: .init(), handler: pve)
        // One serving thread: what it was sent first it has read first.
        let settings: JSONObject = ["limits": ["share_reads": .bool(share), "threads": 1]]
        let environment = Setup.Environment(name: "slow", baseURL: "http://\(server.address)")
        try await withAgent(Setup(environment, settings: settings)) { agent in
            let head = "Host: x\r\nAuthorization: Bearer \(Setup.token)\r\n\r\n"
            var clients: [RawClient] = []
            for _ in 0..<count {
                let client = try RawClient(agent.address)
                try await client.send("GET /v1/inventory?environment=slow HTTP/1.1\r\n\(head)")
                clients.append(client)
            }
            for _ in 0..<3 {
                let other = try RawClient(agent.address)
                #expect(try await other.exchange("GET /healthz HTTP/1.1\r\n\(head)").status == 200)
            }
            if share { pve.open() }
            for client in clients {
                let answer = try await client.response()
                #expect(answer.status == 200)
                #expect(try JSON.parse(answer.body)["result"]?["data"]?.array?.count == 1)
            }
            #expect(pve.requests == (share ? 1 : count))
            #expect(try agent.records().count == count, "each read has a record of its own")
            // Nothing is kept: the next read asks again.
            #expect(try await agent.get("/v1/inventory?environment=slow").status == 200)
            #expect(pve.requests == (share ? 2 : count + 1))
        }
        await server.shutdown(within: .milliseconds(100))
    }
}

/// A PVE with one guest that answers nobody before its gate is open.
private final class GatedPVE: HTTPHandler {
    private let gate = Latch()
    private let count = Mutex(0)
    private let limit: Int?

    /// The gate opens by itself when so many requests are there.
    init(opensAt limit: Int?) { self.limit = limit }

    var requests: Int { count.withLock { $0 } }

    func open() { gate.open() }

    func respond(to request: Request) async -> Response {
        let number = count.withLock { count in
            count += 1
            return count
        }
        if number == limit { gate.open() }
        await gate.wait()
        let rows = #"{"data":[{"id":"qemu/100","type":"qemu","vmid":100,"status":"running","node":"pve1"}]}"#
        return Response(status: .ok, fields: [.contentType: "application/json"], body: .init(Array(rows.utf8)))
    }

    func refuse(_ request: Request, because refusal: Refusal) -> Response { Response(status: .serviceUnavailable) }
}
