import AgentAPI
import AgentModel
import AgentPolicy
import AgentService
import AgentStorage
import CurlHTTP
import FoundationEssentials
import Glibc
import HTTPMessage
import Logging
import StrictJSON

extension AgentConfig {
    /// The variable with the shared token.
    static let tokenVariable = "PROXMOX_AGENT_API_TOKEN"

    /// Reads and checks a configuration file. Opens only the file itself and the files with secrets. `variables` is the
    /// process environment. systemd makes private copies of credentials, whatever the modes of their sources. So with
    /// these, the directory `credentials` beside the file must be closed to others.
    init(file: String, variables: [String: String]) throws(ConfigError) {
        let bytes: [UInt8]
        do throws(FileError) { bytes = try readFile(file, limit: 4 << 20) } catch {
            throw ConfigError(lines: ["\(file): \(error.detail)"])
        }
        if variables["CREDENTIALS_DIRECTORY"] != nil {
            let directory = (file.lastIndex(of: "/").map { String(file[...$0]) } ?? "") + "credentials"
            do throws(FileError) { try checkClosed(directory) } catch {
                throw ConfigError(lines: ["\(directory): \(error.detail)"])
            }
        }
        try self.init(bytes: bytes, variables: variables)
    }

    init(bytes: [UInt8], variables: [String: String]) throws(ConfigError) {
        let document: JSON
        do throws(JSONError) { document = try JSON.parse(bytes) } catch { throw ConfigError(lines: [Self.line(error)]) }
        guard let object = document.object else {
            throw ConfigError(lines: ["the configuration must be a JSON object, not \(document.kind)"])
        }
        var reading = ConfigReading(variables: variables)
        self = reading.read(object)
        if !reading.issues.isEmpty { throw ConfigError(lines: reading.issues.map(Self.line)) }
    }

    private static func line(_ issue: JSONError) -> String {
        let place = issue.path.dotted
        let offset = issue.offset.map { " (byte \($0))" } ?? ""
        return (place.isEmpty ? "" : place + ": ") + issue.detail + offset
    }
}

/// One reading of a configuration; collects all errors.
struct ConfigReading {
    let variables: [String: String]
    var issues: [JSONError] = []

    mutating func read(_ object: JSONObject) -> AgentConfig {
        var config = AgentConfig()
        config.document = object
        var reader = ObjectReader(object)
        if let listen = reader.parsed("listen_addr", "host:port, :port, [v6]:port or unix:/path", ListenAddress.init) {
            config.listen = listen
        }
        config.publicURL = publicURL(&reader)
        Self.set(&config.hasConsole, reader.bool("ui"))
        config.auditOrigin = reader.parsed("audit_origin", "1 to 200 of A-Z a-z 0-9 . _ ~ : / -, without a scheme") {
            Installation.isOrigin($0) ? $0 : nil
        }
        Self.set(
            &config.checkpointInterval,
            reader.integer("audit_checkpoint_seconds", in: 1...86_400, unit: "s").map { .seconds($0) })
        witnesses(&reader, &config)
        if let path = reader.parsed("audit_log_path", "a file's path", { $0.isEmpty ? nil : $0 }) {
            config.auditLogPath = path
        }
        config.state = state(&reader)
        config.agentName = agentName(&reader)
        if let days = reader.integer("audit_history_days", in: 1...3650, unit: "days") {
            if config.agentName == nil {
                reader.report("audit_history_days", "is for a state in PostgreSQL; set state_url, or take this out")
            }
            config.limits.historyDays = days
        }
        config.state = config.state.used(by: config.agentName ?? "")
        config.freezePath = reader.parsed("freeze_path", "a file's path") { $0.isEmpty ? nil : $0 }
        reader.section("tls") { config.tls = tls(&$0) }
        let declared = reader.bool("accept_declared_approvals") ?? false
        reader.section("plans") { Self.plans(&$0, &config) }
        reader.section("limits") { Self.limits(&$0, &config) }
        reader.section("mcp") { Self.mcp(&$0, &config) }
        reader.section("log") { Self.log(&$0, &config) }
        environments(declared, &reader, &config)
        let environments = KnownNames("name", of: object["environments"])
        principals(&reader, &config, in: environments)
        reader.section("metrics") { scrapeToken(&$0, &config) }
        notify(&reader, &config, in: environments)
        policy(&reader, &config, in: environments)
        reader.refuseUnknown()
        issues += reader.issues
        token(&config, isAlone: object["principals"]?.array?.isEmpty ?? true)
        return config
    }

    private func publicURL(_ reader: inout ObjectReader) -> HTTPOrigin? {
        guard let text = reader.parsed("public_url", "a URL", { $0 }) else { return nil }
        do throws(HTTPOrigin.Invalid) { return try HTTPOrigin(parsing: text) } catch {
            let detail =
                switch error {
                case .plaintextBeyondLoopback: "http:// is for loopback only; use https://"
                case .notOnlyOrigin: "must be scheme, host and port alone: https://agent.example:8443"
                case .scheme, .host, .port: "must be https://host or https://host:port"
                }
            reader.report("public_url", detail)
            return nil
        }
    }

    private static func plans(_ reader: inout ObjectReader, _ config: inout AgentConfig) {
        set(&config.limits.planSeconds, reader.integer("ttl_seconds", in: 60...604_800, unit: "s"))
        set(&config.limits.highRiskPlanSeconds, reader.integer("high_risk_ttl_seconds", in: 60...86_400, unit: "s"))
        set(&config.limits.livePlans, reader.integer("live_per_caller", in: 1...10_000))
        set(&config.limits.reservedIDs, reader.integer("reserved_ids_per_caller", in: 1...10_000))
        set(&config.limits.retentionSeconds, reader.integer("retention_seconds", in: 60...31_536_000, unit: "s"))
    }

