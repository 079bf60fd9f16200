import AgentTestSupport
import CurlHTTP
import HTTPMessage
import HTTPTypes
import StrictJSON

/// A directory with a configuration file in it.
final class ConfigFile: Sendable {
    private let temporary: TemporaryDirectory
    var directory: String { temporary.path }

    init() throws { temporary = try TemporaryDirectory() }

    /// A good configuration with two environments that nobody answers for.
    var document: JSONObject {
        [
            "listen_addr": "127.0.0.1:0", "audit_log_path": .string("\(directory)/audit.log"),
            "state_path": .string("\(directory)/state.db"),
            "environments": .array(
                ["one", "two"].map { name in
                    [
                        "name": .string(name), "base_url": .string("https://\(name).example:8006"),
                        "token_id": .string("agent@pve!\(name)"), "token_secret_env": .string("SECRET_\(name)"),
                    ]
                }),
        ]
    }

    /// What ``document`` needs.
    let variables = [
        "SECRET_one": "one-8a61", "SECRET_two": "two-4c93", "PROXMOX_AGENT_API_TOKEN": "token-5b7e",
    ]

    func simulated(_ name: String) -> JSON {
        [
            "name": .string(name), "base_url": .string("simulator://\(name)"),
            "token_id": .string("agent@pve!\(name)"), "token_secret_env": "UNSET",
        ]
    }

    /// Writes the file and gives its path.
    func write(_ document: JSONObject) throws -> String {
        let path = "\(directory)/config.json"
        try EndToEndTests.write(JSON.object(document).text, to: path)
        return path
    }
}
