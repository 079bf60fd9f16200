import CGnuTLS
import Glibc
import HTTPMessage

/// The `gnutls_session_t` of a connection.
// Used, like its connection, by the one thread that serves it.
@safe struct TLSSession {
    let raw: gnutls_session_t

    /// `nil` for a connection without TLS.
    init?(_ raw: UnsafeMutableRawPointer?) {
        guard let raw = unsafe raw else { return nil }
        unsafe self.raw = gnutls_session_t(raw)
    }

    /// Judges the client's certificate by the authorities in the session's credentials. Returns `nil` without one, else
    /// the result and until when it is valid, in seconds since 1970.
    func judge() -> (certificate: ClientCertificate, end: Int)? {
        var count: UInt32 = 0
        guard let first = unsafe gnutls_certificate_get_peers(raw, &count), count > 0 else { return nil }
        var flaws: UInt32 = 0
        guard verify(&flaws) else { return (.refused("it cannot be verified"), .max) }
        guard flaws == 0 else { return (.refused(Self.wording(of: flaws)), .max) }
        var digest = [UInt8](repeating: 0, count: 32)
        let hashed = unsafe gnutls_hash_fast(
            GNUTLS_DIG_SHA256, first.pointee.data, Int(first.pointee.size), &digest)
        let end = unsafe gnutls_certificate_expiration_time_peers(raw)
        guard hashed == GNUTLS_E_SUCCESS, end > 0 else { return (.refused("it cannot be read"), .max) }
        return (.accepted(sha256: digest), end)
    }

    /// `gnutls_certificate_verify_peers`: checks the chain, its dates, and that it is for clients. False if there is no
    /// result.
    private func verify(_ flaws: inout UInt32) -> Bool {
        unsafe GNUTLS_KP_TLS_WWW_CLIENT.withCString { purpose in
            let bytes = unsafe UnsafeMutableRawPointer(mutating: purpose).assumingMemoryBound(to: UInt8.self)
            var wanted = unsafe gnutls_typed_vdata_st(type: GNUTLS_DT_KEY_PURPOSE_OID, data: bytes, size: 0)
            return unsafe gnutls_certificate_verify_peers(raw, &wanted, 1, &flaws) == GNUTLS_E_SUCCESS
        }
    }

    private static func wording(of flaws: UInt32) -> String {
        let known: [(gnutls_certificate_status_t, String)] = [
            (GNUTLS_CERT_EXPIRED, "it has expired"),
            (GNUTLS_CERT_NOT_ACTIVATED, "its time has not come yet"),
            (GNUTLS_CERT_SIGNER_NOT_FOUND, "no authority that counts has signed it"),
            (GNUTLS_CERT_SIGNER_NOT_CA, "who signed it is no authority"),
            (GNUTLS_CERT_PURPOSE_MISMATCH, "it is not meant for clients"),
            (GNUTLS_CERT_INSECURE_ALGORITHM, "its key, or that of who signed it, is too weak"),
        ]
        return known.first { flaws & $0.0.rawValue != 0 }?.1 ?? "it is not valid"
    }
}
