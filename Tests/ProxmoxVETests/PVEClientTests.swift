import AgentModel
import CurlHTTP
import HTTPMessage
import ProxmoxVE
import StrictJSON
import Testing
import WireTestSupport

/// Runs `body` with a client of a server that follows `script`, and stops both.
func withPVE<T>(
    _ script: @escaping @Sendable (_ connection: Int) -> [RawServer.Step],
    timeout: Duration = .seconds(20), tries: Int = 3,
    _ body: (RawServer, PVEClient) async throws -> T
) async throws -> T {
    let server = try RawServer(script: script)
    let loop = try CurlLoop()
    let origin = try HTTPOrigin(parsing: "http://127.0.0.1:\(server.port)")
    let client = PVEClient(
        transport: CurlTransport(CurlConfiguration(origin: origin), loop: loop),
        token: try PVEToken(id: "agent@pve!t1", secret: Secret("5ec4e7")), timeout: timeout,
        retry: PVERetry(tries: tries, base: .milliseconds(2)))
    let result: Result<T, any Error>
    do { result = .success(try await body(server, client)) } catch { result = .failure(error) }
    server.stop()
    await loop.stop()
    return try result.get()
}

extension PVEClient {
    fileprivate func failure(_ call: PVECall) async -> PVEError? {
        do throws(PVEError) {
            _ = call.method == .get ? try await get(call) : try await send(call)
            return nil
        } catch {
            return error
        }
    }
}

