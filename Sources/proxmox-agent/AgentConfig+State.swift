import AgentModel
import AgentStorage
import ArgumentParser
import StrictJSON
import SystemFile
import SystemPackage

extension ConfigReading {
    /// Where the state is: in a file, or in PostgreSQL.
    func state(_ reader: inout ObjectReader) -> StateLocation {
        let path = reader.parsed("state_path", "a file's path") { $0.isEmpty ? nil : $0 }
        let isSet = reader.value("state_url") != nil
        let url = isSet ? reader.string("state_url") : nil
        let key = reader.parsed("state_key_path", "a file's path") { $0.isEmpty ? nil : $0 }
        let file = reader.parsed("state_password_file", "a file's path") { $0.isEmpty ? nil : $0 }
        guard let url else {
            for (name, value) in [("state_key_path", key), ("state_password_file", file)] where value != nil && !isSet {
                reader.report(name, "is for a state in PostgreSQL; set state_url, or take this out")
            }
            return .file(path ?? AgentConfig.usualState)
        }
        if path != nil {
            reader.report("state_path", "is set, and so is state_url: the state is in one place; take one out")
        }
        let password = file.flatMap { file -> (path: String, first: Secret)? in
            guard let (path, text) = secretText(file, "state_password_file", &reader) else { return nil }
            if let status = try? Stat(path), status.isOwn, !status.isClosedToOthers {
                reader.report("state_password_file", "\(path): others may read or write it; chmod 600 \(path)")
            }
            guard let password = Self.password(text) else {
                reader.report("state_password_file", "\(path) must hold the password alone, on one line")
                return nil
            }
            return (path, password)
        }
        do throws(PostgreSQLAddress.Invalid) {
            let address = try PostgreSQLAddress(parsing: url)
            return .postgreSQL(
                PostgreSQLPlace(
                    address, password: password.map { Self.password(in: $0.path) ?? $0.first },
                    key: key ?? AgentConfig.usualStateKey))
        } catch {
            reader.report("state_url", error.detail)
            return .file(AgentConfig.usualState)
        }
    }

    private static func password(_ text: String) -> Secret? {
        !text.isEmpty && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F } ? Secret(text) : nil
    }

    /// What the file holds now; `nil` if that is no password.
    private static func password(in path: String) -> Secret? {
        guard let bytes = try? readFile(path, limit: 4096, isSecret: true) else { return nil }
        return password(
            String(decoding: bytes.last == UInt8(ascii: "\n") ? bytes.dropLast() : bytes[...], as: UTF8.self))
    }
}

extension ConfigReading {
    static let agentNameForm = "1 to 64 of A-Z a-z 0-9 . _ -"

    /// This agent's name among several on one state.
    func agentName(_ reader: inout ObjectReader) -> String? {
        let isSet = reader.value("state_url") != nil
        let name = reader.parsed("agent_name", Self.agentNameForm) { TextForm.environment.matches($0) ? $0 : nil }
        if name != nil, !isSet {
            reader.report("agent_name", "is for a state in PostgreSQL; set state_url, or take this out")
        }
        guard isSet else { return nil }
        if let name { return name }
        let host = AgentConfig.hostName
        guard TextForm.environment.matches(host) else {
            reader.report("agent_name", "the machine's name will not do; set \(Self.agentNameForm)")
            return nil
        }
        return host
    }
}

extension AgentConfig {
    static let usualState = "./data/state.db"
    static let usualStateKey = "./data/state.key"
}

/// Where the state of a configuration is. Reads nothing else of it: other secrets may not be readable here.
func configuredState(in config: String) throws(ExitCode) -> StateLocation { try configuredAgent(in: config).state }

/// The same, with the name of the agent on a state that several share; `nil` for a lone one.
func configuredAgent(in config: String) throws(ExitCode) -> (name: String?, state: StateLocation) {
    do throws(FileError) {
        let bytes = try readFile(config, limit: 4 << 20)
        guard let object = (try? JSON.parse(bytes))?.object else {
            throw FileError(detail: "is no JSON object; see proxmox-agent check --config \(config)")
        }
        var reader = ObjectReader(object)
        let reading = ConfigReading(variables: environmentVariables())
        let (state, name) = (reading.state(&reader), reading.agentName(&reader))
        if let issue = reader.issues.first { throw FileError(detail: "\(issue.path.dotted): \(issue.detail)") }
        return (name, state)
    } catch {
        throw fail("\(config): \(error.detail)")
    }
}
