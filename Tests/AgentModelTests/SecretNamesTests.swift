import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

/// Our list of secrets, held against PVE's own schema where that is at hand.
struct SecretNamesTests {
    /// What the names of secrets hold.
    private static let marks = ["password", "passwd", "keyring", "encryption-key", "private-key", "secret", "token"]

    @Test(.enabled(if: Reference.has(Reference.schema), "the schema is not at hand"))
    func `every parameter of the endpoint form that can hold a secret is one`() throws {
        var found: Set<String> = []
        for (name, endpoint) in try PVESchema().endpoints where !name.hasPrefix("GET ") {
            let path = name.split(separator: " ")[1]
            guard path.hasPrefix("/storage") || path.contains("/firewall") else { continue }
            for key in endpoint.parameters.keys where Self.marks.contains(where: key.contains) {
                found.insert(key)
                #expect(ParameterDefinition.isSecret(key), "\(key) of \(name)")
            }
        }
        #expect(found == ["password", "keyring", "encryption-key"])
    }
}
