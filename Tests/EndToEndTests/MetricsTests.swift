import AgentModel
import AgentService
import AgentStorage
import AgentTestSupport
import Dispatch
import FoundationEssentials
import HTTPTypes
import Metrics
import StrictJSON
import Testing
import WireTestSupport

@testable import proxmox_agent

/// The figures of a scrape, by their names and labels as in the text.
struct Scrape {
    let text: String
    let samples: [String: Double]

    init(_ reply: Reply) throws {
        try #require(reply.status == 200, "\(reply)")
        text = reply.text
        samples = reply.text.split(separator: "\n").filter { !$0.hasPrefix("#") }.reduce(into: [:]) { samples, line in
            guard let blank = line.lastIndex(of: " ") else { return }
            let name = String(line[..<blank])
            #expect(samples[name] == nil, "\(name) is there twice")
            samples[name] = Double(line[line.index(after: blank)...])
        }
    }

    subscript(_ sample: String) -> Double? { samples[sample] }

    /// What has grown since `other`, without times, sums and figures of the process.
    func grown(since other: Scrape) -> [String: Double] {
        samples.reduce(into: [:]) { grown, sample in
            let name = sample.key.prefix { $0 != "{" }
            guard !name.hasPrefix("process_"), !name.hasSuffix("_sum"), !name.hasSuffix("_bucket"),
                !name.contains("timestamp"), !name.contains("disk_free")
            else { return }
            let difference = sample.value - (other[sample.key] ?? 0)
            if difference != 0 { grown[sample.key] = difference }
        }
    }
}

extension AgentUnderTest {
    func scrape(_ fields: HTTPFields = [:]) async throws -> Scrape {
        try Scrape(try await send(.get, "/metrics", as: nil, token: nil, fields: fields))
    }
}

/// `GET /metrics` of a whole agent, over HTTP, before simulated PVEs.
@Suite(.timeLimit(.minutes(2)))
struct MetricsTests {
    private static let p = "proxmox_agent_"

