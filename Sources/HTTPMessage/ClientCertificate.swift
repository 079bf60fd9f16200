/// What became of the certificate that a client showed when it connected (RFC 8446, 4.4.2), where the server asks for one.
package enum ClientCertificate: Sendable, Hashable {
    /// Signed by one of the authorities of clients, in its time, and the client has its key: the SHA-256 of its DER
    /// form, 32 bytes.
    case accepted(sha256: [UInt8])
    /// It does not count; the text says why: `it has expired`.
    case refused(String)
}
