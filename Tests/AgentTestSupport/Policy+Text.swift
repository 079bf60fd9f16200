package import AgentPolicy
import StrictJSON

extension Policy {
    /// A policy as its file has it; UTC is the only time zone.
    ///
    /// - Throws: what is wrong with it.
    package init(text: String) throws {
        var reader = ObjectReader(try JSON.parse(Array(text.utf8)).object ?? [:])
        var policies = PolicyReader { name throws(PolicyReader.ZoneError) in
            guard name == "UTC" else { throw PolicyReader.ZoneError("there is no time zone \(name) here") }
            return .utc
        }
        self = policies.policy(&reader)
        try reader.finish()
    }

    /// A policy of these rules.
    package static func rules(_ rules: String...) throws -> Policy {
        try Policy(text: "{\"rules\": [\(rules.joined(separator: ","))]}")
    }
}
