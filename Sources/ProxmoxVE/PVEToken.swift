package import AgentModel

/// An API token: the agent's identity at one Proxmox VE.
package struct PVEToken: Sendable {
    /// Why a text cannot be used in the `Authorization` field. The text itself is not repeated.
    package enum Invalid: Error, Sendable, Hashable {
        /// Not of the form `user@realm!name` in visible ASCII.
        case id
        /// Empty, or not only visible ASCII.
        case secret
    }

    /// `user@realm!name`
    package let id: String
    private let secret: Secret

    package init(id: String, secret: Secret) throws(Invalid) {
        let parts = id.split(separator: "!", omittingEmptySubsequences: false)
        let user = parts[0].split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, user.count >= 2, (parts + user).allSatisfy({ !$0.isEmpty }), Self.isVisible(id),
            !id.contains("=")
        else { throw .id }
        guard Self.isVisible(secret.reveal()) else { throw .secret }
        self.id = id
        self.secret = secret
    }

    /// The value of the `Authorization` field.
    var authorization: String { "PVEAPIToken=\(id)=\(secret.reveal())" }

    private static func isVisible(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }
}
