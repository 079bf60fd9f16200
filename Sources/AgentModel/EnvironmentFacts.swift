import StrictJSON

/// What policy and planning know about an environment.
package struct EnvironmentSettings: Sendable, Hashable {
    package let name: EnvironmentName
    /// The address as configured: `https://pve.lan:8006` or `simulator://home`.
    package let baseURL: String
    package let tokenID: String
    /// Hash of configured address, token id and TLS trust: a plan for one identity is not applied to another.
    package let identity: String
    /// Every mutation is denied.
    package let readOnly: Bool
    package let isSimulator: Bool
    /// `approved_by` is accepted here without a second token.
    package let acceptsDeclaredApprovals: Bool
    package let labels: [String: String]
    /// Prefixes of commands that `agent_exec` may run, compared word by word. Empty forbids the action.
    package let allowedCommands: [[String]]
    /// Prefixes of addresses that `download_to_storage` may fetch from. Empty forbids the action.
    package let allowedDownloads: [String]
    /// The agent that should carry out what is asked for here, of several on one state.
    package let preferredAgent: String?

    /// `trust` is the configured TLS trust in words, such as `system`, `ca:/path` or `sha256:AA:…`.
    package init(
        name: EnvironmentName, baseURL: String, tokenID: String, trust: String, readOnly: Bool = false,
        acceptsDeclaredApprovals: Bool = false, labels: [String: String] = [:], allowedCommands: [[String]] = [],
        allowedDownloads: [String] = [], preferredAgent: String? = nil
    ) {
        self.name = name
        self.baseURL = baseURL
        self.tokenID = tokenID
        self.readOnly = readOnly
        isSimulator = baseURL.hasPrefix("simulator://")
        self.acceptsDeclaredApprovals = isSimulator || acceptsDeclaredApprovals
        self.labels = labels
        self.allowedCommands = allowedCommands
        self.allowedDownloads = allowedDownloads
        self.preferredAgent = preferredAgent
        identity = PlanDigest.hash([
            "base_url": .string(baseURL), "token_id": .string(tokenID), "tls": .string(trust),
        ])
    }
}
