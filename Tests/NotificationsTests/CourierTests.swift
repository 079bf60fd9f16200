import AgentModel
import AgentService
import AgentTestSupport
import CurlHTTP
import FoundationEssentials
import HTTPMessage
import StrictJSON
import Testing
import WireTestSupport

@testable import Notifications

/// Destinations over real sockets: what they do badly is told in words, costs little, and reveals nothing.
@Suite(.timeLimit(.minutes(1)))
struct CourierTests {
    /// What becomes of a notice at a server with this script.
    private func result(
        _ steps: RawServer.Step..., timeout: Duration = .seconds(20)
    ) async throws -> (result: DeliveryResult, server: RawServer) {
        let server = try RawServer { _ in steps }
        defer { server.stop() }
        let origin = "http://127.0.0.1:\(server.port)"
        return (try await send(to: origin, timeout), server)
    }

    private func send(to origin: String, _ timeout: Duration = .seconds(20)) async throws -> DeliveryResult {
        let loop = try CurlLoop()
        var configuration = CurlConfiguration(origin: try HTTPOrigin(parsing: origin), timeout: timeout)
        configuration.maximumBodyBytes = 16 << 10
        let courier = NoticeCourier(
            [
                "a": (
                    .mattermost(try .of("\(origin)/hooks/s3cret")),
                    .http(CurlTransport(configuration, loop: loop))
                )
            ], publicURL: nil, agent: "agent")
        let result = await courier.send(.hostile, .sample(1, .notification), at: .sample, to: "a")
        await loop.stop()
        return result
    }

    @Test(arguments: ["200 OK", "202 Accepted", "204 No Content"])
    func `any success is delivered, once`(status: String) async throws {
        let (result, server) = try await result(.request, .answer(status))
        #expect(result == .delivered)
        #expect(server.requests.count == 1 && server.requests.first?.start == "POST /hooks/s3cret HTTP/1.1")
        let body = try JSON.parse(server.requests.first?.body ?? [])
        #expect(body["text"]?.string?.contains("Approval wanted") == true)
    }

