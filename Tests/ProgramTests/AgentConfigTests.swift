import AgentAPI
import AgentModel
import AgentPolicy
import AgentService
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import Glibc
import HTTPMessage
import Logging
import StrictJSON
import Testing

@testable import proxmox_agent

struct AgentConfigTests {
    static func config(
        _ text: String, _ variables: [String: String] = ["S": "s3cr3t-of-home"]
    ) throws(ConfigError) -> AgentConfig {
        try AgentConfig(bytes: Array(text.utf8), variables: variables)
    }

    /// What is wrong, line by line; nothing where it is right.
    static func wrong(_ text: String, _ variables: [String: String] = ["S": "s3cr3t-of-home"]) -> [String] {
        do throws(ConfigError) {
            _ = try config(text, variables)
            return []
        } catch {
            return error.lines
        }
    }

    /// A configuration with one environment whose fields are those of `text`.
    private static func environment(_ text: String) -> String { #"{"environments":[{\#(text)}]}"# }

    private static let good = #""name":"home","base_url":"https://pve.lan:8006","token_id":"agent@pve!home","#

    /// A file with a certificate as far as a configuration looks: it holds `-----BEGIN CERTIFICATE-----`.
    private static let authority = #filePath

    // MARK: What is right

    @Test func `an empty configuration is one of defaults`() throws {
        let config = try Self.config("{}", [:])
        #expect(config.listen == .tcp(host: "127.0.0.1", port: 8080))
        #expect(config.auditLogPath == "./data/audit.log")
        #expect(config.state.name == "./data/state.db")
        #expect(config.freezePath == nil)
        #expect(config.policy.rules.isEmpty)
        #expect(config.environments.isEmpty)
        #expect(config.credentials.isEmpty)
        #expect(config.tls == nil)
        #expect(config.limits.planSeconds == 3600)
        #expect(config.limits.highRiskPlanSeconds == 900)
        #expect(config.limits.livePlans == 100)
        #expect(config.limits.retentionSeconds == 86_400)
        #expect(config.limits.operations == 256)
        #expect(config.limits.environmentOperations == 8)
        #expect(config.serving.authDelay == .milliseconds(250))
        #expect(config.limits.shareReads)
        #expect(config.serving.maxBodyBytes == 1_048_576)
        #expect(config.serving.maxHeaderBytes == 16_384)
        #expect(config.serving.maxConnections == 1024)
        #expect(config.serving.idleTimeout == .seconds(60))
        #expect(config.serving.threads == nil)
        #expect(config.logFormat == .text)
        #expect(config.logLevel == .info)
    }

    @Test func `the example is right as it stands, without any variable`() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "config.example.json")
        let config = try AgentConfig(file: file.path, variables: [:])
        #expect(config.environments.map(\.settings.name.description) == ["home", "cloud"])
        #expect(config.isAllSimulated)
        #expect(config.environments.map(\.settings.acceptsDeclaredApprovals) == [true, true])
    }

    @Test func `an environment is read with all its fields`() throws {
        let pin = Array(repeating: "AB", count: 32).joined(separator: ":")
        let config = try Self.config(
            """
            {"listen_addr":"[::1]:9000","accept_declared_approvals":true,"environments":[{\(Self.good)
             "token_secret_env":"S","read_only":true,"timeout_ms":1500,"labels":{"site":"cellar"},
             "tls":{"fingerprint_sha256":"\(pin)"}}]}
            """, ["S": "s3cr3t-of-home", "PROXMOX_AGENT_API_TOKEN": "0123456789abcdef"])
        let environment = try #require(config.environments.first)
        #expect(environment.settings.name.description == "home")
        #expect(environment.settings.baseURL == "https://pve.lan:8006")
        #expect(environment.settings.tokenID == "agent@pve!home")
        #expect(environment.settings.readOnly && environment.settings.acceptsDeclaredApprovals)
        #expect(!environment.settings.isSimulator)
        #expect(environment.settings.labels == ["site": "cellar"])
        #expect(environment.timeout == .milliseconds(1500))
        #expect(environment.secret.reveal() == "s3cr3t-of-home")
        #expect(config.credentials == [Credentials(.shared, token: CredentialDigest(of: "0123456789abcdef".utf8))])
        #expect(config.listen == .tcp(host: "::1", port: 9000))
        #expect(!"\(config)".contains("s3cr3t-of-home"))
    }

    @Test func `another trust is another identity`() throws {
        func identity(_ tls: String) throws -> String {
            let config = try Self.config(Self.environment(Self.good + #""token_secret_env":"S""# + tls))
            return try #require(config.environments.first).settings.identity
        }
        let pins = ["AB", "CD"].map { Array(repeating: $0, count: 32).joined(separator: ":") }
        let identities =
            try ["", #","tls":{"ca_file":"\#(Self.authority)"}"#]
            .map(identity) + pins.map { try identity(#","tls":{"fingerprint_sha256":"\#($0)"}"#) }
        #expect(Set(identities).count == 4)
        #expect(try identity("") == identity(#","tls":{}"#))
    }

    // MARK: The keys

    /// A value that each key takes.
    private static let policyFile: String = {
        let file = FileManager.default.temporaryDirectory.appending(path: "policy-\(UUID()).json")
        try? Data(#"{"rules": []}"#.utf8).write(to: file)
        try? FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
        return file.path
    }()

    private static let values: [String: JSON] = [
        "listen_addr": ":8080", "audit_log_path": "/tmp/audit.log", "environments[].name": "home",
        "tls.cert_file": "/dev/null", "tls.key_file": "/dev/null", "tls.client_ca_file": "/dev/null",
        "principals[].cert_sha256": .string(ConfigCallersTests.digest), "state_path": "/tmp/state.db",
        "state_url": "postgresql:///agent", "state_password_file": .string(policyFile),
        "state_key_path": "/tmp/state.key", "agent_name": "pve-agent-1", "environments[].prefer_agent": "pve-agent-1",
        "audit_history_days": 7, "freeze_path": "/tmp/freeze", "principals[].id": "pi-agent",
        "principals[].token_sha256": .string(ConfigCallersTests.digest), "principals[].token_env": "S",
        "principals[].token_file": "/dev/null", "principals[].roles": ["viewer"],
        "principals[].environments": ["home"], "policy_path": .string(policyFile),
        "policy.$schema": "https://x.example/policy.schema.json",
        "policy.groups": ["ops": ["operator"]], "policy.rules[].description": "why",
        "policy.rules[].match": ["environments": ["home"]], "policy.rules[].id": "a-1.b_c",
        "policy.rules[].effect": "deny",
        "policy.rules[].approvals": 10, "policy.rules[].reason": "because", "policy.rules[].environments": ["home"],
        "policy.rules[].actions": ["start_vm"], "policy.rules[].targets": ["vm/*", "vm/101", "*"],
        "policy.rules[].tags": ["Prod"], "policy.rules[].principals": ["operator"],
        "metrics.token_sha256": .string(ConfigCallersTests.digest), "metrics.token_env": "S",
        "metrics.token_file": "/dev/null", "limits.environment_operations": 1000, "limits.auth_delay_ms": 0,
        "environments[].base_url": "https://pve.lan", "environments[].token_id": "agent@pve!home",
        "environments[].token_secret_env": "S", "environments[].token_secret_file": "/dev/null",
        "environments[].tls.ca_file": .string(authority),
        "environments[].tls.fingerprint_sha256": .string(Array(repeating: "0f", count: 32).joined(separator: ":")),
        "environments[].read_only": true, "environments[].timeout_ms": 100, "environments[].labels": ["a": "b"],
        "environments[].agent_exec_allow": ["uptime", "systemctl restart nginx"],
        "environments[].download_allow": ["https://cloud.debian.org/images/"],
        "accept_declared_approvals": true, "plans.ttl_seconds": 60, "plans.high_risk_ttl_seconds": 60,
        "plans.live_per_caller": 1, "plans.retention_seconds": 60, "limits.max_body_bytes": 1024,
        "limits.max_header_bytes": 4096, "limits.max_connections": 16, "limits.idle_timeout_ms": 1000,
        "plans.reserved_ids_per_caller": 1, "limits.request_timeout_ms": 1000, "limits.send_timeout_ms": 1000,
        "limits.pending_body_bytes": 1_048_576, "limits.pending_answer_bytes": 1_048_576,
        "limits.concurrent_per_caller": 2, "limits.requests_per_minute": 60,
        "limits.max_streams": 100, "limits.streams_per_caller": 10,
        "limits.stored_bytes_per_minute": 1_048_576, "limits.keys_per_caller": 1,
        "limits.key_bytes_per_caller": 1_048_576, "limits.min_free_bytes": 0,
        "limits.max_operations": 1, "limits.threads": 1, "limits.share_reads": false, "log.format": "json",
        "log.level": "debug", "mcp.enabled": false, "mcp.allowed_hosts": ["agent.lan"],
        "mcp.allowed_origins": ["https://agent.lan"], "public_url": "https://agent.lan:8443", "ui": false,
        "audit_origin": "agent.lan/home", "notify[].id": "on-call", "notify[].kind": "slack",
        "notify[].url": "https://hooks.lan/", "notify[].url_env": "S", "notify[].url_file": "/dev/null",
        "notify[].secret_env": "S", "notify[].secret_file": "/dev/null", "notify[].token_env": "S",
        "notify[].token_file": "/dev/null", "notify[].server": "smtp://mail.lan", "notify[].from": "a@b.lan",
        "notify[].to": ["c@d.lan"], "notify[].username": "a", "notify[].password_env": "S",
        "notify[].password_file": "/dev/null", "notify[].tls.ca_file": .string(authority),
        "notify[].tls.fingerprint_sha256": .string(Array(repeating: "0f", count: 32).joined(separator: ":")),
        "principals[].approval_keys": [
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGP5WCwi2kp/y3sLX+VE2AvCup1PbFDyCNDa22aD6N5j alice"
        ], "policy.rules[].assurance": "hardware", "audit_checkpoint_seconds": 1,
        "audit_witnesses[].url": "https://witness.lan/log",
        "audit_witnesses[].key": "witness.lan+7d9da512+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
        "audit_witnesses[].tls.ca_file": .string(authority),
        "audit_witnesses[].tls.fingerprint_sha256": .string(Array(repeating: "0f", count: 32).joined(separator: ":")),
        "notify[].events": ["freeze"], "notify[].environments": ["home"], "notify[].min_risk": "high",
    ]

    @Test(arguments: AgentConfig.keys.map(\.key))
    func `each documented key is taken`(key: String) throws {
        let value = try #require(Self.values[key], "give \(key) a value in this test")
        var document: JSONObject = [
            "environments": [
                [
                    "name": "home", "base_url": "https://pve.lan", "token_id": "agent@pve!home",
                    "token_secret_env": "S",
                ]
            ]
        ]
        if key.hasPrefix("principals") {
            document["principals"] = [["id": "abc", "token_sha256": .string(ConfigCallersTests.digest), "roles": []]]
        }
        if ["state_password_file", "state_key_path", "agent_name", "audit_history_days"].contains(key) {
            document["state_url"] = "postgresql:///agent"
        }
        if key.hasPrefix("policy.") {
            document["policy"] = ["rules": [["id": "abc", "effect": "require_approval"]]]
        }
        if key.hasPrefix("notify") { document["notify"] = [["id": "abc", "kind": .string(Self.kind(taking: key))]] }
        Self.set(value, key.split(separator: ".").map(String.init), in: &document)
        // A second source of a secret is refused, and so are no roles and half of `tls`: that the key is known is enough.
        let wrong = Self.wrong(JSON.object(document).text)
        #expect(wrong.allSatisfy { !$0.contains("unknown key") })
        // What a destination needs beside that, NotifyConfigTests says.
        if !key.contains("token_"), !["principals", "tls.", "notify", "audit_witnesses"].contains(where: key.hasPrefix)
        {
            #expect(wrong.isEmpty)
        }
        if key == "principals[].roles" { #expect(wrong.isEmpty) }
    }

    /// A kind of destination that has the key.
    private static func kind(taking key: String) -> String {
        let isOfMail = ["server", "from", "to", "username", "password_env", "password_file"].contains {
            key == "notify[].\($0)"
        }
        return isOfMail ? "email" : key.contains("token_") ? "gotify" : "webhook"
    }

    /// Sets what `steps` lead to, through the first element of a list where a step says so.
    private static func set(_ value: JSON, _ steps: [String], in object: inout JSONObject) {
        guard let first = steps.first else { return }
        guard steps.count > 1 else {
            object[first] = value
            return
        }
        let name = first.replacing("[]", with: "")
        var inner = (first == name ? object[name] : object[name]?.array?.first)?.object ?? JSONObject()
        set(value, Array(steps.dropFirst()), in: &inner)
        object[name] = first == name ? .object(inner) : [.object(inner)]
    }

    @Test func `each key that is taken is documented`() throws {
        let sections = [
            ("", ""), ("tls", "tls."), ("plans", "plans."), ("limits", "limits."), ("log", "log."), ("mcp", "mcp."),
            ("metrics", "metrics."),
        ]
        var taken: Set<String> = []
        func collect(_ text: String, _ prefix: String) throws {
            let line = try #require(Self.wrong(text).first { $0.contains("unknown key; known here: ") })
            let known = try #require(line.split(separator: "known here: ").last).split(separator: ", ")
            taken.formUnion(known.map { prefix + $0 })
        }
        for (section, prefix) in sections {
            try collect(section.isEmpty ? #"{"nonsense":1}"# : #"{"\#(section)":{"nonsense":1}}"#, prefix)
        }
        try collect(Self.environment(#""nonsense":1"#), "environments[].")
        try collect(Self.environment(#""tls":{"nonsense":1}"#), "environments[].tls.")
        try collect(#"{"principals":[{"nonsense":1}]}"#, "principals[].")
        try collect(#"{"policy":{"nonsense":1}}"#, "policy.")
        try collect(#"{"policy":{"rules":[{"nonsense":1}]}}"#, "policy.rules[].")
        for kind in ["webhook", "gotify", "email"] {
            try collect(#"{"notify":[{"id":"abc","kind":"\#(kind)","nonsense":1}]}"#, "notify[].")
        }
        try collect(#"{"notify":[{"tls":{"nonsense":1}}]}"#, "notify[].tls.")
        try collect(#"{"audit_witnesses":[{"nonsense":1}]}"#, "audit_witnesses[].")
        try collect(#"{"audit_witnesses":[{"tls":{"nonsense":1}}]}"#, "audit_witnesses[].tls.")
        let groups: Set = [
            "audit_witnesses", "audit_witnesses[].tls", "notify", "notify[].tls", "tls", "environments", "plans",
            "limits", "log", "mcp", "environments[].tls",
            "principals", "policy",
            "policy.rules", "metrics",
        ]
        #expect(taken.subtracting(groups) == Set(AgentConfig.keys.map(\.key)))
    }

    // MARK: What is wrong

    struct Wrong: Sendable, CustomTestStringConvertible {
        let text: String
        let line: String
        var variables = ["S": "s3cr3t-of-home"]
        var testDescription: String { line }

        init(_ text: String, _ line: String, _ variables: [String: String] = ["S": "s3cr3t-of-home"]) {
            self.text = text
            self.line = line
            self.variables = variables
        }
    }

    static let documents: [Wrong] = [
        Wrong("[]", "the configuration must be a JSON object, not an array"),
        Wrong(#"{"listen_addr":1}"#, "listen_addr: expected a string, got 1"),
        Wrong(
            #"{"listen_addr":"8080"}"#,
            #"listen_addr: expected host:port, :port, [v6]:port or unix:/path, got "8080""#),
        Wrong(
            #"{"state_url":5611,"state_password_file":"/dev/null","state_key_path":"k","agent_name":"a","audit_history_days":9}"#,
            "state_url: expected a string, got 5611"),
        Wrong(#"{"audit_log_path":""}"#, #"audit_log_path: expected a file's path, got """#),
        Wrong(
            #"{"accept_declared_approvals":"yes"}"#, #"accept_declared_approvals: expected true or false, got "yes""#),
        Wrong(#"{"environments":{}}"#, "environments: expected an array, got an object"),
        Wrong(#"{"environments":[1]}"#, "environments[0]: expected an object, got an integer"),
        Wrong(#"{"plans":[]}"#, "plans: expected an object, got an array"),
        Wrong(
            #"{"plans":{"ttl_seconds":59}}"#, "plans.ttl_seconds: expected an integer from 60 to 604800 (s), got 59"),
        Wrong(
            #"{"plans":{"ttl":60}}"#,
            "plans.ttl: unknown key; known here: high_risk_ttl_seconds, live_per_caller, reserved_ids_per_caller, retention_seconds, ttl_seconds"
        ),
        Wrong(
            #"{"limits":{"threads":0}}"#, "limits.threads: expected an integer from 1 to 16, got 0"),
        Wrong(
            #"{"limits":{"max_body_bytes":10000.5}}"#,
            "limits.max_body_bytes: expected an integer from 1024 to 16777216 (bytes), got 10000.5"),
        Wrong(#"{"log":{"format":"xml"}}"#, #"log.format: expected text or json, got "xml""#),
        Wrong(
            #"{"log":{"level":"loud"}}"#,
            "log.level: expected one of trace, debug, info, notice, warning, error, critical, got \"loud\""),
    ]

    static let environments: [Wrong] = [
        Wrong(
            environment(#""base_url":"https://pve.lan","token_id":"a@pve!tt","token_secret_env":"S""#),
            "environments[0].name: is missing; expected a name such as home"),
        Wrong(
            environment(#""name":"home","token_id":"a@pve!tt","token_secret_env":"S""#),
            "environments[0].base_url: is missing; expected https://host:8006 or simulator://NAME"),
        Wrong(
            environment(#""name":"home","base_url":"https://pve.lan","token_secret_env":"S""#),
            "environments[0].token_id: is missing; expected a PVE token id such as agent@pve!home"),
        Wrong(
            environment(#""name":"a b","base_url":"https://pve.lan","token_id":"a@pve!tt","token_secret_env":"S""#),
            #"environments[0].name: expected 1 to 64 of A-Z a-z 0-9 . _ -, got "a b""#),
        Wrong(
            environment(#""name":"home","base_url":"pve.lan","token_id":"a@pve!tt","token_secret_env":"S""#),
            "environments[0].base_url: must start with https:// or simulator://"),
        Wrong(
            environment(
                #""name":"home","base_url":"http://pve.lan:8006","token_id":"a@pve!tt","token_secret_env":"S""#),
            "environments[0].base_url: \"http://pve.lan:8006\" is not encrypted; use https:// with tls.ca_file or "
                + "tls.fingerprint_sha256"),
        Wrong(
            environment(#""name":"home","base_url":"https://pve.lan:0","token_id":"a@pve!tt","token_secret_env":"S""#),
            "environments[0].base_url: has no valid port; 1 to 65535"),
        Wrong(
            environment(#""name":"home","base_url":"https://","token_id":"a@pve!tt","token_secret_env":"S""#),
            "environments[0].base_url: has no valid host name or address"),
        Wrong(
            environment(
                #""name":"home","base_url":"https://pve.lan/api2","token_id":"a@pve!tt","token_secret_env":"S""#),
            "environments[0].base_url: must be scheme, host and port alone: https://pve.lan:8006"),
        Wrong(
            environment(#""name":"home","base_url":"simulator://../x","token_id":"a@pve!tt""#),
            #"environments[0].base_url: simulator:// takes a name such as home, got "../x""#),
        Wrong(
            environment(good + #""token_secret_env":"S","timeout_ms":99"#),
            "environments[0].timeout_ms: expected an integer from 100 to 600000 (ms), got 99"),
        Wrong(
            environment(good + #""token_secret_env":"S","labels":{"a":1}"#),
            "environments[0].labels.a: expected a string"),
        Wrong(
            environment(good + #""token_secret_env":"S","agent_exec_allow":["uptime"," "]"#),
            #"environments[0].agent_exec_allow[1]: expected a command: its words, separated by blanks, got " ""#),
        Wrong(
            environment(good + #""token_secret_env":"S","download_allow":["https://example.org"]"#),
            #"environments[0].download_allow[0]: expected https://HOST/, at least, got "https://example.org""#),
        Wrong(
            environment(good + #""token_secret_env":"S","download_allow":["https://a/%2e%2e/"]"#),
            #"environments[0].download_allow[0]: expected https://HOST/, at least, got "https://a/%2e%2e/""#),
        Wrong(
            environment(good + #""token_secret_env":"S","download_allow":["https://me:hush@a/"]"#),
            #"environments[0].download_allow[0]: expected https://HOST/, at least, got "https://<redacted>@a/""#),
        Wrong(
            environment(good + #""token_secret_env":"S","tls":{"fingerprint_sha256":"AB:CD"}"#),
            "environments[0].tls.fingerprint_sha256: expected 32 hexadecimal bytes with colons, AA:BB:…, as PVE shows "
                + "them, got \"AB:CD\""),
        Wrong(
            environment(good + #""token_secret_env":"S","tls":{"ca_file":"/nowhere/ca.pem"}"#),
            "environments[0].tls.ca_file: /nowhere/ca.pem: cannot be opened: No such file or directory; name a file that this user can read"
        ),
        Wrong(
            environment(good + #""token_secret_env":"S","tls":{"ca_file":"/etc/passwd"}"#),
            "environments[0].tls.ca_file: /etc/passwd holds no certificate in PEM form"),
        Wrong(
            environment(good + #""token_secret_env":"S","tls":{"insecure":true}"#),
            "environments[0].tls.insecure: unknown key; known here: ca_file, fingerprint_sha256"),
        Wrong(
            #"{"environments":[{\#(good)"token_secret_env":"S"},{\#(good)"token_secret_env":"T"}]}"#,
            #"environments[1].name: "home" is taken by another environment; names are unique"#,
            ["S": "s3cr3t-one", "T": "s3cr3t-two"]),
        Wrong(
            #"{"environments":[{\#(good)"token_secret_env":"S"},{"name":"b","base_url":"https://b","token_id":"a@bb!cc","#
                + #""token_secret_env":"S"}]}"#,
            "environments: two environments share one token secret; give each its own"),
    ]

    static let secrets: [Wrong] = [
        Wrong(
            environment(good + #""read_only":false"#),
            "environments[0].token_secret_env: is missing; name the variable that holds the token's secret"),
        Wrong(
            environment(good + #""token_secret_env":"S""#),
            "environments[0].token_secret_env: S is not set; export it, or use token_secret_file", [:]),
        Wrong(
            environment(good + #""token_secret_env":"S""#),
            "environments[0].token_secret_env: S is not set; export it, or use token_secret_file", ["S": ""]),
        Wrong(
            environment(good + #""token_secret_env":"S""#),
            "environments[0].token_secret_env: S holds white space or control characters; set it anew",
            ["S": "s3cr3t\n"]),
        Wrong(
            environment(good + #""token_secret_env":"S","token_secret_file":"/dev/null""#),
            "environments[0].token_secret_file: give either token_secret_env or token_secret_file, not both"),
        Wrong(
            environment(good + #""token_secret_file":"/nowhere/secret""#),
            "environments[0].token_secret_file: /nowhere/secret: cannot be opened: No such file or directory; name a file that this user can read"
        ),
        Wrong(
            environment(good + #""token_secret_file":"/dev/null""#),
            "environments[0].token_secret_file: /dev/null: is no regular file; name one"),
        Wrong(
            environment(good + #""token_secret_file":"$CREDENTIALS_DIRECTORY/pve""#),
            "environments[0].token_secret_file: $CREDENTIALS_DIRECTORY is not set; systemd sets it for LoadCredential="),
        Wrong(
            environment(good + #""token_secret_env":"s3cr3t-of-home""#),
            "environments[0].token_secret_env: must be the name of a variable, of A-Z a-z 0-9 _; the secret itself has "
                + "no place in this file"),
        Wrong(
            environment(
                #""name":"home","base_url":"https://pve.lan","token_id":"a@pve!t=s3cr3t","token_secret_env":"S""#),
            "environments[0].token_id: must be a PVE token id such as agent@pve!home, without its secret; "
                + "realm and name have two characters at least"),
        Wrong(
            environment(good + #""token_secret_env":"S","token_secret":"s3cr3t-of-home""#),
            "environments[0].token_secret: unknown key; known here: agent_exec_allow, base_url, download_allow, "
                + "labels, name, prefer_agent, read_only, timeout_ms, tls, token_id, token_secret_env, token_secret_file"
        ),
        Wrong(
            environment(
                #""name":"home","base_url":"https://a:s3cr3t@pve.lan","token_id":"a@pve!tt","token_secret_env":"S""#),
            "environments[0].base_url: must be scheme, host and port alone: https://pve.lan:8006"),
        Wrong(
            environment(
                #""name":"home","base_url":"http://a:s3cr3t@pve.lan","token_id":"a@pve!tt","token_secret_env":"S""#),
            "environments[0].base_url: must be scheme, host and port alone: https://pve.lan:8006"),
        Wrong(
            "{}",
            "PROXMOX_AGENT_API_TOKEN: the variable holds white space or control characters, perhaps a newline at its "
                + "end; set it anew", ["PROXMOX_AGENT_API_TOKEN": "s3cr3t-token\n"]),
        Wrong(
            #"{"listen_addr":":8080"}"#,
            "PROXMOX_AGENT_API_TOKEN: \"change-me\" is for loopback with simulators only; make a token with: openssl "
                + "rand -hex 32", ["PROXMOX_AGENT_API_TOKEN": "change-me"]),
        Wrong(
            environment(good + #""token_secret_env":"S""#),
            "PROXMOX_AGENT_API_TOKEN: \"change-me\" is for loopback with simulators only; make a token with: openssl "
                + "rand -hex 32", ["S": "s3cr3t-of-home", "PROXMOX_AGENT_API_TOKEN": "change-me"]),
    ]

    @Test(arguments: documents + environments + secrets)
    func `what is wrong is told in one line with its place and the cure, and without secrets`(given: Wrong) {
        let lines = Self.wrong(given.text, given.variables)
        #expect(lines == [given.line])
        #expect(!lines.joined().contains("s3cr3t"))
    }

    @Test(arguments: [
        "", "{", "{}x", #"{"listen_addr":":1","listen_addr":":2"}"#, #"{"a":}"#, "{\"a\":\"\u{1}\"}", "\u{FEFF}{}",
    ])
    func `what is no JSON is told with its byte`(text: String) throws {
        let line = try #require(Self.wrong(text).first)
        #expect(line.contains("(byte ") || line.contains("listen_addr"), "\(line)")
        #expect(Self.wrong(text).count == 1)
    }

    @Test func `all that is wrong is told at once`() {
        let lines = Self.wrong(
            #"{"listen_addr":1,"plans":{"ttl_seconds":0},"environments":[{"name":"a b"},2],"#
                + #""principals":[{"id":"x"}],"policy":{"rules":[{}]},"tls":{},"x":1}"#)
        let places = lines.map { $0.prefix { $0 != ":" } }
        #expect(
            Set(places) == [
                "listen_addr", "plans.ttl_seconds", "environments[0].name", "environments[0].base_url",
                "environments[0].token_id", "environments[0].token_secret_env", "environments[1]", "principals[0].id",
                "principals[0].token_sha256", "principals[0].roles", "policy.rules[0].id", "policy.rules[0].effect",
                "tls.cert_file", "tls.key_file", "x",
            ])
    }

    @Test(arguments: [
        "agent", "agent@pve", "agent!home", "@pve!home", "agent@!home", "agent@pve!", "agent@pve!a!b",
        "a gent@pve!home",
        "agent@pve!home\n", "agent@pve!h", "agent@p!home", "agent@pve!1st", "agent@pve!ho:me", "agent@pve!hömé", "",
    ])
    func `a token id is user, realm and name`(id: String) throws {
        let text = JSON.string(id).text
        let lines = Self.wrong(
            Self.environment(#""name":"home","base_url":"https://pve.lan","token_id":\#(text),"token_secret_env":"S""#))
        #expect(
            lines == [
                "environments[0].token_id: must be a PVE token id such as agent@pve!home, without its secret; "
                    + "realm and name have two characters at least"
            ])
    }

    @Test func `a secret is read from a file that not everybody can read`() throws {
        let directory = try TemporaryDirectory()
        let file = "\(directory.path)/pve"
        func write(_ text: String, _ mode: mode_t) throws {
            try Data(text.utf8).write(to: URL(filePath: file))
            #expect(chmod(file, mode) == 0)
        }
        let text = Self.environment(Self.good + #""token_secret_file":"$CREDENTIALS_DIRECTORY/pve""#)
        let variables = ["CREDENTIALS_DIRECTORY": directory.path]
        for content in ["s3cr3t", "s3cr3t\n"] {
            try write(content, 0o600)
            #expect(try Self.config(text, variables).environments.first?.secret.reveal() == "s3cr3t")
        }
        for content in ["", "\n", "s3cr3t\n\n", "s3cr3t s3cr3t", "s3cr3t\nmore", "s3cr3t\u{0}"] {
            try write(content, 0o600)
            #expect(
                Self.wrong(text, variables)
                    == ["environments[0].token_secret_file: \(file) must hold the secret alone, on one line"])
        }
        try write("s3cr3t", 0o604)
        #expect(
            Self.wrong(text, variables)
                == ["environments[0].token_secret_file: \(file): everybody can read it; chmod 600 \(file)"])
    }

    @Test(
        arguments: [
            (0o600, ""), (0o400, ""), (0o640, "others may read or write it; chmod 600"),
            (0o620, "others may read or write it; chmod 600"), (0o604, "everybody can read it; chmod 600"),
        ] as [(mode_t, String)])
    func `the file of the state's password is private`(mode: mode_t, words: String) throws {
        let directory = try TemporaryDirectory()
        let file = "\(directory.path)/password"
        try Data("s3cr3t".utf8).write(to: URL(filePath: file))
        #expect(chmod(file, mode) == 0)
        let lines = Self.wrong(#"{"state_url":"postgresql:///agent","state_password_file":"\#(file)"}"#)
        #expect(lines == (words.isEmpty ? [] : ["state_password_file: \(file): \(words) \(file)"]))
    }

    @Test func `what is wrong with a file is told with the cure`() throws {
        let directory = try TemporaryDirectory()
        let file = "\(directory.path)/password"
        try Data(repeating: 0x61, count: 4097).write(to: URL(filePath: file))
        #expect(chmod(file, 0o600) == 0)
        for (path, words) in [
            (file, "is larger than 4096 bytes; name the file that is meant"),
            ("/dev/null", "is no regular file; name one"),
            ("/nowhere/x", "cannot be opened: No such file or directory; name a file that this user can read"),
        ] {
            let lines = Self.wrong(#"{"state_url":"postgresql:///agent","state_password_file":"\#(path)"}"#)
            #expect(lines == ["state_password_file: \(path): \(words)"])
        }
    }
}
