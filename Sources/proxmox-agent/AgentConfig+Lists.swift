import AgentModel
import StrictJSON

extension ObjectReader {
    /// Reads an optional list of environments.
    mutating func environments(among names: KnownNames) -> Set<EnvironmentName>? {
        set("environments", names.form(of: "environment")) { names.known($0).flatMap(EnvironmentName.init) }
    }
}
