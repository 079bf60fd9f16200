import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import Testing

@testable import proxmox_agent

/// Destinations of notifications in the configuration, as they are read.
struct NotifyConfigTests {
    private static let signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    private static let variables = [
        "S": signing, "TWO": "\(signing) \(signing)", "T": "app-token", "P": "the password", "BAD": "s3cret value",
        "HOOK": "https://hooks.example/services/T0/B0/s3cret", "PLAIN": "http://hooks.example/s3cret",
    ]

    private static func document(_ targets: String...) -> String {
        """
        {"environments":[{"name":"lab","base_url":"simulator://lab","token_id":"agent@pve!lab"}],
         "notify":[\(targets.joined(separator: ","))]}
        """
    }

    @Test(arguments: [
        #"{"id":"a","kind":"webhook","url":"https://a.example/x","secret_env":"S"}"#,
        #"{"id":"a","kind":"webhook","url":"http://localhost:1/x","secret_env":"TWO"}"#,
        #"{"id":"a","kind":"webhook","url_env":"HOOK","secret_env":"S","tls":{"fingerprint_sha256":"\#(pin)"}}"#,
        #"{"id":"a","kind":"ntfy","url":"https://ntfy.sh/topic"}"#,
        #"{"id":"a","kind":"ntfy","url":"https://ntfy.example/topic","token_env":"T"}"#,
        #"{"id":"a","kind":"gotify","url":"https://gotify.example","token_env":"T"}"#,
        #"{"id":"a","kind":"slack","url_env":"HOOK"}"#, #"{"id":"a","kind":"discord","url_env":"HOOK"}"#,
        #"{"id":"a","kind":"mattermost","url_env":"HOOK","min_risk":"high","environments":["lab"]}"#,
        #"{"id":"a","kind":"email","server":"smtp://localhost:25","from":"a@b.example","to":["c@d.example"]}"#,
        #"""
        {"id":"a","kind":"email","server":"smtps://mail.example","from":"a@b.example","to":["c@d.example"],
         "username":"a","password_env":"P","events":["operation_ended:failed","freeze"]}
        """#,
    ])
    func `every kind of destination is read`(target: String) throws {
        let config = try AgentConfigTests.config(Self.document(target), Self.variables)
        let subscription = try #require(config.notify.first?.subscription)
        #expect(config.notify.count == 1 && subscription.target == "a")
        let standard = NoticeSubscription.Topic.standard.map(\.description).sorted()
        #expect(
            target.contains("events")
                ? subscription.topics.map(\.description).sorted() == ["freeze", "operation_ended:failed"]
                : subscription.topics.map(\.description).sorted() == standard)
        #expect(!"\(config.notify)".contains("s3cret") && !"\(config.notify)".contains("the password"))
    }

    @Test func `the log names the destinations that are in force`() throws {
        let targets = ["phone", "chat"].map { #"{"id":"\#($0)","kind":"slack","url_env":"HOOK"}"# }
        let config = try AgentConfigTests.config(Self.document(targets[0], targets[1]), Self.variables)
        #expect(config.notifyNames == "phone, chat")
        let topics = NoticeSubscription.Topic.standard.map(\.description).sorted().joined(separator: ", ")
        #expect(
            config.notify.map(\.line).first
                == "notifications phone: to https://hooks.example:443, \(topics) in all environments")
        #expect(try AgentConfigTests.config(Self.document(), Self.variables).notifyNames == "nobody")
    }

    private static let pin = Array(repeating: "AB", count: 32).joined(separator: ":")

    @Test(arguments: [
        (#"{"kind":"slack","url_env":"HOOK"}"#, "id: is missing; expected a name such as on-call"),
        (
            #"{"id":"a"}"#,
            "kind: is missing; expected one of webhook, ntfy, gotify, slack, discord, mattermost, email"
        ),
        (
            #"{"id":"a","kind":"slack","url":"https://hooks.example/s3cret"}"#,
            "url: is a secret: whoever knows it can post there; use url_env or url_file"
        ),
        (#"{"id":"a","kind":"slack"}"#, "url_env: is missing; name the destination's address"),
        (
            #"{"id":"a","kind":"slack","url_env":"PLAIN"}"#,
            "url_env: is not encrypted; http:// is for loopback only, use https://"
        ),
        (#"{"id":"a","kind":"slack","url_env":"NONE"}"#, "url_env: NONE is not set; export it, or use url_file"),
        (
            #"{"id":"a","kind":"slack","url_env":"https://hooks.example/s3cret"}"#,
            "url_env: must be the name of a variable, of A-Z a-z 0-9 _; the secret itself has no place in this file"
        ),
        (
            #"{"id":"a","kind":"webhook","url":"https://u:s3cret@a.example/","secret_env":"S"}"#,
            "url: has a user or password in it; leave it out"
        ),
        (
            #"{"id":"a","kind":"webhook","url":"https://a.example/","secret_env":"BAD"}"#,
            "secret_env: must hold whsec_ and 24 to 64 bytes in base64, up to four of them; "
                + "make one: echo whsec_$(openssl rand -base64 32)"
        ),
        (
            #"{"id":"a","kind":"webhook","url":"https://a.example/"}"#,
            "secret_env: is missing; make one: echo whsec_$(openssl rand -base64 32)"
        ),
        (
            #"{"id":"a","kind":"ntfy","url":"https://ntfy.sh/"}"#,
            "url: must end in the topic: https://ntfy.example/TOPIC"
        ),
        (
            #"{"id":"a","kind":"gotify","url":"https://g.example","token_env":"BAD"}"#,
            "token_env: must hold the token alone, on one line"
        ),
        (
            #"{"id":"a","kind":"email","server":"mail.example","from":"a@b.example","to":["c@d.example"]}"#,
            "server: must start with smtp:// or smtps://"
        ),
        (
            #"{"id":"a","kind":"email","server":"smtp://m.example","from":"a","to":["c@d.example"]}"#,
            #"from: expected a mail address such as agent@example.com, got "a""#
        ),
        (
            #"{"id":"a","kind":"email","server":"smtp://m.example","from":"a@b.example","to":[]}"#,
            "to: is empty; expected a mail address such as ops@example.com"
        ),
        (
            #"""
            {"id":"a","kind":"email","server":"smtp://m.example","from":"a@b.example","to":["c@d.example"],
             "username":"a"}
            """#, "password_env: is missing; name the variable with the password of username"
        ),
        (
            #"{"id":"a","kind":"slack","url_env":"HOOK","environments":["prod"]}"#,
            #"environments[0]: expected the name of one environment here (lab), got "prod""#
        ),
    ])
    func `what is wrong is told with its place and its cure, and no secret`(target: String, line: String) {
        let lines = AgentConfigTests.wrong(Self.document(target), Self.variables)
        #expect(lines == ["notify[0].\(line)"])
        #expect(!lines.joined().contains("s3cret"))
    }

    @Test func `other events, keys of other kinds and a name twice are refused`() {
        let slack = #"{"id":"a","kind":"slack","url_env":"HOOK"}"#
        let wrong = AgentConfigTests.wrong(
            Self.document(
                slack, slack, #"{"id":"b","kind":"slack","url_env":"HOOK","events":["fire"],"from":"a@b.example"}"#),
            Self.variables)
        #expect(wrong.count == 3)
        #expect(wrong.contains(#"notify[1].id: "a" is taken by notify[0]; ids are unique"#))
        #expect(wrong.contains { $0.hasPrefix("notify[2].events[0]: expected one of approval_wanted, plan_expiring") })
        #expect(wrong.contains { $0.hasPrefix("notify[2].from: ") })
    }

    @Test func `a world-readable secret is refused`() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/secret"
        try Self.signing.write(toFile: path, atomically: false, encoding: .utf8)
        let wrong = AgentConfigTests.wrong(
            Self.document(#"{"id":"a","kind":"webhook","url":"https://a.example/","secret_file":"\#(path)"}"#),
            Self.variables)
        #expect(wrong == ["notify[0].secret_file: \(path): everybody can read it; chmod 600 \(path)"])
    }

    @Test func `destinations take effect without a restart`() throws {
        let configs = try ["https://a.example/", "https://b.example/"].map { url in
            try AgentConfigTests.config(
                Self.document(#"{"id":"a","kind":"webhook","url":"\#(url)","secret_env":"S"}"#), Self.variables)
        }
        #expect(configs[0].needsRestart(for: configs[1]).isEmpty)
    }
}
