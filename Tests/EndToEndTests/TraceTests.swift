import HTTPTypes
import SimulatorTestSupport
import StrictJSON
import Testing
import WireTestSupport

/// The trace of a request: from its header into the access log and the audit records, and no further.
@Suite(.timeLimit(.minutes(2)))
struct TraceTests {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let span = "00f067aa0ba902b7"

    private static func fields(_ traceparent: String) -> HTTPFields { [.name("traceparent"): traceparent] }

    @Test func `the caller's trace is in the records of what it asked for, and in the log`() async throws {
        try await withAgent { agent in
            let sent = Self.fields("00-\(Self.trace)-\(Self.span)-01")
            let planned = try await agent.send(
                .post, "/v1/actions/plan", body: PlanRequest.start.json.bytes, fields: sent)
            #expect(planned.fields[.name("traceparent")] == nil && planned.fields[.name("traceresponse")] == nil)
            let body: JSON = ["plan_id": planned["plan_id"] ?? .null]
            var waiting = sent
            waiting[.preferWait] = "wait=15"
            let applied = try await agent.send(.post, "/v1/actions/apply", body: body.bytes, fields: waiting)
            #expect(applied["result"]?["status"] == "succeeded", "\(applied)")
            _ = try await agent.send(.post, "/v1/actions/apply", body: body.bytes, fields: sent)
            let records = try agent.records()
            #expect(records.compactMap { $0["kind"]?.string } == ["plan", "apply_intent", "apply", "refuse"])
            for record in records {
                #expect(record["trace_id"]?.string == Self.trace, "\(record)")
                #expect(record["parent_id"]?.string == Self.span, "\(record)")
            }
            let lines = agent.log.lines.filter { $0.contains("/v1/actions/") }
            #expect(lines.count == 3)
            #expect(lines.allSatisfy { $0.contains("\"trace_id\": \(Self.trace)") })
            #expect(lines.allSatisfy { $0.contains("\"parent_id\": \(Self.span)") })
        }
    }

    @Test func `lines about a task that is followed have the trace of the request that began it`() async throws {
        try await withAgent { agent in
            let pve = try agent.pve()
            pve.holdTasks()
            let planned = try await agent.planID(.start)
            let body: JSON = ["plan_id": .string(planned)]
            let sent = Self.fields("00-\(Self.trace)-\(Self.span)-01")
            let reply = try await agent.send(.post, "/v1/actions/apply", body: body.bytes, fields: sent)
            #expect(reply.status == 202, "\(reply)")
            pve.inject(Fault(.reset, method: "GET", path: "/nodes/pve2/tasks/UPID", count: 9))
            let deadline = ContinuousClock.now + .seconds(20)
            var line: String?
            while line == nil, ContinuousClock.now < deadline {
                line = agent.log.lines.first { $0.contains("a task cannot be looked at") }
                await Task.yield()
            }
            #expect(line?.contains("\"trace_id\": \(Self.trace)") == true, "\(line ?? "no line")")
        }
    }

    @Test func `PVE is told nothing of it`() async throws {
        let pve = try RawServer(.request, .answer("200 OK", #"{"data":[]}"#), .again)
        defer { pve.stop() }
        let setup = Setup(.elsewhere("cloud", at: pve.port))
        try await withAgent(setup) { agent in
            _ = try await agent.send(
                .get, "/v1/inventory?environment=cloud", fields: Self.fields("00-\(Self.trace)-\(Self.span)-01"))
            let requests = pve.requests.map { "\($0)" }
            #expect(!requests.isEmpty)
            #expect(requests.allSatisfy { !$0.lowercased().contains("trace") && !$0.contains(Self.span) })
        }
    }

    @Test(arguments: [nil, "", "00-\(trace)-\(span)", "ff-\(trace)-\(span)-01", "nonsense"] as [String?])
    func `without a well-formed one each request gets a trace of its own`(sent: String?) async throws {
        try await withAgent { agent in
            for _ in 0..<3 {
                _ = try await agent.send(
                    .post, "/v1/actions/plan", body: PlanRequest.start.json.bytes,
                    fields: sent.map(Self.fields) ?? [:])
            }
            let records = try agent.records()
            let traces = records.compactMap { $0["trace_id"]?.string }
            #expect(traces.count == 3 && Set(traces).count == 3)
            #expect(traces.allSatisfy { $0.utf8.count == 32 && $0 != Self.trace })
            #expect(records.allSatisfy { $0["parent_id"] == nil })
            for trace in traces {
                let line = agent.log.lines.first { $0.contains("\"trace_id\": \(trace)") }
                #expect(try #require(line).contains("parent_id") == false)
            }
        }
    }
}
