import AgentModel

/// A target, or a prefix with `*`: `vm/101`, `vm/*`, `firewall/*`, `*`. A guest's pattern also matches its firewall.
package struct TargetPattern: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    /// `nil` unless it is a target, or a target's prefix followed by `*`.
    package init?(_ text: String) {
        if text.hasSuffix("*") {
            let stem = String(text.dropLast())
            let begins = stem.isEmpty || Self.beginnings.contains { stem.hasPrefix($0) || $0.hasPrefix(stem) }
            guard begins, !stem.contains("*"), stem.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
        } else {
            guard Target(text) != nil else { return nil }
        }
        description = text
    }

    private static let beginnings = ["vm/", "lxc/", "node/", "nodes/", "storage/", "pool/", "cluster", "firewall/"]

    func matches(_ target: String) -> Bool {
        description.hasSuffix("*") ? target.hasPrefix(description.dropLast()) : target == description
    }
}
