import CGnuTLS
import HTTPMessage

/// Why PEM text is of no use for a TLS server.
package enum TLSError: Error, Sendable, Hashable {
    /// The text of the certificates.
    case certificate(String)
    /// The text of the private key.
    case key(String)
    /// The text of the clients' authorities.
    case authorities(String)
}

/// What a TLS server shows, and whose clients it knows: its certificate with the key, and authorities of clients.
///
/// Owns a `gnutls_certificate_credentials_t`, which every connection that uses it keeps alive.
// SAFETY: not changed once it is made; GnuTLS lets any number of sessions use one at the same time.
@safe package final class TLSCredentials: @unchecked Sendable {
    private let raw: gnutls_certificate_credentials_t
    /// Whether clients are asked for a certificate, which they need not have.
    let asksClients: Bool
    /// The DNS names of the certificate, or its subject where it has none.
    package let names: [String]
    /// Seconds since 1970 in which the certificate counts.
    package let validity: Range<Int>

    /// - Parameters:
    ///   - certificate: the server's certificate, then those that lead to its authority, as PEM.
    ///   - key: its private key as PEM, without a passphrase.
    ///   - clientAuthorities: certificates of authorities as PEM; clients are asked for a certificate by one of them.
    /// - Throws: ``TLSError``, for the first text that is of no use.
    package init(
        certificate: [UInt8], key: [UInt8], clientAuthorities: [UInt8]? = nil
    ) throws(TLSError) {
        let chain = try CertificateChain(certificate)
        names = chain.names
        validity = chain.validity
        asksClients = clientAuthorities != nil
        var made: gnutls_certificate_credentials_t?
        guard unsafe gnutls_certificate_allocate_credentials(&made) == GNUTLS_E_SUCCESS, let made = unsafe made else {
            throw .certificate("no memory")
        }
        unsafe raw = unsafe made
        // From here on `deinit` frees it, whatever is thrown.
        let code = unsafe Self.withDatum(certificate) { certificate in
            unsafe Self.withDatum(key) { key in
                unsafe gnutls_certificate_set_x509_key_mem(made, certificate, key, GNUTLS_X509_FMT_PEM)
            }
        }
        guard code >= 0 else { throw Self.error(of: code) }
        guard let clientAuthorities else { return }
        let count = unsafe Self.withDatum(clientAuthorities) { authorities in
            unsafe gnutls_certificate_set_x509_trust_mem(made, authorities, GNUTLS_X509_FMT_PEM)
        }
        guard count > 0 else { throw .authorities("holds no certificate in PEM form") }
    }

    deinit { unsafe gnutls_certificate_free_credentials(raw) }

    /// Lets `session` use these from now on. Before the handshake it decides what is shown and asked for, afterwards
    /// only whose clients are known.
    func equip(_ session: TLSSession) {
        _ = unsafe gnutls_credentials_set(session.raw, GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(raw))
        unsafe gnutls_certificate_server_set_request(
            session.raw, asksClients ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_IGNORE)
    }

    private static func error(of code: Int32) -> TLSError {
        switch code {
        case GNUTLS_E_CERTIFICATE_KEY_MISMATCH: .key("is not the key of the certificate")
        case GNUTLS_E_DECRYPTION_FAILED: .key("has a passphrase; openssl pkey -in FILE -out NEW takes it off")
        default: .key("holds no private key in PEM form that can be used")
        }
    }

    /// Calls `body` with the bytes as GnuTLS takes them; they are read only.
    static func withDatum(_ bytes: [UInt8], _ body: (UnsafePointer<gnutls_datum_t>) -> Int32) -> Int32 {
        unsafe bytes.withUnsafeBufferPointer { bytes in
            var datum = unsafe gnutls_datum_t(
                data: UnsafeMutablePointer(mutating: bytes.baseAddress), size: UInt32(bytes.count))
            return unsafe body(&datum)
        }
    }
}
