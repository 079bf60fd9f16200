import CGnuTLS

/// Certificates as read from PEM text (`gnutls_x509_crt_list_import2`), the server's own first.
@safe struct CertificateChain: ~Copyable {
    private let list: UnsafeMutableBufferPointer<gnutls_x509_crt_t?>

    init(_ pem: [UInt8]) throws(TLSError) {
        var count: UInt32 = 0
        var made: UnsafeMutablePointer<gnutls_x509_crt_t?>?
        let code = unsafe TLSCredentials.withDatum(pem) {
            unsafe gnutls_x509_crt_list_import2(&made, &count, $0, GNUTLS_X509_FMT_PEM, 0)
        }
        guard code >= 0, count > 0, let made = unsafe made else {
            throw .certificate("holds no certificate in PEM form")
        }
        unsafe list = unsafe UnsafeMutableBufferPointer(start: made, count: Int(count))
    }

    deinit {
        for index in unsafe 0..<list.count { unsafe gnutls_x509_crt_deinit(list[index]) }
        unsafe cgnutls_free(list.baseAddress)
    }

    /// The DNS names of the first certificate; its subject if it has none.
    var names: [String] {
        let names = (0..<64).compactMap { index in
            unsafe Self.text { buffer, size in
                let type = unsafe gnutls_x509_crt_get_subject_alt_name(list[0], UInt32(index), buffer, size, nil)
                return type == Int32(GNUTLS_SAN_DNSNAME.rawValue)
            }
        }
        guard names.isEmpty else { return names }
        let subject = unsafe Self.text { unsafe gnutls_x509_crt_get_dn(list[0], $0, $1) == GNUTLS_E_SUCCESS }
        return subject.map { [$0] } ?? []
    }

    /// The validity of the first certificate, in seconds since 1970.
    var validity: Range<Int> {
        let start = unsafe gnutls_x509_crt_get_activation_time(list[0])
        return unsafe start..<max(start, gnutls_x509_crt_get_expiration_time(list[0]))
    }

    /// The text that `read` writes into a buffer; `nil` if there is none.
    private static func text(_ read: (UnsafeMutablePointer<CChar>?, UnsafeMutablePointer<Int>) -> Bool) -> String? {
        var buffer = [CChar](repeating: 0, count: 512)
        var size = buffer.count
        guard unsafe read(&buffer, &size) else { return nil }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
