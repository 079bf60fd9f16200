import AgentModel
import AgentPolicy
import Signatures
import StrictJSON

extension AgentConfig {
    /// The keys that take effect without a restart.
    private static let reloadable: Set = ["principals", "policy", "policy_path", "metrics", "notify"]

    /// Whether both have the same callers, with the same tokens, the same rules, and the same scrape token.
    func isInForce(after other: AgentConfig) -> Bool {
        Set(credentials) == Set(other.credentials) && policy == other.policy && scrapeToken == other.scrapeToken
    }

    /// Where the file of `new` differs from this one's in settings that need a restart, as `environments[0].base_url`.
    func needsRestart(for new: AgentConfig) -> [String] {
        var keys = Set(document.keys + new.document.keys).subtracting(Self.reloadable)
        // New certificates take effect, but switching TLS on or off does not.
        if tls != nil, new.tls != nil { keys.remove("tls") }
        return keys.sorted().flatMap { key in
            Self.differences(document[key] ?? .null, new.document[key] ?? .null, at: JSONPath([.key(key)]))
        }.map(\.dotted)
    }

    private static func differences(_ old: JSON, _ new: JSON, at path: JSONPath) -> [JSONPath] {
        if old == new { return [] }
        if let old = old.object, let new = new.object {
            let keys = old.keys + new.keys.filter { old[$0] == nil }
            return keys.flatMap { differences(old[$0] ?? .null, new[$0] ?? .null, at: path.key($0)) }
        }
        guard let old = old.array, let new = new.array else { return [path] }
        return (0..<max(old.count, new.count)).flatMap { index in
            differences(
                index < old.count ? old[index] : .null, index < new.count ? new[index] : .null, at: path.index(index))
        }
    }

    /// What a record says of callers and rules that are about to take effect. It has nothing of tokens.
    var recordOfRules: JSON {
        let callers = principals.sorted { $0.principal.id < $1.principal.id }.map { holder -> JSON in
            let environments = holder.principal.environments.map { JSON($0.map(\.description).sorted()) }
            let keys = holder.principal.approvalKeys.map(\.fingerprint)
            return [
                "id": .string(holder.principal.id), "roles": JSON(holder.roles.map(\.rawValue)),
                "environments": environments ?? .null, "approval_keys": keys.isEmpty ? nil : JSON(keys.sorted()),
            ]
        }
        let signers = callers.reduce(into: JSONObject()) { signers, caller in
            if let id = caller["id"]?.string, let keys = caller["approval_keys"] { signers.append(id, keys) }
        }
        return [
            "status": "in_force", "principals": JSON(principals.count),
            "principals_digest": .string(PlanDigest.hash(.array(callers))), "rules": JSON(policy.rules.count),
            "policy_version": .string(policy.version), "approval_keys": signers.isEmpty ? nil : .object(signers),
        ]
    }

    /// The record of a configuration that is not taken over, so that this one stays in force.
    func recordOfRefusal(_ error: ConfigError) -> JSON {
        [
            "status": "refused", "errors": JSON(Array(error.lines.prefix(ConfigError.mostTold))),
            "policy_version": .string(policy.version),
        ]
    }
}
