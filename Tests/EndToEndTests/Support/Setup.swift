import StrictJSON

/// What an agent under test is started with.
struct Setup: Sendable {
    /// One environment, and the PVE behind it.
    struct Environment: Sendable {
        var name: String
        /// The simulator's starting state; `nil` where `baseURL` leads elsewhere.
        var world: String?
        var guests: Int?
        var baseURL: String?
        /// Further keys of the configuration.
        var settings: JSONObject = [:]

        static func simulated(
            _ name: String, guests: Int? = nil, settings: JSONObject = [:]
        ) -> Environment {
            Environment(name: name, world: name, guests: guests, settings: settings)
        }

        /// An environment at an address that the test answers for, or nobody.
        static func elsewhere(_ name: String, at port: UInt16, settings: JSONObject = [:]) -> Environment {
            Environment(name: name, baseURL: "http://127.0.0.1:\(port)", settings: settings)
        }
    }

    static let token = "e2e-token-5fcd1c1a"

    var environments = [Environment.simulated("cloud")]
    /// Further keys of the configuration's top.
    var settings: JSONObject = ["accept_declared_approvals": true]
    var token: String? = Setup.token
    /// How long the simulators' tasks take.
    var taskDuration = Duration.zero

    init(_ environments: Environment..., settings: JSONObject = ["accept_declared_approvals": true]) {
        if !environments.isEmpty { self.environments = environments }
        self.settings = settings
    }

    /// The secret of an environment's token, as no answer and no log may ever show it.
    static func secret(of name: String) -> String { "secret-of-\(name)-9b1d" }

    func variables() -> [String: String] {
        var variables = environments.reduce(into: [:]) { $0["SECRET_\($1.name)"] = Self.secret(of: $1.name) }
        variables["PROXMOX_AGENT_API_TOKEN"] = token
        return variables
    }

    /// The configuration file's text.
    func document(auditLog: String, addresses: [String: String]) -> JSON {
        var document: JSONObject = [
            "listen_addr": "127.0.0.1:0", "audit_log_path": .string(auditLog),
        ]
        if settings["state_url"] == nil {
            document["state_path"] = .string(auditLog.replacing("audit.log", with: "state.db"))
        }
        document["environments"] = .array(
            environments.map { environment in
                var object: JSONObject = [
                    "name": .string(environment.name),
                    "base_url": .string(environment.baseURL ?? "http://\(addresses[environment.name] ?? "")"),
                    "token_id": .string("agent@pve!\(environment.name)"),
                    "token_secret_env": .string("SECRET_\(environment.name)"),
                ]
                for member in environment.settings.members { object[member.key] = member.value }
                return .object(object)
            })
        for member in settings.members { document[member.key] = member.value }
        // Wrong tokens are answered at once, unless a test is about that.
        var limits = document["limits"]?.object ?? JSONObject()
        if limits["auth_delay_ms"] == nil { limits["auth_delay_ms"] = 0 }
        document["limits"] = .object(limits)
        return .object(document)
    }
}
