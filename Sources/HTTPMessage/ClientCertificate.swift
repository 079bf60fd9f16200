/// The result for the certificate of a client (RFC 8446, 4.4.2), if the server asked for one.
package enum ClientCertificate: Sendable, Hashable {
    /// Signed by an accepted authority, within its dates, and the client has its key: the SHA-256 of its DER form, 32
    /// bytes.
    case accepted(sha256: [UInt8])
    /// It is not accepted; the text says why: `it has expired`.
    case refused(String)
}
