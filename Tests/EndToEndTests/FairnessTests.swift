import AgentModel
import HTTPMessage
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing
import WireTestSupport

/// One caller does not keep others from their work, and nobody keeps a freeze from being set.
@Suite(.timeLimit(.minutes(2)))
struct FairnessTests {
    private static func setup(_ limits: JSONObject) -> Setup {
        TestPrincipals.setup(settings: ["limits": .object(limits)])
    }

    private func freeze(_ agent: RunningAgent) async throws -> Int {
        try await agent.send(.post, "/v1/freeze", ["reason": "stop", "ttl": 1], by: .alice).status
    }

    /// An operation that does not end, and a poll for its end.
    private func poll(_ agent: RunningAgent) async throws -> String {
        try agent.pve().holdTasks()
        let plan = try await agent.plan(.start, by: .agent)
        let reply = try await agent.send(
            .post, "/v1/actions/apply", ["plan_id": plan["plan_id"] ?? .null], by: .agent)
        let id = try #require(reply["operation"]?["operation_id"]?.string, "\(reply)")
        return "GET /v1/operations/\(id)?wait=60 HTTP/1.1\r\nHost: t\r\n"
            + "Authorization: Bearer \(TestPrincipals.watcher.token)\r\n\r\n"
    }

    @Test func `polls that are given up keep no place`() async throws {
        try await withAgent(Self.setup(["concurrent_per_caller": 8])) { agent in
            let poll = try await poll(agent)
            for _ in 0..<100 {
                let client = try RawClient(agent.address)
                try await client.send(poll)
                _ = await client.staysSilent(for: .milliseconds(1))
                client.leave()
            }
            #expect(try await freeze(agent) == 200)
            // Whoever gave them up has the whole share again.
            var last = Reply(IncomingResponse(status: 0, reason: ""))
            for _ in 0..<200 where last.status != 200 {
                last = try await agent.send(.get, "/v1/operations", by: .watcher)
            }
            #expect(last.status == 200, "\(last)")
        }
    }

    @Test func `polls that are held use up the caller's share and no more`() async throws {
        try await withAgent(Self.setup(["concurrent_per_caller": 8])) { agent in
            let poll = try await poll(agent)
            var held: [RawClient] = []
            var refused = Reply(IncomingResponse(status: 0, reason: ""))
            // A poll that comes while the request is answered finds no place itself, so others follow it.
            for _ in 0..<200 where refused.status != 429 {
                let client = try RawClient(agent.address)
                try await client.send(poll)
                held.append(client)
                refused = try await agent.send(.get, "/v1/operations", by: .watcher)
            }
            expectProblem(refused, 429, "rate_limited")
            #expect(refused.fields[.retryAfter] == "5")
            // Places for a freeze are for those who may set one.
            let wish: JSON = ["reason": "stop"]
            expectProblem(try await agent.send(.post, "/v1/freeze", wish, by: .watcher), 429, "rate_limited")
            #expect(try await agent.send(.get, "/v1/operations", by: .agent).status == 200)
            #expect(try await freeze(agent) == 200)
            #expect(try await agent.get("/readyz").status == 200)
            withExtendedLifetime(held) {}
        }
    }

