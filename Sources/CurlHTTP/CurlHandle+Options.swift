internal import CCurl
internal import HTTPMessage
internal import HTTPTypes

extension CurlHandle {
    /// Turns off everything that libcurl does beyond a plain HTTP/1.1 exchange with one server.
    func restrict() throws(CurlError) {
        try keepErrorText()
        try set(CURLOPT_NOSIGNAL, 1)
        try set(CURLOPT_NOPROGRESS, 1)
        try set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)
        try set(CURLOPT_FOLLOWLOCATION, 0)
        try set(CURLOPT_NETRC, Int(CURL_NETRC_IGNORED.rawValue))
        // An empty name, unlike `nil`, also overrides the proxy variables of the environment.
        try set(CURLOPT_PROXY, "")
        try set(CURLOPT_NOPROXY, "*")
        try set(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
        // The server must prove its identity on every connection.
        try set(CURLOPT_SSL_SESSIONID_CACHE, 0)
        // An abandoned name lookup must not block the loop's thread until the resolver answers.
        try set(CURLOPT_QUICK_EXIT, 1)
    }

    /// Applies the options that all requests of one transport share. `pin` points to the digest of a pinned certificate
    /// and room for a second digest.
    @unsafe func apply(
        _ configuration: CurlConfiguration, pin: UnsafeMutableRawPointer?
    ) throws(CurlError) {
        try set(CURLOPT_PROTOCOLS_STR, configuration.origin.scheme.rawValue)
        try set(CURLOPT_CONNECTTIMEOUT_MS, max(1, configuration.connectTimeout.milliseconds))
        // Proxmox VE closes a connection after 5 idle seconds.
        try set(CURLOPT_MAXAGE_CONN, 4)
        try set(CURLOPT_MAXFILESIZE_LARGE, offset: configuration.maximumBodyBytes)
        try set(CURLOPT_USERAGENT, configuration.userAgent)
        try set(CURLOPT_ACCEPT_ENCODING, configuration.acceptsGzip ? "gzip" : nil)

        try set(CURLOPT_SSLCERT, configuration.identity?.certificateFile)
        try set(CURLOPT_SSLKEY, configuration.identity?.keyFile)
        // With a wrong passphrase, OpenSSL does not ask for one on the terminal and block the loop's thread.
        try set(CURLOPT_KEYPASSWD, "")
        // Seconds until a changed file of authorities is read again.
        try set(CURLOPT_CA_CACHE_TIMEOUT, 300)
        try set(CURLOPT_SSL_VERIFYPEER, 1)
        try set(CURLOPT_SSL_VERIFYHOST, 2)
        switch configuration.trust {
        case .system:
            // With a directory beside the file, libcurl reads all authorities again for each connection, which delays
            // the other environments.
            if Self.hasAuthorityFile { try set(CURLOPT_CAPATH, nil) }
        case .authority(let file):
            try set(CURLOPT_CAINFO, file)
            try set(CURLOPT_CAPATH, nil)
        case .pinned:
            guard let pin = unsafe pin else {
                throw CurlError(CURLE_SSL_PINNEDPUBKEYNOTMATCH, operation: "CURLOPT_SSL_CTX_FUNCTION")
            }
            try set(CURLOPT_CAINFO, nil)
            try set(CURLOPT_CAPATH, nil)
            try set(CURLOPT_SSL_VERIFYHOST, 0)
            try unsafe setPin(pin)
        }
    }

    /// Whether libcurl was built with a file of the system's authorities.
    private static let hasAuthorityFile = unsafe curl_version_info(CURLVERSION_SEVENTH)?.pointee.cainfo != nil

    /// Applies one request. Its target must be well-formed: `isTarget`.
    mutating func apply(_ request: OutgoingRequest, to origin: HTTPOrigin) throws(CurlError) {
        try set(CURLOPT_URL, origin.description + request.target)
        try set(CURLOPT_PATH_AS_IS, 1)
        if request.once {
            // libcurl itself repeats a request that got no answer on a reused connection.
            try set(CURLOPT_FRESH_CONNECT, 1)
            try set(CURLOPT_FORBID_REUSE, 1)
        }
        switch (request.method, request.body) {
        case (.get, nil): break
        case (.head, nil): try set(CURLOPT_NOBODY, 1)
        case (.post, nil), (.put, nil): try setBody([])
        case (_, nil): break
        case (_, let body?): try setBody(body)
        }
        if request.method != .head { try set(CURLOPT_CUSTOMREQUEST, request.method.rawValue) }
        try setHeaders(Self.headerLines(request.fields))
    }

    /// Whether `text` is valid in a request line as it is: an absolute path of visible ASCII, without a fragment.
    static func isTarget(_ text: String) -> Bool {
        text.hasPrefix("/") && text.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") }
    }

    /// The request's own fields, without those that libcurl adds by default. Only libcurl sets framing and `Host`.
    static func headerLines(_ fields: HTTPFields) -> [String] {
        let framing: Set<HTTPField.Name> = [
            .contentLength, .transferEncoding, .connection, .expect, HTTPField.Name("Host") ?? .expect,
        ]
        var lines = ["Expect:"]
        if !fields.contains(.contentType) { lines.append("Content-Type:") }
        for field in fields where !framing.contains(field.name) {
            lines.append(field.value.isEmpty ? "\(field.name);" : "\(field.name): \(field.value)")
        }
        return lines
    }
}

extension Duration {
    /// Whole milliseconds, rounded up.
    var milliseconds: Int {
        let (seconds, attoseconds) = components
        return Int(seconds) * 1000 + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
