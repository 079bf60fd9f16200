import CGnuTLS
import HTTPMessage

/// Why PEM text cannot be used for a TLS server.
package enum TLSError: Error, Sendable, Hashable {
    /// The text of the certificates.
    case certificate(String)
    /// The text of the private key.
    case key(String)
    /// The text of the clients' authorities.
    case authorities(String)
}

/// The credentials of a TLS server: its certificate with the key, and the authorities of client certificates.
///
/// Owns a `gnutls_certificate_credentials_t`, which every connection that uses it retains.
// SAFETY: never changed after `init`; GnuTLS lets any number of sessions use one at the same time.
@safe package final class TLSCredentials: @unchecked Sendable {
    private let raw: gnutls_certificate_credentials_t
    /// Whether clients are asked for a certificate, which they need not have.
    let asksClients: Bool
    /// The DNS names of the certificate, or its subject if it has none.
    package let names: [String]
    /// The validity of the certificate, in seconds since 1970.
    package let validity: Range<Int>

    /// - Parameters:
    ///   - certificate: the server's certificate, then those that lead to its authority, as PEM.
    ///   - key: its private key as PEM, without a passphrase.
    ///   - clientAuthorities: certificates of authorities as PEM. Clients are asked for one that these signed.
    /// - Throws: ``TLSError``, for the first text that cannot be used.
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
        // From here on `deinit` frees it, even if `init` throws.
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

    /// Makes `session` use these from now on. Before the handshake they decide what is shown and requested, afterwards
    /// only which clients are accepted.
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

    /// Calls `body` with the bytes as a GnuTLS datum, which is only read.
    static func withDatum(_ bytes: [UInt8], _ body: (UnsafePointer<gnutls_datum_t>) -> Int32) -> Int32 {
        unsafe bytes.withUnsafeBufferPointer { bytes in
            var datum = unsafe gnutls_datum_t(
                data: UnsafeMutablePointer(mutating: bytes.baseAddress), size: UInt32(bytes.count))
            return unsafe body(&datum)
        }
    }
}