    @Test func `redirects are refused, and nothing is sent where they lead`() async throws {
        let other = try RawServer(.request, .answer("200 OK"))
        defer { other.stop() }
        let place = "Location: http://127.0.0.1:\(other.port)/"
        for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
            let (result, _) = try await result(.request, .answer(status, fields: [place]))
            let code = status.prefix(3)
            #expect(
                result == .failed("answered \(code), a redirect, which is not followed: name the final address"))
        }
        #expect(other.connections == 0)
    }

    @Test func `refusals are told with the server's words, and its wish to wait is kept`() async throws {
        let (result, _) = try await result(
            .request, .answer("429 Too Many Requests", fields: ["Retry-After: 120"], "slow down"))
        #expect(result == .failed("answered 429 (Too Many Requests)", retryAfter: 120))
        let (odd, _) = try await self.result(.request, .answer("500 ", fields: ["Retry-After: tomorrow"]))
        #expect(odd == .failed("answered 500"))
    }

    @Test(arguments: [
        ("400 Bad Request", true), ("410 Gone", true), ("413 Content Too Large", true), ("422 Unprocessable", true),
        ("401 Unauthorized", false), ("403 Forbidden", false), ("404 Not Found", false), ("408 Timeout", false),
        ("421 Misdirected", false), ("425 Too Early", false), ("429 Too Many Requests", false), ("500 Oh", false),
        ("503 Away", false),
    ])
    func `what is about one message is told from what is about the destination`(
        status: String, isRefusal: Bool
    ) async throws {
        let (result, _) = try await result(.request, .answer(status))
        switch result {
        case .refused(let why): #expect(isRefusal && why.hasPrefix("answered \(status.prefix(3))"))
        case .failed(let why, _): #expect(!isRefusal && why.hasPrefix("answered \(status.prefix(3))"))
        case .delivered, .stopped: #expect(Bool(false), "\(result)")
        }
    }

    @Test func `mail whose text a server refuses is refused`() async throws {
        let receiver = try MailReceiver(.answersMessage("552 too large"))
        defer { receiver.stop() }
        let address = try #require(MailAddress("ops@example.com"))
        let mail = CurlMail(server: try MailServer(parsing: "smtp://127.0.0.1:\(receiver.port)"))
        let courier = NoticeCourier(
            ["a": (.email(from: address, to: [address]), .mail(TestMail(mail)))], publicURL: nil, agent: "agent")
        let result = await courier.send(.hostile, .sample(1, .notification), at: .sample, to: "a")
        #expect(result == .refused("answered 552 to the message"))
    }

    @Test func `a server that hangs is left, and one that is gone is told`() async throws {
        let (result, _) = try await result(.request, .hang, timeout: .milliseconds(300))
        #expect(result == .failed("did not answer in time"))
        let (silent, _) = try await self.result(.ignore, timeout: .milliseconds(300))
        #expect(silent == .failed("did not answer in time"))
        let (broken, _) = try await self.result(.request, .reset)
        guard case .failed(let why, nil) = broken else { return #expect(Bool(false), "\(broken)") }
        #expect(why.hasPrefix("the connection broke"))
        // Nobody listens there.
        guard case .failed(let gone, nil) = try await send(to: "http://127.0.0.1:1") else {
            return #expect(Bool(false))
        }
        #expect(gone.hasPrefix("cannot be reached") && !gone.contains("s3cret"))
    }

    @Test func `an answer of a gigabyte is cut off`() async throws {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"
        let (declared, _) = try await result(.request, .send(head), .hang)
        #expect(declared == .failed("answered with more than 16384 bytes"))
        let chunk = String(repeating: "x", count: 64 << 10)
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n\(chunk)\r\n"
        let (endless, _) = try await result(.request, .send(chunked), .hang)
        #expect(endless == .failed("answered with more than 16384 bytes"))
    }

    @Test func `mail that a server refuses is told`() async throws {
        let receiver = try MailReceiver(.refuses("ops@"))
        defer { receiver.stop() }
        let addresses = try ["agent@example.com", "ops@example.com"].map { try #require(MailAddress($0)) }
        let mail = CurlMail(server: try MailServer(parsing: "smtp://127.0.0.1:\(receiver.port)"))
        let courier = NoticeCourier(
            ["a": (.email(from: addresses[0], to: [addresses[1]]), .mail(TestMail(mail)))], publicURL: nil,
            agent: "agent")
        let result = await courier.send(.hostile, .sample(1, .notification), at: .sample, to: "a")
        guard case .failed(let why, nil) = result else { return #expect(Bool(false), "\(result)") }
        #expect(why.contains("550"))
        #expect(await courier.send(.hostile, .sample(1, .notification), at: .sample, to: "b") == .stopped)
    }

    @Test func `a mail arrives with the text that others get`() async throws {
        let receiver = try MailReceiver()
        defer { receiver.stop() }
        let addresses = try ["agent@example.com", "ops@example.com"].map { try #require(MailAddress($0)) }
        let mail = CurlMail(server: try MailServer(parsing: "smtp://127.0.0.1:\(receiver.port)"))
        let courier = NoticeCourier(
            ["a": (.email(from: addresses[0], to: [addresses[1]]), .mail(TestMail(mail)))], publicURL: nil,
            agent: "agent")
        #expect(await courier.send(.hostile, .sample(1, .notification), at: .sample, to: "a") == .delivered)
        let lines = try #require(receiver.mails.first?.lines)
        #expect(lines.contains("Subject: Approval wanted: stop_vm vm/101 on home (high risk)"))
        #expect(!lines.contains { $0.hasPrefix("Bcc") })
    }
}

/// libcurl's mail as the port that the program makes of it.
private struct TestMail: MailTransport {
    private let mail: CurlMail

    init(_ mail: CurlMail) { self.mail = mail }

    func send(_ message: [UInt8], from: String, to recipients: [String]) async throws(TransportError) -> String? {
        try await mail.send(message, from: from, to: recipients)
    }
}
