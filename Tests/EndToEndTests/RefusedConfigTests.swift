import FoundationEssentials
import StrictJSON
import Testing

/// A configuration that is wrong: one message that names the place and the cure, exit status 1, and nothing started.
@Suite(.timeLimit(.minutes(1)))
struct RefusedConfigTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var change: @Sendable (inout JSONObject) -> Void
        var variables: [String: String]
        /// The message, from its path on, begins so …
        var path: String
        /// … and holds these words.
        var words: [String]

        init(
            _ path: String, _ words: String..., variables: [String: String] = [:],
            change: @escaping @Sendable (inout JSONObject) -> Void = { _ in }
        ) {
            testDescription = "\(path) \(words.first ?? "")"
            self.path = path
            self.words = words
            self.variables = variables
            self.change = change
        }

        /// One that changes the second environment.
        init(
            second path: String, _ words: String..., variables: [String: String] = [:], set key: String, _ value: JSON?
        ) {
            testDescription = "environments[1].\(path) \(words.first ?? "")"
            self.path = "environments[1].\(path)"
            self.words = words
            self.variables = variables
            change = { object in
                guard var environments = object["environments"]?.array, var second = environments[1].object else {
                    return
                }
                second[key] = value
                environments[1] = .object(second)
                object["environments"] = .array(environments)
            }
        }
    }

    @Test(arguments: [
        Case("lisen_addr", "unknown") { $0["lisen_addr"] = ":1" },
        Case("listen_addr", "host:port") { $0["listen_addr"] = "8080" },
        Case("listen_addr", "expected a string") { $0["listen_addr"] = 8080 },
        Case("environments", "expected an array") { $0["environments"] = [:] },
        Case("environments[2]", "expected an object") { object in
            object["environments"] = object["environments"]?.array.map { .array($0 + [1]) }
        },
        Case("limits.threads", "1 to 16") { $0["limits"] = ["threads": 17] },
        Case("limits.treads", "unknown") { $0["limits"] = ["treads": 1] },
        Case("plans.ttl_seconds", "60 to 604800") { $0["plans"] = ["ttl_seconds": "long"] },
        Case("log.format", "text or json") { $0["log"] = ["format": "xml"] },
        Case("tls", "an object") { $0["tls"] = true },
        Case("state_path", "a file's path") { $0["state_path"] = "" },
        Case("state_path", "so is state_url", "take one out") { $0["state_url"] = "postgresql:///agent" },
        Case("state_key_path", "set state_url, or take this out") { $0["state_key_path"] = "/tmp/state.key" },
        Case("state_url", "holds a password", "state_password_file") {
            $0["state_path"] = nil
            $0["state_url"] = "postgresql://agent:in-the-file-e1f2@db.lan/agent"
        },
        Case("state_url", "does not prove the server", "sslmode=verify-full") {
            $0["state_path"] = nil
            $0["state_url"] = "postgresql://agent@db.lan/agent?sslmode=require"
        },
        Case("state_url", "postgresql://USER@HOST/DATABASE") {
            $0["state_path"] = nil
            $0["state_url"] = "mysql://in-the-file-e1f2"
        },
        Case("state_password_file", "cannot be opened") {
            $0["state_path"] = nil
            $0["state_url"] = "postgresql://agent@db.lan/agent"
            $0["state_password_file"] = "/nowhere/password"
        },
        Case(
            "principals[0].roles[0]", "viewer, operator, approver, auditor", variables: ["PROXMOX_AGENT_API_TOKEN": ""]
        ) {
            $0["principals"] = [["id": "alice", "token_env": "SECRET_alice", "roles": ["admin"]]]
        },
        Case("principals[0].token_sha256", "proxmox-agent token hash", variables: ["PROXMOX_AGENT_API_TOKEN": ""]) {
            $0["principals"] = [["id": "alice", "token_sha256": "in-the-file-e1f2", "roles": ["viewer"]]]
        },
        Case("PROXMOX_AGENT_API_TOKEN", "so are principals", "unset it") {
            $0["principals"] = [["id": "alice", "token_env": "SECRET_alice", "roles": ["viewer"]]]
        },
        Case("policy.rules[0].effect", "deny or require_approval") {
            $0["policy"] = ["rules": [["id": "x", "effect": "allow"]]]
        },
        Case("policy.rules[0].environments[0]", "(one, two)") {
            $0["policy"] = ["rules": [["id": "x", "effect": "deny", "environments": ["three"]]]]
        },
        Case(second: "name", "\"one\" is taken", "unique", set: "name", "one"),
        Case(second: "name", "A-Z a-z 0-9", set: "name", "a b"), Case(second: "name", "such as home", set: "name", nil),
        Case(
            second: "base_url", "\"http://pve2.lan:8006\" is not encrypted",
            "use https:// with tls.ca_file or tls.fingerprint_sha256", set: "base_url", "http://pve2.lan:8006"),
        Case(second: "base_url", "https:// or simulator://", set: "base_url", "ftp://pve.lan"),
        Case(second: "base_url", "scheme, host and port alone", set: "base_url", "https://pve.lan:8006/api2"),
        Case(second: "base_url", "1 to 65535", set: "base_url", "https://pve.lan:99999"),
        Case(second: "base_url", "a name such as home", set: "base_url", "simulator://a/b"),
        Case(second: "token_id", "agent@pve!home", set: "token_id", "root"),
        Case(second: "token_id", "agent@pve!home", set: "token_id", "root@pam!x=y"),
        Case(
            second: "token_secret_env", "SECRET_nowhere is not set", "export it", set: "token_secret_env",
            "SECRET_nowhere"),
        Case(second: "token_secret_env", "is missing", set: "token_secret_env", nil),
        Case(
            second: "token_secret_env", "white space or control characters", variables: ["SECRET_two": "a\n"],
            set: "name", "two"),
        Case(second: "token_secret_file", "not both", set: "token_secret_file", "/x"),
        Case(second: "token_secret", "unknown", set: "token_secret", "in-the-file-e1f2"),
        Case(second: "timeout_ms", "100 to 600000", set: "timeout_ms", 5),
        Case(second: "tls.fingerprint_sha256", "AA:BB:", set: "tls", ["fingerprint_sha256": "AA:BB"]),
        Case(second: "tls.ca_file", "cannot be opened", set: "tls", ["ca_file": "/nowhere/ca.pem"]),
        Case(second: "tls.verify", "unknown", set: "tls", ["verify": false]),
        Case("environments", "share one token secret", variables: ["SECRET_two": "one-8a61"]),
        Case(
            "PROXMOX_AGENT_API_TOKEN", "perhaps a newline", variables: ["PROXMOX_AGENT_API_TOKEN": "token-7d20\n"]),
        Case(
            "PROXMOX_AGENT_API_TOKEN", "\"change-me\" is for loopback with simulators only", "openssl rand",
            variables: ["PROXMOX_AGENT_API_TOKEN": "change-me"]),
    ])
    func `a flaw is named with its place and its cure`(flaw: Case) async throws {
        let place = try ConfigFile()
        var document = place.document
        flaw.change(&document)
        let config = try place.write(document)
        let variables = place.variables.merging(flaw.variables) { $1 }
            .merging(["SECRET_alice": "alice-and-twenty-more-5b7e"]) { $1 }
        for command in [["--config", config], ["serve", "--config", config], ["check", "--config", config]] {
            let result = try await Program(command, variables: variables).end()
            #expect(result.status == 1, "\(result)")
            let lines = result.err.split(separator: "\n")
            #expect(lines.count == 1, "\(result)")
            let line = try #require(lines.first)
            #expect(line.hasPrefix("config: \(flaw.path): "), "\(line)")
            for word in flaw.words { #expect(line.contains(word), "\(line)") }
            for secret in Array(place.variables.values) + ["token-7d20", "in-the-file-e1f2"] {
                #expect(!"\(result)".contains(secret))
            }
        }
    }

    @Test(arguments: [
        ("", ""), ("{", ""), ("[]", ""), ("{}x", ""),
        ("{\"listen_addr\":\":1\",\"listen_addr\":\":2\"}", "listen_addr"),
        ("{\"environments\":[{\"name\":\"a\",\"name\":\"b\"}]}", "environments[0].name"),
    ])
    func `what is no strict JSON is refused`(text: String, path: String) async throws {
        let place = try ConfigFile()
        let config = "\(place.directory)/config.json"
        try write(text, to: config)
        let result = try await Program.run("--config", config)
        #expect(result.status == 1)
        #expect(result.err.hasPrefix("config: \(path)"), "\(result)")
        #expect(result.err.split(separator: "\n").count == 1)
    }

    @Test func `a file that is not there is named`() async throws {
        let result = try await Program.run("--config", "/nowhere/config.json")
        #expect(result.status == 1)
        #expect(result.err.contains("/nowhere/config.json: cannot be opened"), "\(result)")
    }

    @Test func `the example's token is refused where others can connect, or a real PVE is there`() async throws {
        let place = try ConfigFile()
        for listen in ["0.0.0.0:0", ":0", "[::]:0"] {
            let config = try place.write([
                "listen_addr": .string(listen), "audit_log_path": .string("\(place.directory)/audit.log"),
                "state_path": .string("\(place.directory)/state.db"),
                "environments": [place.simulated("home")],
            ])
            let result = try await Program.run("--config", config, variables: ["PROXMOX_AGENT_API_TOKEN": "change-me"])
            #expect(result.status == 1)
            #expect(result.err.contains("change-me"), "\(result)")
        }
    }

    @Test func `everything that is wrong is said at once`() async throws {
        let place = try ConfigFile()
        var document = place.document
        document["listen_addr"] = 5
        document["nonsense"] = 1
        document["environments"] = [["name": "a b"]]
        let result = try await Program.run("--config", try place.write(document))
        let lines = result.err.split(separator: "\n")
        #expect(lines.allSatisfy { $0.hasPrefix("config: ") }, "\(result)")
        for path in ["listen_addr", "nonsense", "environments[0].name", "environments[0].base_url"] {
            #expect(lines.contains { $0.hasPrefix("config: \(path): ") }, "\(path) in \(result)")
        }
    }
}