    private static func limits(_ reader: inout ObjectReader, _ config: inout AgentConfig) {
        set(&config.serving.maxBodyBytes, reader.integer("max_body_bytes", in: 1024...(16 << 20), unit: "bytes"))
        set(&config.serving.maxHeaderBytes, reader.integer("max_header_bytes", in: 4096...65_536, unit: "bytes"))
        set(&config.serving.maxConnections, reader.integer("max_connections", in: 16...100_000))
        set(
            &config.serving.idleTimeout,
            reader.integer("idle_timeout_ms", in: 1000...3_600_000, unit: "ms").map { .milliseconds($0) })
        set(&config.limits.operations, reader.integer("max_operations", in: 1...10_000))
        set(&config.limits.environmentOperations, reader.integer("environment_operations", in: 1...1000))
        set(
            &config.serving.authDelay,
            reader.integer("auth_delay_ms", in: 0...10_000, unit: "ms").map { .milliseconds($0) })
        set(&config.limits.shareReads, reader.bool("share_reads"))
        config.serving.threads = reader.integer("threads", in: 1...16)
        shares(&reader, &config)
    }

    /// The share of these limits that one caller may use.
    private static func shares(_ reader: inout ObjectReader, _ config: inout AgentConfig) {
        let (bytes, times) = ((1 << 20)...(1 << 40), 1000...3_600_000)
        set(
            &config.serving.requestTimeout,
            reader.integer("request_timeout_ms", in: times, unit: "ms").map { .milliseconds($0) })
        set(
            &config.serving.sendTimeout,
            reader.integer("send_timeout_ms", in: times, unit: "ms").map { .milliseconds($0) })
        set(&config.serving.pendingBodyBytes, reader.integer("pending_body_bytes", in: bytes, unit: "bytes"))
        set(&config.serving.pendingAnswerBytes, reader.integer("pending_answer_bytes", in: bytes, unit: "bytes"))
        set(&config.serving.concurrentOfCaller, reader.integer("concurrent_per_caller", in: 2...10_000))
        set(&config.serving.maxStreams, reader.integer("max_streams", in: 1...100_000))
        set(&config.serving.streamsOfCaller, reader.integer("streams_per_caller", in: 1...100_000))
        set(&config.serving.rates.requests, reader.integer("requests_per_minute", in: 60...1_000_000_000))
        set(&config.serving.rates.storedBytes, reader.integer("stored_bytes_per_minute", in: bytes, unit: "bytes"))
        set(&config.limits.keys, reader.integer("keys_per_caller", in: 1...1_000_000))
        set(&config.limits.keyBytes, reader.integer("key_bytes_per_caller", in: bytes, unit: "bytes"))
        set(&config.serving.minFreeBytes, reader.integer("min_free_bytes", in: 0...(1 << 40), unit: "bytes"))
    }

    private static func mcp(_ reader: inout ObjectReader, _ config: inout AgentConfig) {
        set(&config.mcp.isEnabled, reader.bool("enabled"))
        set(&config.mcp.allowedHosts, reader.strings("allowed_hosts"))
        set(&config.mcp.allowedOrigins, reader.strings("allowed_origins"))
    }

    private static func log(_ reader: inout ObjectReader, _ config: inout AgentConfig) {
        set(&config.logFormat, reader.parsed("format", "text or json", AgentConfig.LogFormat.init))
        let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
        set(&config.logLevel, reader.parsed("level", "one of \(levels)") { Logger.Level(rawValue: $0) })
    }

    private static func set<Value>(_ place: inout Value, _ value: Value?) {
        if let value { place = value }
    }

    private func environments(_ declared: Bool, _ reader: inout ObjectReader, _ config: inout AgentConfig) {
        reader.each("environments") { _, inner in
            guard let environment = environment(&inner, declared) else { return }
            let name = environment.settings.name
            if config.environments.contains(where: { $0.settings.name == name }) {
                inner.report("name", "\"\(name)\" is taken by another environment; names are unique")
            }
            config.environments.append(environment)
        }
        let secrets = config.environments.filter { !$0.settings.isSimulator }.map { $0.secret.reveal() }
        if Set(secrets).count < secrets.count {
            reader.report("environments", "two environments share one token secret; give each its own")
        }
    }

    /// The shared token, for configurations without principals.
    private mutating func token(_ config: inout AgentConfig, isAlone: Bool) {
        let name = AgentConfig.tokenVariable
        guard let text = variables[name], !text.isEmpty else { return }
        let path = JSONPath([.key(name)])
        guard Self.checked(text) != nil else {
            let detail =
                "the variable holds white space or control characters, perhaps a newline at its end; set it anew"
            issues.append(JSONError(path: path, detail: detail))
            return
        }
        if text == "change-me", !config.listen.isLoopback || !config.isAllSimulated {
            let detail =
                "\"change-me\" is for loopback with simulators only; make a token with: openssl rand -hex 32"
            issues.append(JSONError(path: path, detail: detail))
        }
        if config.environments.contains(where: { !$0.settings.isSimulator && $0.secret.reveal() == text }) {
            issues.append(
                JSONError(path: path, detail: "is a PVE token's secret as well; give the agent a token of its own"))
        }
        if !isAlone {
            let detail = "is set, and so are principals: two ways to get in; unset it, or take principals out"
            issues.append(JSONError(path: path, detail: detail))
        }
        config.sharedToken = CredentialDigest(of: text.utf8)
        if config.sharedToken == config.scrapeToken {
            issues.append(JSONError(path: path, detail: "is the token of metrics as well; give metrics its own"))
        }
    }
}
