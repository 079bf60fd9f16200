import AgentModel
import AgentPolicy
import StrictJSON
import SystemFile

/// Reads the policy, from the configuration or from a file of its own.
extension ConfigReading {
    mutating func policy(_ reader: inout ObjectReader, _ config: inout AgentConfig, in environments: KnownNames) {
        let principals = KnownNames("id", of: config.document["principals"], or: [Principal.shared.id])
        var policies = PolicyReader(environments: environments, principals: principals, zone: ZoneFiles.rules)
        reader.section("policy") { config.policy = policies.policy(&$0) }
        guard let path = reader.parsed("policy_path", "a file's path", { $0.isEmpty ? nil : $0 }) else { return }
        config.policyPath = path
        guard config.document["policy"] == nil else {
            return reader.report("policy_path", "stands beside policy; take one of them out")
        }
        do throws(ConfigError) {
            config.policy = try Policy(file: path, environments: environments, principals: principals)
        } catch {
            for line in error.lines { reader.report("policy_path", line) }
        }
    }
}

extension Policy {
    /// The largest policy file, in bytes.
    static let largestFile = 4 << 20

    /// Reads a policy file: the object that stands under `policy` in a configuration. Refuses one that others may write.
    ///
    /// - Throws: ``ConfigError`` with a line for each error: file, line, place, what is wrong and the cure.
    init(file: String, environments: KnownNames = .any, principals: KnownNames = .any) throws(ConfigError) {
        let bytes: [UInt8]
        do throws(FileError) { bytes = try readFile(file, limit: Self.largestFile, isRules: true) } catch {
            throw ConfigError(lines: ["\(file): \(error.detail)"])
        }
        try self.init(parsing: bytes, of: file, environments: environments, principals: principals)
    }

    /// As ``init(file:environments:principals:)``, for what was read already.
    init(
        parsing bytes: [UInt8], of file: String, environments: KnownNames = .any, principals: KnownNames = .any
    ) throws(ConfigError) {
        let document: JSON
        do throws(JSONError) { document = try JSON.parse(bytes) } catch {
            throw ConfigError(lines: [Self.line(error, in: bytes, of: file)])
        }
        guard let object = document.object else {
            throw ConfigError(lines: ["\(file):1: a policy is a JSON object, not \(document.kind)"])
        }
        var reader = ObjectReader(object)
        var policies = PolicyReader(environments: environments, principals: principals, zone: ZoneFiles.rules)
        self = policies.policy(&reader)
        reader.refuseUnknown()
        if !reader.issues.isEmpty {
            throw ConfigError(lines: reader.issues.map { Self.line($0, in: bytes, of: file) })
        }
    }

    /// The error with its file, line and place.
    static func line(_ issue: JSONError, in bytes: [UInt8], of file: String) -> String {
        let line = issue.offset.map { JSON.line(ofByte: $0, in: bytes) } ?? JSON.line(of: issue.path, in: bytes)
        let place = issue.path.dotted
        return "\(file):\(line): \(place.isEmpty ? "" : place + ": ")\(issue.detail)"
    }
}
