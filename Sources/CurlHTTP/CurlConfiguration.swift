/// How a server proves who it is. There is no way to switch the proof off.
package enum ServerTrust: Sendable, Hashable {
    /// A certificate for the host's name, signed by an authority the operating system trusts.
    case system
    /// A certificate for the host's name, signed by an authority in this PEM file, and by no other.
    case authority(file: String)
    /// This one certificate, whatever its name, issuer and dates say.
    case pinned(CertificateFingerprint)
}

/// By what a client proves who it is in the TLS handshake: a certificate and its key, both PEM files.
package struct ClientIdentity: Sendable, Hashable {
    package var certificateFile: String
    package var keyFile: String

    package init(certificateFile: String, keyFile: String) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }
}

/// What one transport needs to know.
package struct CurlConfiguration: Sendable, Hashable {
    package var origin: HTTPOrigin
    package var trust: ServerTrust
    /// Shown to a server that asks for it.
    package var identity: ClientIdentity?
    /// Time for name lookup, TCP connect and TLS handshake together.
    package var connectTimeout: Duration
    /// Time for a whole exchange, waiting for a free connection included, where the request does not say.
    package var timeout: Duration
    /// Largest body taken, in bytes after decompression.
    package var maximumBodyBytes: Int
    /// Exchanges that run at once; further ones wait, and their time runs.
    package var maximumConnections: Int
    /// Whether to ask for compressed answers. Off costs the network, on costs both processors.
    package var acceptsGzip: Bool
    /// The `User-Agent` of every request: `proxmox-agent/1.0`.
    package var userAgent: String

    package init(
        origin: HTTPOrigin, trust: ServerTrust = .system, identity: ClientIdentity? = nil,
        connectTimeout: Duration = .seconds(5),
        timeout: Duration = .seconds(30), maximumBodyBytes: Int = 64 << 20, maximumConnections: Int = 16,
        acceptsGzip: Bool = false, userAgent: String = "proxmox-agent"
    ) {
        self.origin = origin
        self.trust = trust
        self.identity = identity
        self.connectTimeout = connectTimeout
        self.timeout = timeout
        self.maximumBodyBytes = maximumBodyBytes
        self.maximumConnections = max(1, maximumConnections)
        self.acceptsGzip = acceptsGzip
        self.userAgent = userAgent
    }
}
