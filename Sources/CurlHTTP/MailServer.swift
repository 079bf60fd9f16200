/// A mail server that takes mail to send: `smtp://host:587`, `smtps://host:465`.
package struct MailServer: Sendable, Hashable, CustomStringConvertible {
    package enum Scheme: String, Sendable, Hashable {
        /// In clear on loopback; elsewhere nothing is said before STARTTLS.
        case smtp
        /// TLS from the first byte.
        case smtps
    }

    package let scheme: Scheme
    package let host: String
    package let port: UInt16
    /// Whether the host names this machine.
    package let isLoopback: Bool

    /// Parses scheme, host and maybe a port, as ``HTTPOrigin`` does. The default ports are 587 and 465.
    package init(parsing text: String) throws(HTTPOrigin.Invalid) {
        let lowered = text.lowercased()
        guard let scheme = [Scheme.smtps, .smtp].first(where: { lowered.hasPrefix("\($0.rawValue)://") }) else {
            throw .scheme
        }
        var rest = lowered.dropFirst(scheme.rawValue.count + 3)
        if rest.hasSuffix("/") { rest.removeLast() }
        let hasPort = rest.reversed().prefix { $0 != "]" }.contains(":")
        let origin = try HTTPOrigin(parsing: "https://\(rest)\(hasPort ? "" : scheme == .smtps ? ":465" : ":587")")
        self.scheme = scheme
        (host, port, isLoopback) = (origin.host, origin.port, origin.isLoopback)
    }

    package var description: String { "\(scheme.rawValue)://\(host.contains(":") ? "[\(host)]" : host):\(port)" }
}
