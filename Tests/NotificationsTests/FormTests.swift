import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import StrictJSON
import Testing

@testable import Notifications

/// What each kind of destination gets.
struct FormTests {
    private static let publicURL = "https://agent.example:8443"

    private static func text(_ notice: Notice = .hostile, at publicURL: String? = publicURL) -> NoticeText {
        NoticeText(notice, publicURL: publicURL, agent: "proxmox-agent/pve/0123456789abcdef")
    }

    private static func destinations() throws -> [(String, Destination)] {
        let secrets = try #require(
            WebhookSecret.list("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_\(String(repeating: "A", count: 44))"))
        return [
            ("webhook", .webhook(try .of("https://a.example/hook?x=1"), secrets)),
            ("ntfy", .ntfy(try .of("https://ntfy.example/sub/ops"), token: Secret("tk_1"))),
            ("gotify", .gotify(try .of("https://gotify.example/"), token: Secret("tk_2"))),
            ("slack", .slack(try .of("https://hooks.example/services/T/B/x"))),
            ("discord", .discord(try .of("https://discord.example/api/webhooks/1/x"))),
            ("mattermost", .mattermost(try .of("https://chat.example/hooks/x"))),
        ]
    }

    @Test func `every kind gets what it understands, with nothing in it that acts`() throws {
        var lines: [String] = []
        for (name, destination) in try Self.destinations() {
            let request = try #require(destination.request(Self.text(), .sample(1, .notification), at: .sample))
            lines.append("\(name) \(request.method.rawValue) \(request.target)")
            lines += request.fields.map { "  \($0.name): \($0.value)" }
            lines.append("  \(String(decoding: request.body ?? [], as: UTF8.self))")
            #expect(request.once && request.fields.allSatisfy { !$0.value.contains { $0.isNewline } })
        }
        try expectGolden(lines, "forms.txt")
    }

    @Test func `texts of others stand in quotation marks, which they cannot leave`() {
        let body = Self.text().body(upTo: 4000)
        let lines = body.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.contains { $0 == #"Ticket, in the caller's words: "' now outside the quotes '""# })
        #expect(!body.contains("http://evil") && !body.contains("https://evil") && !body.contains("\u{202E}"))
        #expect(lines.filter { $0.contains("Bcc") }.count == 1)
    }

    @Test(arguments: [
        (#"disk\"#, #""disk\\""#), (#"disk\" now outside"#, #""disk\\' now outside""#),
        ("a\u{202E}b", #""a\u{202e}b""#), (#"C:\up"#, #""C:\\up""#),
        ("www.evil.example", #""www[.]evil[.]example""#),
        ("see evil.example/sign-in.", #""see evil[.]example/sign-in.""#),
        ("HTTPS://evil.example", #""HTTPS[:]//evil[.]example""#), ("a@evil.example", #""a@evil[.]example""#),
        ("10.0.0.1/24, 2.5 GiB ... .", #""10.0.0.1/24, 2.5 GiB ... .""#),
    ])
    func `what is quoted has one end and no links`(text: String, shown: String) {
        #expect(NoticeText.line(Notice.Fact("Reason", text, .caller)) == "Reason, in the caller's words: \(shown)")
    }

    @Test(arguments: [200, 500, 1000, 1990])
    func `a text keeps its head and its link whatever is cut`(limit: Int) {
        let facts = (0..<24).map { Notice.Fact("Fact \($0)", String(repeating: "*", count: 400), .guest) }
        let notice = Notice(.operationEnded, at: .sample, planID: .sample(1), title: "It ended", facts: facts)
        let body = Self.text(notice).body(upTo: limit, Markup.discord)
        #expect(body.unicodeScalars.count <= limit)
        #expect(body.hasPrefix("It ended\n") && body.contains("\(Self.publicURL)/ui/#/plans/"))
    }

    @Test func `without an address of the console there is no link`() throws {
        let text = Self.text(at: nil)
        #expect(!text.body(upTo: 4000).contains("Look at it"))
        for (_, destination) in try Self.destinations() {
            let request = try #require(destination.request(text, .sample(1, .notification), at: .sample))
            #expect(!String(decoding: request.body ?? [], as: UTF8.self).contains("/ui/"))
        }
    }

    @Test(arguments: [
        (Notice.Event.freeze, "/ui/#/freeze"), (.auditChainBroken, "/ui/#/audit"),
        (.environmentDown, "/ui/#/environments/home"), (.test, "/ui/#/"),
    ])
    func `each event leads to its page`(event: Notice.Event, page: String) {
        let notice = Notice(event, at: .sample, environment: .sample, title: "t", facts: [])
        #expect(Self.text(notice).link == Self.publicURL + page)
    }

    // MARK: Signatures

    @Test func `a webhook is signed as Standard Webhooks shows it`() throws {
        let secret = try #require(WebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
        let signature = secret.signature(
            of: Array(#"{"test": 2432232314}"#.utf8), id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: 1_614_265_330)
        #expect(signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    }

    @Test(arguments: [
        "", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILA==", "whsec_not base64", "whsec_" + String(repeating: "A", count: 88),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw other",
    ])
    func `other secrets are refused`(text: String) {
        #expect(WebhookSecret.list(text) == nil)
    }

    @Test func `every try has the same id and body, and a time of its own`() throws {
        let destination = try Self.destinations()[0].1
        let tries = try [Date.sample, .sample.addingTimeInterval(3600)].map { now in
            try #require(destination.request(Self.text(), .sample(1, .notification), at: now))
        }
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"].compactMap { HTTPField.Name($0) }
        #expect(tries[0].body == tries[1].body && tries[0].fields[names[0]] == tries[1].fields[names[0]])
        #expect(tries[0].fields[names[1]] != tries[1].fields[names[1]])
        #expect(tries[0].fields[names[2]]?.split(separator: " ").count == 2)
    }

    // MARK: Mail

    @Test func `a mail has its headers and nothing else in them`() throws {
        let (from, to) = (try #require(MailAddress("agent@example.com")), try #require(MailAddress("ops@example.com")))
        let title = "Grüße 東京 👍 " + String(repeating: "ä", count: 150)
        let notice = Notice(.test, at: .sample, title: title, facts: Notice.hostile.facts)
        let mail = MailMessage(Self.text(notice), .sample(1, .notification), from: from, to: [to], at: .sample)
        let text = String(decoding: mail.bytes, as: UTF8.self)
        #expect(text.utf8.allSatisfy { $0 < 0x7F })
        let lines = text.replacing("\r\n", with: "\n").split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.allSatisfy { $0.utf8.count <= 78 && !$0.contains("\r") })
        let head = lines.prefix { !$0.isEmpty }
        #expect(
            head.filter { !$0.hasPrefix(" ") }.map { $0.prefix { $0 != ":" } } == [
                "Date", "From", "To", "Subject", "Message-ID", "MIME-Version", "Auto-Submitted", "Content-Type",
                "Content-Transfer-Encoding",
            ])
        let body = try #require(Data(base64Encoded: lines.dropFirst(head.count + 1).joined()))
        let decoded = String(decoding: body, as: UTF8.self)
        #expect(decoded.contains("Reason, in the caller's words") && decoded.contains("Bcc: all@example[.]com"))
    }

    @Test(
        arguments: [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"), (1_795_931_667, "Sun, 29 Nov 2026 05:54:27 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
        ] as [(Double, String)])
    func `dates are those of mail`(seconds: Double, text: String) {
        #expect(MailMessage.date(Date(timeIntervalSince1970: seconds)) == text)
    }

    @Test(arguments: [
        "", "a", "a@", "@b.example", "a@b@c", "a b@c.example", "a@c.example\r\nBcc: x@y", "<a@c.example>",
        "a..b@c.example", "a@-c.example", "ä@c.example", "\"a\"@c.example", "a@c.example>", "a,b@c.example",
    ])
    func `other mail addresses are refused`(text: String) {
        #expect(MailAddress(text) == nil)
    }

    @Test(arguments: [
        ("https://a.example", "/"), ("https://a.example?x=1", "/?x=1"), ("https://a.example:8443/b/c", "/b/c"),
    ])
    func `an address is an origin and what stands behind it`(text: String, target: String) throws {
        #expect(try NoticeAddress.of(text).target == target)
        #expect(try NoticeAddress.of(text).description.hasSuffix("/…"))
    }

    @Test(arguments: ["a.example/b", "https://a.example/#b", "https://a.example/b c", "https://a.example/ä"])
    func `other addresses are refused`(text: String) {
        #expect(NoticeAddress(text) == nil)
    }
}
