import CurlHTTP
import HTTPMessage
import Testing
import WireTestSupport

/// Mail goes to a server that takes it, and no server holds it up or learns too much.
@Suite(.timeLimit(.minutes(1)))
struct MailTests {
    private static let message = Array("Subject: a\r\n\r\nfirst\r\n.dot\r\nlast\r\n".utf8)

    private func send(
        to receiver: MailReceiver, timeout: Duration = .seconds(20), username: String? = nil
    ) async throws -> TransportError? {
        let mail = CurlMail(
            server: try MailServer(parsing: "smtp://127.0.0.1:\(receiver.port)"), username: username,
            password: { "s3cret" }, timeout: timeout)
        do throws(TransportError) {
            let refusal = try await mail.send(
                Self.message, from: "agent@example.com", to: ["a@example.com", "b@example.com"])
            #expect(refusal == nil)
            return nil
        } catch {
            return error
        }
    }

    @Test func `a server takes the whole message for all recipients`() async throws {
        let receiver = try MailReceiver()
        defer { receiver.stop() }
        #expect(try await send(to: receiver, username: "agent") == nil)
        let mail = try #require(receiver.mails.first)
        #expect(mail.from.hasPrefix("MAIL FROM:<agent@example.com>"))
        #expect(mail.recipients == ["RCPT TO:<a@example.com>", "RCPT TO:<b@example.com>"])
        // A line that begins with a dot gets another one (RFC 5321, 4.5.2).
        #expect(mail.lines == ["Subject: a", "", "first", "..dot", "last"])
        #expect(receiver.commands.contains { $0.hasPrefix("AUTH PLAIN") })
    }

    @Test func `nobody gets a mail that one recipient cannot get`() async throws {
        let receiver = try MailReceiver(.refuses("b@"))
        defer { receiver.stop() }
        let error = try #require(try await send(to: receiver))
        guard case .unreachable(let why) = error else { return #expect(Bool(false), "\(error)") }
        #expect(why.contains("550") && receiver.mails.isEmpty)
    }

    @Test(arguments: [("554 spam", "answered 554 to the message"), ("451 later", nil)] as [(String, String?)])
    func `a refusal of the message itself is told from trouble that passes`(
        reply: String, refusal: String?
    ) async throws {
        let receiver = try MailReceiver(.answersMessage(reply))
        defer { receiver.stop() }
        let mail = CurlMail(server: try MailServer(parsing: "smtp://127.0.0.1:\(receiver.port)"))
        do throws(TransportError) {
            let found = try await mail.send(Self.message, from: "agent@example.com", to: ["a@example.com"])
            #expect(found == refusal && found != nil)
        } catch {
            guard case .broken = error else { return #expect(Bool(false), "\(error)") }
            #expect(refusal == nil)
        }
    }

    @Test func `a server that says nothing costs no more than the time limit`() async throws {
        let receiver = try MailReceiver(.hangs)
        defer { receiver.stop() }
        #expect(try await send(to: receiver, timeout: .milliseconds(300)) == .timeout(sent: false))
    }

    @Test func `a server that does not stop talking is cut off`() async throws {
        let receiver = try MailReceiver(.floods)
        defer { receiver.stop() }
        let error = try await send(to: receiver)
        guard case .unreachable(let why) = error else { return #expect(Bool(false), "\(String(describing: error))") }
        #expect(why.hasPrefix("Too large response headers"))
    }

    @Test func `a cancelled task does not wait for the time limit`() async throws {
        let receiver = try MailReceiver(.hangs)
        defer { receiver.stop() }
        let task = Task { try await send(to: receiver, timeout: .seconds(30)) }
        #expect(await eventually { !receiver.commands.isEmpty })
        task.cancel()
        #expect(try await task.value == .cancelled(sent: true))
    }

    @Test func `no password is said where the server offers no encryption`() async throws {
        let receiver = try MailReceiver()
        defer { receiver.stop() }
        // An authority that is named, or another machine, asks for STARTTLS, which this server does not know.
        let mail = CurlMail(
            server: try MailServer(parsing: "smtp://127.0.0.1:\(receiver.port)"),
            trust: .authority(file: "/etc/ssl/certs/ca-certificates.crt"), username: "agent", password: { "s3cret" })
        await #expect(throws: TransportError.self) {
            try await mail.send(Self.message, from: "agent@example.com", to: ["a@example.com"])
        }
        #expect(receiver.mails.isEmpty && !receiver.commands.contains { $0.hasPrefix("AUTH") })
    }

    @Test(arguments: [
        ("smtp://mail.example", "smtp://mail.example:587"), ("SMTPS://mail.example/", "smtps://mail.example:465"),
        ("smtp://[::1]", "smtp://[::1]:587"), ("smtp://[::1]:25", "smtp://[::1]:25"),
        ("smtps://192.0.2.1:25", "smtps://192.0.2.1:25"),
    ])
    func `a server has a scheme, a host and a port`(text: String, shown: String) throws {
        #expect(try MailServer(parsing: text).description == shown)
    }

    @Test(arguments: [
        "mail.example", "https://mail.example", "smtp://", "smtp://a:b@mail.example", "smtp://mail.example/path",
        "smtp://mail.example:0", "smtp://mail.example:99999", "smtp://mäil.example", "smtp://a b",
    ])
    func `other servers are refused`(text: String) {
        #expect(throws: HTTPOrigin.Invalid.self) { try MailServer(parsing: text) }
    }
}