    @Test func `requests are limited per minute and caller, and answers tell how many are left`() async throws {
        try await withAgent(Self.setup(["requests_per_minute": 60])) { agent in
            let first = try await agent.send(.get, "/v1/environments", by: .watcher)
            #expect(
                first.fields[.name("RateLimit-Policy")]?.hasPrefix(#""requests";q=60;w=60, "stored-bytes";q="#) == true)
            #expect(first.fields[.name("RateLimit")]?.hasPrefix(#""requests";r=59;t=1, "stored-bytes";r="#) == true)
            var last = first
            for _ in 0..<70 where last.status == 200 {
                last = try await agent.send(.get, "/v1/environments", by: .watcher)
            }
            expectProblem(last, 429, "rate_limited")
            #expect(last.fields[.name("RateLimit")]?.hasPrefix(#""requests";r=0;t=1"#) == true, "\(last.fields)")
            #expect(last.fields[.retryAfter] == "1")
            #expect(try await agent.send(.get, "/v1/environments", by: .other).status == 200)
            #expect(try await agent.get("/healthz").status == 200)
            var unknown = first
            for _ in 0..<70 where unknown.status != 429 { unknown = try await agent.get("/v1/environments", as: nil) }
            expectProblem(try await agent.get("/nowhere"), 429, "rate_limited")
            #expect(try await freeze(agent) == 200)
        }
    }

    @Test func `what a caller makes the agent write is limited`() async throws {
        try await withAgent(Self.setup(["stored_bytes_per_minute": 1_048_576])) { agent in
            let dry = PlanRequest.start.with("dry_run", true).with(
                "reason", .string(String(repeating: "x", count: 4000)))
            var last = try await agent.plan(dry, by: .watcher, key: "0")
            #expect(last.status == 200, "\(last)")
            for number in 1..<400 where last.status == 200 {
                last = try await agent.plan(dry, by: .watcher, key: "\(number)")
            }
            expectProblem(last, 429, "rate_limited")
            #expect(try await agent.plan(.start, by: .agent).status == 200)
            #expect(try await freeze(agent) == 200)
        }
    }

    @Test func `lists are summaries, and their pages end`() async throws {
        var setup = Self.setup(["stored_bytes_per_minute": 1_073_741_824])
        setup.settings["plans"] = ["live_per_caller": 1000]
        try await withAgent(setup) { agent in
            let wish = PlanRequest.start.with("reason", .string(String(repeating: "x", count: 4000)))
            @Sendable func make(_ count: Int) async throws -> [String] {
                var ids: [String] = []
                for _ in 0..<count { ids.append(try await agent.plan(wish, by: .agent)["plan_id"]?.string ?? "") }
                return ids
            }
            var made = try await withThrowingTaskGroup(of: [String].self) { group in
                for _ in 0..<10 { group.addTask { try await make(25) } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            made += try await make(10)
            var (found, next, pages): ([String], String?, Int) = ([], nil, 0)
            repeat {
                let page = try await agent.send(
                    .get, "/v1/plans?limit=500" + (next.map { "&before=\($0)" } ?? ""), by: .watcher)
                #expect(page.body.count <= 1 << 20)
                let rows = page["plans"]?.array ?? []
                #expect(rows.allSatisfy { $0["preview"] == nil && $0["summary"]?["calls"] == 1 })
                #expect(rows.allSatisfy { $0["plan_hash"] != nil && $0["request"]?["action"] == "start_vm" })
                found += rows.compactMap { $0["plan_id"]?.string }
                next = page["next"]?.string
                pages += 1
            } while next != nil && pages < 10
            #expect(found.count == 260 && Set(found) == Set(made) && pages == 2)
            #expect(found.prefix(10) == made.suffix(10).reversed()[...], "newest first")
            let row = try await agent.send(.get, "/v1/plans/\(made[0])", by: .watcher)
            #expect(row["preview"]?["calls"]?.array?.count == 1)

            var (seen, after): ([Int64], Int64?) = ([], 0)
            pages = 0
            while let start = after, pages < 10 {
                let page = try await agent.send(.get, "/v1/audit?limit=1000&after=\(start)", by: .auditor)
                #expect(page.body.count <= 1 << 20)
                seen += (page["records"]?.array ?? []).compactMap { $0["seq"]?.integer }
                after = page["next"]?.integer
                pages += 1
            }
            #expect(pages > 1 && seen.count >= 260 && seen == seen.sorted())
        }
    }

    @Test func `without disk space the agent says so, and takes freezes`() async throws {
        try await withAgent(Self.setup(["min_free_bytes": JSON(1 << 40)])) { agent in
            expectProblem(try await agent.plan(.start, by: .agent), 503, "audit_unavailable")
            expectProblem(try await agent.send(.get, "/v1/inventory", by: .watcher), 503, "audit_unavailable")
            let ready = try await agent.get("/readyz")
            #expect(ready.status == 503 && ready["missing"]?.array?.first?["code"] == "audit_unavailable", "\(ready)")
            #expect(try await freeze(agent) == 200)
            #expect(try agent.records().map { $0["kind"] } == ["freeze"])
            #expect(try await agent.send(.get, "/v1/plans", by: .watcher).status == 200)
        }
    }

    @Test func `a PVE that hangs does not use up the places of another`() async throws {
        let silent = try RawServer(.request, .hang)
        defer { silent.stop() }
        var setup = Self.setup(["share_reads": false])
        setup.environments[1] = .elsewhere("home", at: silent.port, settings: ["timeout_ms": 20_000])
        try await withAgent(setup) { agent in
            let ask =
                "GET /v1/nodes?environment=home HTTP/1.1\r\nHost: t\r\n"
                + "Authorization: Bearer \(TestPrincipals.watcher.token)\r\n\r\n"
            let waiting = try (0..<60).map { _ in try RawClient(agent.address) }
            for client in waiting { try await client.send(ask) }
            var refused = Reply(IncomingResponse(status: 0, reason: ""))
            for _ in 0..<500 where refused.status != 503 {
                let client = try RawClient(agent.address)
                try await client.send(ask)
                guard await !client.staysSilent(for: .milliseconds(20)) else {
                    client.leave()
                    continue
                }
                let answer = try await client.response()
                refused = Reply(IncomingResponse(status: answer.status, reason: answer.reason, body: answer.body))
            }
            #expect(refused.status == 503 && refused["code"] == "overloaded", "\(refused)")
            #expect(refused["detail"]?.string?.hasPrefix("home: ") == true)
            let cloud = try await agent.send(.get, "/v1/nodes?environment=cloud", by: .watcher)
            #expect(cloud.status == 200, "\(cloud)")
            for client in waiting { client.leave() }
        }
    }
}