    @Test func `figures move with what was done`() async throws {
        try await withAgent { agent in
            await agent.probe()
            let before = try await agent.scrape()
            #expect(before["\(Self.p)environment_up{environment=\"cloud\"}"] == 1)
            #expect(before["\(Self.p)plans{state=\"approved\"}"] == 0)
            let plan = try await agent.planID(.start)
            #expect(try await agent.apply(plan).status == 200)
            let waiting = try await agent.planID(.stop)
            expectProblem(try await agent.apply(waiting), 403, "approval_required")
            expectProblem(try await agent.send(.get, "/v1/plans", token: "wrong"), 401, "unauthenticated")
            let grown = try await agent.scrape().grown(since: before)
            let expected: [String: Double] = [
                "http_requests_total{route=\"/v1/actions/plan\",method=\"POST\",status=\"200\"}": 2,
                "http_requests_total{route=\"/v1/actions/apply\",method=\"POST\",status=\"200\"}": 1,
                "http_requests_total{route=\"/v1/actions/apply\",method=\"POST\",status=\"403\"}": 1,
                "http_requests_total{route=\"/v1/plans\",method=\"GET\",status=\"401\"}": 1,
                "http_requests_total{route=\"/metrics\",method=\"GET\",status=\"200\"}": 1,
                "auth_failures_total{credentials=\"wrong\"}": 1,
                "decisions_total{action=\"start_vm\",risk=\"medium\",outcome=\"allowed\"}": 1,
                "decisions_total{action=\"stop_vm\",risk=\"medium\",outcome=\"approval_required\"}": 1,
                "refusals_total{code=\"approval_required\"}": 1,
                "plans{state=\"applied\"}": 1, "plans{state=\"awaiting_approval\"}": 1,
                "operations{state=\"succeeded\"}": 1,
                "operation_duration_seconds_count{environment=\"cloud\",action=\"start_vm\",result=\"succeeded\"}": 1,
                "pve_call_duration_seconds_count{environment=\"cloud\",class=\"change\"}": 1,
                "audit_records_total{kind=\"plan\"}": 2, "audit_records_total{kind=\"apply_intent\"}": 1,
                "audit_records_total{kind=\"apply\"}": 1, "audit_records_total{kind=\"refuse\"}": 1,
            ]
            for (sample, value) in expected { #expect(grown[Self.p + sample] == value, "\(sample)") }
            // Nothing else was refused, ended, decided or recorded.
            let counted = ["decisions", "refusals", "http_refusals", "audit_records", "operation_", "plans", "auth_"]
            for sample in grown.keys where counted.contains(where: { sample.hasPrefix(Self.p + $0) }) {
                #expect(expected[String(sample.dropFirst(Self.p.count))] != nil, "\(sample) has grown")
            }
            #expect((grown["\(Self.p)pve_call_duration_seconds_count{environment=\"cloud\",class=\"read\"}"] ?? 0) > 2)
            #expect((grown["\(Self.p)store_commit_duration_seconds_count"] ?? 0) > 3)
            #expect((grown["\(Self.p)audit_sync_duration_seconds_count"] ?? 0) >= 4)
            #expect(grown["\(Self.p)audit_head_sequence"] == 5)
        }
    }

    @Test func `states are as they are at the scrape`() async throws {
        try await withAgent(Setup(.simulated("cloud"), .simulated("home"))) { agent in
            await agent.probe()
            _ = try await agent.planID(.stop)
            let freeze: JSON = ["environment": "home", "reason": "test"]
            #expect(try await agent.post("/v1/freeze", freeze).status == 200)
            let scrape = try await agent.scrape()
            let expected: [String: Double] = [
                "freezes": 1, "environment_frozen{environment=\"home\"}": 1,
                "environment_frozen{environment=\"cloud\"}": 0, "plans{state=\"awaiting_approval\"}": 1,
                "audit_fault{cause=\"chain\"}": 0, "audit_fault{cause=\"full\"}": 0, "store_up": 1,
                "http_requests_in_flight": 1, "audit_queue_length": 0,
                "environment_info{environment=\"home\",pve_version=\"9.2.6\",simulator=\"true\"}": 1,
                "build_info{version=\"\(Version.text)\"}": 1, "disk_floor_bytes": 67_108_864,
            ]
            for (sample, value) in expected { #expect(scrape[Self.p + sample] == value, "\(sample)") }
            #expect(scrape["\(Self.p)certificate_expiry_timestamp_seconds"] == nil)
            for name in ["disk_free_bytes{place=\"audit_log\"}", "disk_free_bytes{place=\"state\"}"] {
                #expect((scrape[Self.p + name] ?? 0) > 1_000_000)
            }
            for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"] {
                #expect((scrape["process_\(name)"] ?? 0) > 0, "\(name)")
            }
            let age = try #require(scrape["\(Self.p)approval_oldest_age_seconds"])
            #expect((0...60).contains(age))
        }
    }

    @Test func `a scrape while every PVE is down answers within 50 ms, and asks none`() async throws {
        try await withAgent(Setup(.simulated("cloud"), .simulated("home"))) { agent in
            await agent.probe()
            try await agent.datacenter.unplug("cloud")
            try await agent.datacenter.unplug("home")
            await agent.probe()
            let before = try await agent.scrape()
            var times: [Duration] = []
            for _ in 0..<5 {
                let start = ContinuousClock.now
                let scrape = try await agent.scrape()
                times.append(start.duration(to: .now))
                for name in ["cloud", "home"] {
                    #expect(scrape["\(Self.p)environment_up{environment=\"\(name)\"}"] == 0)
                    let errors =
                        "\(Self.p)pve_call_errors_total{environment=\"\(name)\",class=\"probe\",reason=\"unreachable\"}"
                    #expect((scrape[errors] ?? 0) >= 1)
                }
                #expect(scrape["\(Self.p)store_up"] == 1)
                #expect(scrape.grown(since: before).keys.allSatisfy { !$0.contains("pve_call") })
            }
            #expect(try #require(times.min()) < .milliseconds(50), "\(times)")
        }
    }

    @Test func `a state that does not answer leaves its figures out, and holds up one scrape only briefly`()
        async throws
    {
        try await withAgent { agent in
            let (begun, gate) = (Latch(), DispatchSemaphore(value: 0))
            let stuck = Task {
                try await agent.agent.store.read { _ in
                    begun.open()
                    gate.wait()
                }
            }
            #expect(await begun.wait())
            for limit in [Duration.seconds(5), .milliseconds(400)] {
                let start = ContinuousClock.now
                let scrape = try await agent.scrape()
                #expect(start.duration(to: .now) < limit)
                #expect(scrape["\(Self.p)store_up"] == 0)
                #expect(scrape["\(Self.p)plans{state=\"approved\"}"] == nil)
                #expect(scrape["\(Self.p)operations{state=\"unknown\"}"] == nil)
                #expect(scrape["\(Self.p)audit_head_sequence"] == 1)
            }
            gate.signal()
            try await stuck.value
            let deadline = ContinuousClock.now + .seconds(10)
            var scrape = try await agent.scrape()
            while scrape["\(Self.p)store_up"] == 0, .now < deadline { scrape = try await agent.scrape() }
            #expect(scrape["\(Self.p)plans{state=\"approved\"}"] == 0)
        }
    }

    @Test func `both formats have their types, and the same figures`() async throws {
        try await withAgent { agent in
            // So that something has been counted before the first of both.
            _ = try await agent.scrape()
            func reply(_ accept: String) async throws -> Reply {
                try await agent.send(.get, "/metrics", as: nil, token: nil, fields: [.accept: accept])
            }
            let text = try await reply("text/plain")
            #expect(text.fields[.contentType] == "text/plain; version=0.0.4; charset=utf-8")
            let open = try await reply("application/openmetrics-text;version=1.0.0")
            #expect(open.fields[.contentType] == "application/openmetrics-text; version=1.0.0; charset=utf-8")
            #expect(open.text.hasSuffix("\n# EOF\n") && !text.text.contains("# EOF"))
            func names(_ reply: Reply) -> Set<Substring> {
                Set(
                    reply.text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map {
                        $0.prefix { $0 != "{" && $0 != " " }
                    })
            }
            #expect(names(text) == names(open))
        }
    }

    @Test func `a scrape token is needed as soon as there is one, and a reload puts another in force`() async throws {
        func setup(_ token: String) -> Setup {
            var setup = TestPrincipals.setup()
            setup.settings["metrics"] = ["token_sha256": .string(CredentialDigest(of: token.utf8).description)]
            return setup
        }
        try await Slots.shared.withSlot {
            let agent = try await ServedAgent(setup("scrape-token-of-before"))
            func status(_ token: String?) async throws -> Int {
                try await agent.send(.get, "/metrics", as: nil, token: token).status
            }
            #expect(try await status(nil) == 401)
            #expect(try await status("scrape-token-of-before") == 200)
            #expect(try await status(TestPrincipals.watcher.token) == 200)
            #expect(try await status(TestPrincipals.local.token) == 403)
            try await agent.reload(setup("scrape-token-of-after"), until: "put in force")
            #expect(try await status("scrape-token-of-before") == 401)
            #expect(try await status("scrape-token-of-after") == 200)
            #expect(try await agent.stop().status == 0)
        }
    }

    @Test func `every metric is in the documents, and what dashboard and alerts name is there`() throws {
        let rows = MetricNames.all.map { family in
            let labels = family.labels.map { "`\($0)`" }.joined(separator: ", ")
            return "| `\(family.sampleName)` | \(family.kind.rawValue) | \(labels) | \(family.help) |"
        }
        try Documents.expectTable("docs/monitoring/README.md", under: "| metric | type | labels | meaning |", rows)
        #expect(Set(MetricNames.all.map(\.name)).count == MetricNames.all.count)
        let known = Set(
            MetricNames.all.flatMap { family in
                family.kind == .histogram
                    ? ["_bucket", "_sum", "_count"].map { family.name + $0 } : [family.sampleName]
            })
        for file in ["grafana-dashboard.json", "alerts.yml", "alerts_test.yml"] {
            let text = try Documents.text("docs/monitoring/\(file)")
            let named = Set(text.matches(of: /\b(proxmox_agent|process)_[a-z0-9_]+/).map { String($0.output.0) })
            #expect(named.count > 5, "\(file)")
            #expect(named.subtracting(known) == [], "\(file)")
        }
    }
}
