import AgentAPI
import AgentModel
import AgentPolicy
import AgentService
import AgentStorage
import CurlHTTP
import HTTPMessage
import Logging
import MicroHTTPD
import StrictJSON

/// The settings for `serve` and `check`: the configuration file, read and checked.
struct AgentConfig: Sendable {
    /// The location of an environment's PVE.
    enum Endpoint: Sendable {
        case remote(HTTPOrigin, ServerTrust)
        /// A built-in simulator that the agent starts itself.
        case simulator(name: String)
    }

    struct Environment: Sendable {
        let settings: EnvironmentSettings
        let endpoint: Endpoint
        let secret: Secret
        let timeout: Duration
    }

    enum LogFormat: String, Sendable, CaseIterable {
        case text, json
    }

    /// The limits of the HTTP server.
    struct Serving: Sendable {
        var maxBodyBytes = 1 << 20
        var maxHeaderBytes = 16_384
        var maxConnections = 1024
        var idleTimeout = Duration.seconds(60)
        var requestTimeout = Duration.seconds(30)
        var sendTimeout = Duration.seconds(10)
        /// Concurrent requests of one caller.
        var concurrentOfCaller = 128
        /// Event streams, and those of one caller.
        var maxStreams = 2048
        var streamsOfCaller = 256
        /// Bodies that are not fully received, and responses that are not fully sent, in bytes.
        var pendingBodyBytes = 16 << 20
        var pendingAnswerBytes = 64 << 20
        var rates = RateLimits()
        /// With less free space than this, no new requests are accepted.
        var minFreeBytes = 64 << 20
        var threads: Int?
        /// The delay of the answer to a failed authentication; longer with more failures of one source.
        var authDelay = Duration.milliseconds(250)
    }

    /// The Model Context Protocol at `/mcp`.
    struct MCP: Sendable {
        var isEnabled = true
        /// Names of this agent beside the loopback names and the address that it listens on.
        var allowedHosts: [String] = []
        /// Origins of web pages that may ask.
        var allowedOrigins: [String] = []
    }

    /// A principal as in the file.
    struct Holder: Sendable {
        /// Its index in the list.
        let index: Int
        let principal: Principal
        let roles: [Role]
        let token: CredentialDigest?
        let certificate: CredentialDigest?
    }

    var listen = ListenAddress.tcp(host: "127.0.0.1", port: 8080)
    var auditLogPath = "./data/audit.log"
    var state = StateLocation.file(AgentConfig.usualState)
    /// The agent's name among several on one state in PostgreSQL; `nil` for a state in a file.
    var agentName: String?
    /// The listener's TLS credentials; `nil` for plain HTTP.
    var tls: TLSCredentials?
    /// Where people reach the agent; `nil` to follow from `listen`.
    var publicURL: HTTPOrigin?
    /// The name in signatures and checkpoints; `nil` for one made of the machine's name and the state's id.
    var auditOrigin: String?
    /// How often a checkpoint of the audit log is signed.
    var checkpointInterval = Duration.seconds(60)
    var witnesses: [WitnessSettings] = []
    /// Serve the console.
    var hasConsole = true
    /// While this file exists, no change starts.
    var freezePath: String?
    var environments: [Environment] = []
    var limits = Limits()
    var serving = Serving()
    var mcp = MCP()
    var logFormat = LogFormat.text
    var logLevel = Logger.Level.info
    /// The digest of the shared token; `nil` if none is set.
    var sharedToken: CredentialDigest?
    var principals: [Holder] = []
    /// The credentials of principals that no file names; see ``Demonstration``.
    var demonstration: [Credentials] = []
    /// Where people are told what happens.
    var notify: [NotifyTarget] = []
    /// The digest of the token that may read figures; `nil` if none is set.
    var scrapeToken: CredentialDigest?
    var policy = Policy()
    /// The policy's own file, if it has one.
    var policyPath: String?
    /// The file as it was read.
    var document = JSONObject()

    /// All valid credentials. If there are none, every `/v1` route answers 503.
    var credentials: [Credentials] {
        (sharedToken.map { [Credentials(.shared, token: $0)] } ?? [])
            + principals.map { Credentials($0.principal, token: $0.token, certificate: $0.certificate) } + demonstration
    }

    /// What can be replaced while the agent runs.
    var rules: Rules { Rules(directory: Directory(credentials.map(\.principal)), policy: policy) }

    var isAllSimulated: Bool { environments.allSatisfy(\.settings.isSimulator) }
}

/// All errors of a configuration, one line each: place and remedy.
struct ConfigError: Error, Sendable, Hashable, CustomStringConvertible {
    let lines: [String]

    var description: String { lines.map { "config: " + $0 }.joined(separator: "\n") }
}

