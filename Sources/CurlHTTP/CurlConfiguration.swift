/// How a server proves its identity. The proof cannot be switched off.
package enum ServerTrust: Sendable, Hashable {
    /// A certificate for the host's name, signed by an authority that the operating system trusts.
    case system
    /// A certificate for the host's name, signed by an authority in this PEM file, and by no other.
    case authority(file: String)
    /// This one certificate, regardless of its name, issuer and dates.
    case pinned(CertificateFingerprint)
}

/// The identity of a client in the TLS handshake: a certificate and its key, both PEM files.
package struct ClientIdentity: Sendable, Hashable {
    package var certificateFile: String
    package var keyFile: String

    package init(certificateFile: String, keyFile: String) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }
}

/// The configuration of one transport.
package struct CurlConfiguration: Sendable, Hashable {
    package var origin: HTTPOrigin
    package var trust: ServerTrust
    /// Shown to a server that asks for it.
    package var identity: ClientIdentity?
    /// The time limit for name lookup, TCP connect and TLS handshake together.
    package var connectTimeout: Duration
    /// The default time limit for a whole exchange, including the wait for a free connection.
    package var timeout: Duration
    /// The largest accepted body, in bytes after decompression.
    package var maximumBodyBytes: Int
    /// The most concurrent exchanges. Further ones wait, and their time limit runs meanwhile.
    package var maximumConnections: Int
    /// Whether to ask for compressed responses. Compression saves network traffic, but costs CPU time on both sides.
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