@Suite(.timeLimit(.minutes(1))) struct PVEClientTests {
    private static func start() throws -> PVECall {
        PVECall(.post, try PVEPath("nodes", "n", "qemu", 100, "status", "start"))
    }
    private static func version() throws -> PVECall { PVECall(.get, try PVEPath("version")) }

    @Test func `a read carries the token and its parameters in the query`() async throws {
        let body = #"{"data":[{"n":1}],"total":7}"#
        try await withPVE({ _ in [.request, .answer("200 OK", body)] }) { server, client in
            let call = PVECall(.get, try PVEPath("nodes"), [.init("a", "b;c")])
            let reply = try await client.get(call)
            #expect(reply == PVEReply(data: [["n": 1]], total: 7))
            let seen = try #require(server.requests.first)
            #expect(seen.start == "GET /api2/json/nodes?a=b%3Bc HTTP/1.1")
            #expect(seen.value(of: "Authorization") == "PVEAPIToken=agent@pve!t1=5ec4e7")
            #expect(seen.value(of: "Cookie") == nil)
            #expect(seen.value(of: "Content-Length") == nil)
        }
    }

    @Test func `a mutation is a form`() async throws {
        try await withPVE({ _ in [.request, .answer("200 OK", #"{"data":"UPID:…"}"#)] }) { server, client in
            let call = PVECall(
                .put, try PVEPath("nodes", "n", "config"), [.init("description", "a=b;c&d"), .init("on", true)])
            let reply = try await client.send(call)
            #expect(reply == PVEReply(data: "UPID:…"))
            let seen = try #require(server.requests.first)
            #expect(seen.start == "PUT /api2/json/nodes/n/config HTTP/1.1")
            #expect(seen.value(of: "Content-Type") == "application/x-www-form-urlencoded")
            #expect(seen.text == "description=a%3Db%3Bc%26d&on=1")
        }
    }

    @Test func `an answer without a result is fine, and a raw read is not looked at`() async throws {
        try await withPVE({ _ in [.request, .answer("200 OK", #"{"data":null}"#)] }) { _, client in
            let reply = try await client.send(Self.start())
            #expect(reply.data.isNull)
        }
        try await withPVE({ _ in [.request, .answer("200 OK", "[not json")] }) { _, client in
            let body = try await client.getRaw(Self.version())
            #expect(body == Array("[not json".utf8))
        }
    }

    private static let refusals: [(String, String, PVEError)] = [
        (
            "400 Parameter verification failed.",
            #"{"data":null,"message":"Parameter verification failed.\n","errors":{"timeout":"type check failed\n"}}"#,
            .refused(
                PVERefusal(
                    status: 400, reason: "Parameter verification failed.", message: "Parameter verification failed.",
                    errors: ["timeout": "type check failed"]))
        ),
        ("401 No ticket", "", .unauthenticated(reason: "No ticket")),
        ("401 Authentication failed! ", "", .unauthenticated(reason: "Authentication failed!")),
        (
            "403 Permission check failed (/vms/103, VM.Audit)", #"{"data":null}"#,
            .refused(PVERefusal(status: 403, reason: "Permission check failed (/vms/103, VM.Audit)"))
        ),
        (
            "500 VM is locked (backup)", #"{"message":"VM is locked (backup)\n","data":null}"#,
            .refused(PVERefusal(status: 500, reason: "VM is locked (backup)", message: "VM is locked (backup)"))
        ),
        ("501 method not available", "", .refused(PVERefusal(status: 501, reason: "method not available"))),
        ("595 Connection refused", "x", .refused(PVERefusal(status: 595, reason: "Connection refused"))),
        ("500 ", "<html>", .refused(PVERefusal(status: 500, reason: ""))),
        ("500 e", #"{"errors":["a"],"message":5}"#, .refused(PVERefusal(status: 500, reason: "e"))),
        ("301 Moved Permanently", "", .refused(PVERefusal(status: 301, reason: "Moved Permanently"))),
    ]

    @Test(arguments: refusals)
    func `Proxmox VE's no is told in its own words`(status: String, body: String, error: PVEError) async throws {
        try await withPVE({ _ in [.request, .answer(status, body)] }) { server, client in
            let failure = await client.failure(try Self.start())
            #expect(failure == error)
            #expect(server.requests.count == 1)
        }
    }

    @Test(arguments: [
        "", "null", "[]", "{}", #"{"data":1"#, #"{"data":1}x"#, #"{"data":1,"data":2}"#, "<html></html>",
        #"{"success":1}"#,
    ])
    func `a success that is no result is invalid, and may have been carried out`(body: String) async throws {
        try await withPVE({ _ in [.request, .answer("200 OK", body)] }) { server, client in
            let failure = try #require(await client.failure(try Self.start()))
            guard case .invalid = failure else {
                Issue.record("\(failure)")
                return
            }
            #expect(failure.mayHaveExecuted)
            #expect(server.requests.count == 1)
        }
    }

    @Test func `an overlong text is cut`() async throws {
        let text = String(repeating: "x", count: 10_000)
        try await withPVE({ _ in [.request, .answer("500 \(text)", #"{"message":"\#(text)"}"#)] }) { _, client in
            guard case .refused(let refusal) = await client.failure(try Self.start()) else {
                Issue.record("not refused")
                return
            }
            #expect(refusal.reason.count == 4096 && refusal.message?.count == 4096)
        }
    }

    @Test(arguments: [
        (502, true), (504, true), (595, true), (596, true), (597, true), (598, true), (599, true), (503, false),
        (500, false), (501, false), (400, false), (403, false), (404, false), (301, false), (600, false),
    ])
    func `only a gateway's failure leaves a mutation in doubt`(status: Int, inDoubt: Bool) {
        #expect(PVEError.refused(PVERefusal(status: status, reason: "x")).mayHaveExecuted == inDoubt)
    }

    @Test(arguments: [
        (PVEError.transport(.unreachable("x")), false), (.transport(.timeout(sent: false)), false),
        (.transport(.timeout(sent: true)), true), (.transport(.broken("x", sent: true)), true),
        (.transport(.tooLarge(limit: 1)), true), (.transport(.cancelled(sent: false)), false),
        (.transport(.cancelled(sent: true)), true), (.unauthenticated(reason: "x"), false), (.invalid("x"), true),
    ])
    func `doubt follows what was sent`(error: PVEError, inDoubt: Bool) {
        #expect(error.mayHaveExecuted == inDoubt)
    }
}

@Suite(.timeLimit(.minutes(1))) struct PVEClientRetryTests {
    private static let read = Result { PVECall(.get, try PVEPath("version")) }
    private static let mutations = Result {
        [
            PVECall(.post, try PVEPath("nodes")), PVECall(.put, try PVEPath("nodes")),
            PVECall(.delete, try PVEPath("nodes")),
        ]
    }

    @Test(arguments: [502, 503, 504, 595, 596])
    func `a read is tried again until it is answered`(status: Int) async throws {
        let call = try Self.read.get()
        try await withPVE({ [.request, $0 < 2 ? .answer("\(status) x") : .answer("200 OK", #"{"data":1}"#), .close] }) {
            server, client in
            let reply = try await client.get(call)
            #expect(reply.data == 1)
            #expect(server.requests.count == 3)
        }
    }

    @Test(arguments: [
        (502, 3), (503, 3), (504, 3), (595, 3), (596, 3), (400, 1), (401, 1), (403, 1), (404, 1), (500, 1), (501, 1),
        (597, 1), (599, 1), (301, 1), (200, 1),
    ])
    func `only a failure on the way is tried again, three times in all`(status: Int, count: Int) async throws {
        let call = try Self.read.get()
        try await withPVE({ _ in [.request, .answer("\(status) x"), .again] }) { server, client in
            #expect(await client.failure(call) != nil)
            #expect(server.requests.count == count)
        }
    }

    @Test(arguments: [200, 400, 401, 500, 502, 503, 504, 595, 596, 599])
    func `a mutation is sent once, whatever the answer`(status: Int) async throws {
        for call in try Self.mutations.get() {
            try await withPVE({ _ in [.request, .answer("\(status) x"), .again] }) { server, client in
                #expect(await client.failure(call) != nil)
                #expect(server.requests.count == 1)
            }
        }
    }

    @Test func `a mutation is sent once, even when nothing answers`() async throws {
        for call in try Self.mutations.get() {
            try await withPVE({ _ in [.request, .close] }) { server, client in
                let failure = try #require(await client.failure(call))
                #expect(failure.mayHaveExecuted)
                #expect(server.requests.count == 1)
            }
        }
    }

    @Test func `a mutation that reached nobody did not happen`() async throws {
        for call in try Self.mutations.get() {
            try await withPVE({ _ in [] }) { server, client in
                server.stop()
                while (try? RawClient(server.address)) != nil { await Task.yield() }
                let failure = try #require(await client.failure(call))
                guard case .transport(.unreachable) = failure else {
                    Issue.record("\(failure)")
                    return
                }
                #expect(!failure.mayHaveExecuted)
            }
        }
    }

    @Test func `tries and pauses stay within the time of the call`() async throws {
        let call = try Self.read.get()
        try await withPVE({ _ in [.request, .hang] }, timeout: .milliseconds(300), tries: 100) { server, client in
            #expect(await client.failure(call) == .transport(.timeout(sent: true)))
            #expect(server.requests.count == 1)
        }
    }

    @Test func `cancelling ends the tries`() async throws {
        let call = try Self.read.get()
        try await withPVE({ _ in [.request, .answer("503 x"), .again] }, timeout: .seconds(50), tries: .max) {
            server, client in
            let task = Task { await client.failure(call) }
            while server.requests.isEmpty { await Task.yield() }
            task.cancel()
            guard case .transport(.cancelled) = await task.value else {
                Issue.record("not cancelled")
                return
            }
        }
    }
}