extension AgentConfig {
    /// The settings, as `--help`, the documents and error texts name them.
    static let keys: [(key: String, meaning: String)] = [
        ("listen_addr", "where to listen: host:port, :port, [v6]:port or unix:/path; 127.0.0.1:8080"),
        ("tls.cert_file", "serve TLS with this certificate chain, PEM; plain HTTP"),
        ("tls.key_file", "its key, PEM; $CREDENTIALS_DIRECTORY is understood"),
        ("tls.client_ca_file", "authorities for client certificates, PEM; clients may then present one"),
        ("public_url", "where people reach the agent, https://host[:port]; made from listen_addr"),
        ("ui", "serve the web console at /ui/; true"),
        ("audit_log_path", "the audit log, made with mode 0600; ./data/audit.log"),
        ("audit_origin", "the agent's name in signatures and checkpoints; proxmox-agent/HOSTNAME/ID"),
        ("audit_checkpoint_seconds", "how often the audit log's tree is signed, 1 to 86400; 60"),
        (
            "audit_witnesses[].url",
            "a witness that signs it too, https://host[:port][/path], http:// for loopback; required"
        ),
        ("audit_witnesses[].key", "its verifier key, as proxmox-agent witness prints it; required"),
        ("audit_witnesses[].tls.ca_file", "PEM file of the authority to trust instead of the system's"),
        ("audit_witnesses[].tls.fingerprint_sha256", "or the certificate's SHA-256, AA:BB:…"),
        ("state_path", "plans, operations and approvals, made with mode 0600; ./data/state.db"),
        ("state_url", "or a PostgreSQL database for them, postgresql://USER@HOST/DATABASE, without a password"),
        ("state_password_file", "the file with its password; $CREDENTIALS_DIRECTORY is understood"),
        ("state_key_path", "the installation's key for a state there, made with mode 0600; ./data/state.key"),
        ("agent_name", "this agent's name among several on one PostgreSQL state; the machine's name"),
        (
            "audit_history_days",
            "how long the audit records of several agents stay in their state, for events and searches, 1 to 3650; 90"
        ),
        ("freeze_path", "a file whose presence blocks all changes; none"),
        ("environments[].name", "the environment's name; required"),
        ("environments[].base_url", "https://host:8006, http:// for loopback, or simulator://NAME; required"),
        ("environments[].token_id", "the PVE API token's id, user@realm!name; required"),
        ("environments[].token_secret_env", "the variable that holds the token's secret"),
        ("environments[].token_secret_file", "or the file that does; $CREDENTIALS_DIRECTORY is understood"),
        ("environments[].tls.ca_file", "PEM file of the authority to trust instead of the system's"),
        ("environments[].tls.fingerprint_sha256", "or the certificate's SHA-256 as PVE shows it, AA:BB:…"),
        ("environments[].read_only", "deny every change here; false"),
        ("environments[].timeout_ms", "time for one exchange with PVE, 100 to 600000; 30000"),
        ("environments[].labels", "your own labels, shown by GET /v1/environments"),
        ("environments[].agent_exec_allow", "prefixes of commands that agent_exec may run in guests; none"),
        ("environments[].download_allow", "URL prefixes that download_to_storage may fetch from; none"),
        ("environments[].prefer_agent", "the agent that carries out what is asked for here, while it can; none"),
        ("accept_declared_approvals", "let approved_by count for real PVEs too; false"),
        ("principals[].id", "a caller's name in records, 3 to 128 of A-Z a-z 0-9 . _ : @ / -; required"),
        ("principals[].token_sha256", "the SHA-256 of their token, as proxmox-agent token new prints it"),
        ("principals[].token_env", "or the variable that holds the token"),
        ("principals[].token_file", "or the file that does; $CREDENTIALS_DIRECTORY is understood"),
        ("principals[].cert_sha256", "the SHA-256 of their client certificate, instead of a token or beside it"),
        (
            "principals[].roles",
            "one or more of viewer, operator, approver, auditor, administrator, emergency; required"
        ),
        ("principals[].approval_keys", "public keys that sign their approvals, as in a .pub file, or passkeys; none"),
        ("principals[].environments", "where the roles apply; everywhere"),
        ("metrics.token_sha256", "the SHA-256 of the token for GET /metrics; without one, loopback needs none"),
        ("metrics.token_env", "or the variable that holds the token"),
        ("metrics.token_file", "or the file that does; $CREDENTIALS_DIRECTORY is understood"),
        ("notify[].id", "a destination's name, 1 to 64 of A-Z a-z 0-9 _ -; required"),
        ("notify[].kind", "webhook, ntfy, gotify, slack, discord, mattermost or email; required"),
        ("notify[].url", "its address, https:// or http:// for loopback; not for slack, discord, mattermost, email"),
        ("notify[].url_env", "or the variable that holds it, where the address is itself a secret"),
        ("notify[].url_file", "or the file that does; $CREDENTIALS_DIRECTORY is understood"),
        ("notify[].secret_env", "webhook: the variable with the secret that signs, whsec_…; several while one changes"),
        ("notify[].secret_file", "or the file that holds it"),
        ("notify[].token_env", "gotify, ntfy: the variable with the token"),
        ("notify[].token_file", "or the file that holds it"),
        ("notify[].server", "email: smtp://host:587, in clear on loopback without tls, or smtps://host:465; required"),
        ("notify[].from", "email: the sender's address; required"),
        ("notify[].to", "email: up to 20 addresses; required"),
        ("notify[].username", "email: the name to sign in with at the server; none"),
        ("notify[].password_env", "email: the variable with its password"),
        ("notify[].password_file", "or the file that holds it"),
        ("notify[].tls.ca_file", "PEM file of the authority to trust instead of the system's"),
        ("notify[].tls.fingerprint_sha256", "or the certificate's SHA-256, AA:BB:…; not for email"),
        ("notify[].events", "what is told there; what somebody has to act on"),
        ("notify[].environments", "of which environments; of all"),
        ("notify[].min_risk", "low, medium or high: the least risk of plans and operations that are told; low"),
        ("policy_path", "the file with the policy, in place of policy here; none"),
        ("policy.$schema", "the address of the policy's JSON Schema, for editors; none"),
        ("policy.groups", "groups of principals by name; @name includes another group; none"),
        ("policy.rules[].id", "the rule's name in decisions, 1 to 64 of a-z 0-9 - _ .; required"),
        ("policy.rules[].description", "what it is for; nothing"),
        ("policy.rules[].match", "what it is about: see proxmox-agent-policy(5); every change"),
        ("policy.rules[].effect", "deny, require_approval, or an object: see proxmox-agent-policy(5); required"),
        ("policy.rules[].approvals", "how many approvals require_approval asks for, 1 to 10; 1"),
        ("policy.rules[].assurance", "how these must be signed: signed, or hardware for a security key; not at all"),
        ("policy.rules[].reason", "the reason that decisions give"),
        ("policy.rules[].environments", "where the rule applies; everywhere"),
        ("policy.rules[].actions", "to which actions; to all that change something"),
        ("policy.rules[].targets", "to what reaches one of these: vm/101, vm/*, pool/prod with its guests; to all"),
        ("policy.rules[].tags", "to what reaches a guest with one of these tags; to all"),
        ("policy.rules[].principals", "to requests of these principals; of all"),
        ("plans.ttl_seconds", "how long a plan can be applied, 60 to 604800; 3600"),
        ("plans.high_risk_ttl_seconds", "the same for plans of high risk, 60 to 86400; 900"),
        ("plans.live_per_caller", "live plans of changes that one caller may have, 1 to 10000; 100"),
        ("plans.reserved_ids_per_caller", "ids for new guests that live plans of one caller may keep, 1 to 10000; 100"),
        ("plans.retention_seconds", "how long ended plans and operations are kept, 60 to 31536000; 86400"),
        ("limits.max_body_bytes", "largest request body, 1024 to 16777216; 1048576"),
        ("limits.max_header_bytes", "largest request head, 4096 to 65536; 16384"),
        ("limits.max_connections", "open connections, 16 to 100000, three quarters for one address; 1024"),
        ("limits.idle_timeout_ms", "how long a connection may be silent, 1000 to 3600000; 60000"),
        ("limits.request_timeout_ms", "how long a request may take to arrive, 1000 to 3600000; 30000"),
        ("limits.send_timeout_ms", "how long a response waits for a client that does not read, 1000 to 3600000; 10000"),
        ("limits.pending_body_bytes", "request bodies on their way, a quarter for one address; 16777216"),
        ("limits.pending_answer_bytes", "answers not yet read, half for one caller; 67108864"),
        ("limits.concurrent_per_caller", "requests of one caller under way at once, 2 to 10000; 128"),
        ("limits.max_streams", "event streams open at once, at most half of the connections, 1 to 100000; 2048"),
        ("limits.streams_per_caller", "event streams of one caller open at once, 1 to 100000; 256"),
        ("limits.requests_per_minute", "requests of one caller, 60 to 1000000000; 12000"),
        ("limits.stored_bytes_per_minute", "bytes that one caller makes the agent write, 1048576 or more; 33554432"),
        ("limits.keys_per_caller", "requests with an Idempotency-Key in a day, 1 to 1000000; 20000"),
        ("limits.key_bytes_per_caller", "bytes of their kept answers, 1048576 or more; 67108864"),
        ("limits.min_free_bytes", "free disk space below which nothing new starts, 0 for no limit; 67108864"),
        ("limits.max_operations", "operations under way at once, 1 to 10000; 256"),
        ("limits.environment_operations", "operations that run at once in one environment, 1 to 1000; 8"),
        ("limits.auth_delay_ms", "how long the answer to a first wrong token waits, 0 to 10000; 250"),
        ("limits.threads", "serving threads, 1 to 16; the number of cores"),
        ("limits.share_reads", "let identical reads at the same time share one fetch; true"),
        ("mcp.enabled", "serve the Model Context Protocol at POST /mcp; true"),
        ("mcp.allowed_hosts", "names under which clients reach /mcp, beside localhost and listen_addr; none"),
        ("mcp.allowed_origins", "web pages that may use /mcp, as https://host:port; those of this agent"),
        ("log.format", "text or json; text"),
        ("log.level", "trace, debug, info, notice, warning, error or critical; info"),
    ]
}
