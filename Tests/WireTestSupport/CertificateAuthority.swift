package import FoundationEssentials

/// An authority of a test's own, made with openssl, in a directory of the test.
package struct CertificateAuthority: Sendable {
    /// A certificate and its key, as files in PEM form.
    package struct Identity: Sendable {
        package let certificate: String
        package let key: String

        /// The SHA-256 of the certificate, as `openssl x509 -fingerprint` shows it: `AA:BB:…`.
        package func fingerprint() async throws -> String {
            let shown = try await openssl("x509", "-in", certificate, "-noout", "-fingerprint", "-sha256")
            return String(shown.split(separator: "=").last?.prefix { $0 != "\n" } ?? "")
        }
    }

    package enum Purpose: String, Sendable { case serverAuth, clientAuth }

    private static let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    private let directory: String
    private let name: String
    /// Its own certificate.
    package var certificate: String { "\(directory)/\(name).pem" }

    /// Makes an authority; several of different names can share a directory.
    package init(_ name: String, in directory: String) async throws {
        self.directory = directory
        self.name = name
        let settings = """
            [ca]
            default_ca = own
            [own]
            new_certs_dir = \(directory)
            database = \(directory)/\(name).index
            rand_serial = yes
            unique_subject = no
            default_md = sha256
            policy = any
            copy_extensions = copy
            [any]
            commonName = supplied
            """
        try settings.write(toFile: "\(directory)/\(name).conf", atomically: false, encoding: .utf8)
        try "".write(toFile: "\(directory)/\(name).index", atomically: false, encoding: .utf8)
        _ = try await openssl(
            ["req", "-x509"] + Self.curve + [
                "-days", "2", "-keyout",
                "\(directory)/\(name).key", "-out", certificate, "-subj", "/CN=\(name)",
            ])
    }

    /// Signs a certificate for `subject`, which lasts from a day ago until `end`; with a key that is too short where it
    /// is `weak`.
    package func issue(
        _ subject: String, for purpose: Purpose, until end: Date = Date() + 86_400, weak: Bool = false
    ) async throws -> Identity {
        let base = "\(directory)/\(name)-\(subject)"
        let names = purpose == .serverAuth ? ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"] : []
        _ = try await openssl(
            ["req", "-new"] + (weak ? ["-newkey", "rsa:1024", "-nodes"] : Self.curve) + [
                "-keyout", base + ".key", "-out", base + ".csr", "-subj", "/CN=\(subject)", "-addext",
                "extendedKeyUsage=\(purpose.rawValue)",
            ] + names)
        _ = try await openssl(
            "ca", "-batch", "-notext", "-config", "\(directory)/\(name).conf", "-cert", certificate, "-keyfile",
            "\(directory)/\(name).key", "-in", base + ".csr", "-out", base + ".pem", "-startdate",
            Self.text(min(Date(), end) - 86_400), "-enddate", Self.text(end))
        return Identity(certificate: base + ".pem", key: base + ".key")
    }

    /// `20261124193000Z`
    private static func text(_ date: Date) -> String {
        String(date.formatted(.iso8601).filter { $0.isNumber || $0 == "Z" })
    }
}

private func openssl(_ words: String...) async throws -> String { try await openssl(words) }

private func openssl(_ words: [String]) async throws -> String {
    let result = try await Tool.run(["openssl"] + words)
    guard result.status == 0 else { throw Tool.Failure("openssl \(words[0]): \(result)") }
    return result.text
}
