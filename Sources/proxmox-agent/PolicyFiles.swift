import AgentModel
import AgentPolicy
import ArgumentParser
import Signatures
import StrictJSON

/// What a policy is tried against: environments and principals of a configuration.
///
/// Only these two lists are read: the configuration's secrets may not be readable here. `proxmox-agent check` checks the
/// whole of it.
struct PolicyConfig: Sendable {
    let surroundings: PolicySurroundings
    /// The names that rules may use.
    let environmentNames: KnownNames
    let principalNames: KnownNames

    /// - Throws: ``ConfigError`` with a line for each error: file, line, place, what is wrong and the cure.
    init(file: String) throws(ConfigError) {
        let (bytes, object) = try PolicyFiles.object(in: file, "configuration")
        var reader = ObjectReader(object)
        var environments: [EnvironmentSettings] = []
        var principals: [Principal] = []
        let declared = reader.bool("accept_declared_approvals") ?? false
        reader.each("environments", leavingUnknown: true) { _, reader in
            if let settings = Self.environment(&reader, declared) { environments.append(settings) }
        }
        let names = KnownNames("name", of: object["environments"])
        reader.each("principals", leavingUnknown: true) { _, reader in
            if let principal = Self.principal(&reader, names) { principals.append(principal) }
        }
        environmentNames = names
        principalNames = KnownNames("id", of: object["principals"], or: [Principal.shared.id])
        if !reader.issues.isEmpty {
            throw ConfigError(lines: reader.issues.map { Policy.line($0, in: bytes, of: file) })
        }
        surroundings = PolicySurroundings(
            environments: environments, principals: principals.isEmpty ? [.shared] : principals)
    }

    private static func environment(_ reader: inout ObjectReader, _ declared: Bool) -> EnvironmentSettings? {
        let name = reader.parsed("name", "1 to 64 of A-Z a-z 0-9 . _ -", EnvironmentName.init)
        reader.require("name", "a name such as home")
        var labels: [String: String] = [:]
        for member in reader.object("labels")?.members ?? [] { labels[member.key] = member.value.string }
        let isReadOnly = reader.bool("read_only") ?? false
        return name.map {
            EnvironmentSettings(
                name: $0, baseURL: reader.string("base_url") ?? "", tokenID: "", trust: "", readOnly: isReadOnly,
                acceptsDeclaredApprovals: declared, labels: labels)
        }
    }

    private static func principal(_ reader: inout ObjectReader, _ environments: KnownNames) -> Principal? {
        let id = reader.string("id")
        let words = Role.allCases.map(\.rawValue).joined(separator: ", ")
        let roles = reader.set("roles", "one of \(words)", Role.init(rawValue:))
        let limit = reader.set("environments", environments.form(of: "environment")) {
            environments.known($0).flatMap(EnvironmentName.init)
        }
        let keys = (reader.array("approval_keys") ?? []).compactMap(\.string).compactMap { line in
            try? ApprovalKey(line: line)
        }
        reader.require("id", "a name such as alice")
        return id.map { Principal(id: $0, roles: roles ?? [], environments: limit, approvalKeys: keys) }
    }
}

/// Reads files of the commands about policies.
enum PolicyFiles {
    /// The text of a file and the object in it, which errors call `what`.
    static func object(
        in file: String, _ what: String
    ) throws(ConfigError) -> (bytes: [UInt8], object: JSONObject) {
        let bytes: [UInt8]
        do throws(FileError) {
            bytes = try readFile(file, limit: Policy.largestFile)
        } catch {
            throw ConfigError(lines: ["\(file): \(error.detail)"])
        }
        let document: JSON
        do throws(JSONError) { document = try JSON.parse(bytes) } catch {
            throw ConfigError(lines: [Policy.line(error, in: bytes, of: file)])
        }
        guard let object = document.object else {
            throw ConfigError(lines: ["\(file):1: a \(what) is a JSON object, not \(document.kind)"])
        }
        return (bytes, object)
    }
}

/// The configuration of a command that can do without one.
struct ConfigOption: ParsableArguments {
    @Option(
        help: ArgumentHelp("The configuration that the policy is for.", valueName: "file"), completion: .file())
    var config: String?

    func read() throws(ConfigError) -> PolicyConfig? {
        guard let config else { return nil }
        return try PolicyConfig(file: config)
    }
}

/// Runs a command's work, and shows the errors of files as they are.
func reportingErrors<Value>(_ work: () throws(ConfigError) -> Value) throws(ExitCode) -> Value {
    do throws(ConfigError) { return try work() } catch {
        for line in error.lines { complain(quoted(line)) }
        throw .failure
    }
}
