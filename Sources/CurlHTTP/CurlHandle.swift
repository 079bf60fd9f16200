internal import CCurl
internal import HTTPMessage
internal import HTTPTypes

/// A call into libcurl that failed.
struct CurlError: Error, Sendable, Hashable {
    let code: Int
    /// What was attempted, by its libcurl name: `curl_easy_setopt(CURLOPT_CAINFO)`.
    let operation: String
    let text: String

    init(_ code: CURLcode, operation: String) {
        self.code = Int(code.rawValue)
        self.operation = operation
        text = unsafe String(cString: curl_easy_strerror(code))
    }

    init(_ code: CURLMcode, operation: String) {
        self.code = Int(code.rawValue)
        self.operation = operation
        text = unsafe String(cString: curl_multi_strerror(code))
    }
}

/// Owner of a `CURL *`, of its error text and of its header list.
@safe struct CurlHandle: ~Copyable {
    let raw: UnsafeMutableRawPointer
    private let errorText: UnsafeMutablePointer<CChar>
    private var headers: UnsafeMutablePointer<curl_slist>?
    private var recipients: UnsafeMutablePointer<curl_slist>?

    /// `curl_easy_init`.
    init() throws(CurlError) {
        guard let raw = unsafe curl_easy_init() else { throw CurlError(CURLE_OUT_OF_MEMORY, operation: "easy_init") }
        unsafe self.raw = raw
        unsafe errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        unsafe errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        unsafe headers = nil
        unsafe recipients = nil
    }

    deinit {
        unsafe curl_easy_cleanup(raw)
        unsafe curl_slist_free_all(headers)
        unsafe curl_slist_free_all(recipients)
        unsafe errorText.deallocate()
    }

    /// Identifies this handle among the live ones.
    var id: UInt { unsafe UInt(bitPattern: raw) }

    /// Makes libcurl fill `lastError`.
    func keepErrorText() throws(CurlError) { try unsafe set(CURLOPT_ERRORBUFFER, pointer: errorText) }

    /// libcurl's text for the last failure; empty if it has only the code.
    var lastError: String { unsafe String(cString: errorText) }

    func set(_ option: CURLoption, _ value: Int) throws(CurlError) {
        try check(unsafe ccurl_setopt_long(raw, option, value), option)
    }

    func set(_ option: CURLoption, offset value: Int) throws(CurlError) {
        try check(unsafe ccurl_setopt_offset(raw, option, curl_off_t(value)), option)
    }

    /// libcurl copies the text; `nil` removes the option's default.
    func set(_ option: CURLoption, _ value: String?) throws(CurlError) {
        try check(unsafe ccurl_setopt_string(raw, option, value), option)
    }

    /// The memory at `pointer` must outlive this handle.
    @unsafe func set(_ option: CURLoption, pointer: UnsafeRawPointer?) throws(CurlError) {
        try check(unsafe ccurl_setopt_pointer(raw, option, pointer), option)
    }

    @unsafe func set(_ option: CURLoption, function: curl_write_callback) throws(CurlError) {
        try check(unsafe ccurl_setopt_data_function(raw, option, function), option)
    }

    @unsafe func setPrerequest(_ function: curl_prereq_callback) throws(CurlError) {
        try check(unsafe ccurl_setopt_prereq_function(raw, function), CURLOPT_PREREQFUNCTION)
    }

    /// The 64 bytes at `pin` must outlive every connection opened through this handle.
    @unsafe func setPin(_ pin: UnsafeMutableRawPointer) throws(CurlError) {
        try check(unsafe ccurl_setopt_pin(raw, pin), CURLOPT_SSL_CTX_FUNCTION)
    }

    /// Stores the digest of the shown certificate, 32 bytes, at `digest`; no certificate is accepted.
    @unsafe func setNote(_ digest: UnsafeMutableRawPointer) throws(CurlError) {
        try check(unsafe ccurl_setopt_note(raw, digest), CURLOPT_SSL_CTX_FUNCTION)
    }

    /// Runs the transfer on this thread (`curl_easy_perform`).
    func perform() -> CurlError { CurlError(unsafe curl_easy_perform(raw), operation: "curl_easy_perform") }

    /// The last code that the server answered; 0 if it has not.
    var responseCode: Int { unsafe ccurl_response_code(raw) }

    /// Copies `bytes` as the request body.
    func setBody(_ bytes: [UInt8]) throws(CurlError) {
        try set(CURLOPT_POSTFIELDSIZE_LARGE, offset: bytes.count)
        let code = unsafe bytes.withUnsafeBytes { buffer in
            unsafe withUnsafePointer(to: 0 as UInt8) { empty in
                unsafe ccurl_setopt_pointer(raw, CURLOPT_COPYPOSTFIELDS, buffer.baseAddress ?? UnsafeRawPointer(empty))
            }
        }
        try check(code, CURLOPT_COPYPOSTFIELDS)
    }

    /// Header lines in libcurl's form: `Name: value`, `Name;` for an empty value, `Name:` to remove one.
    mutating func setHeaders(_ lines: [String]) throws(CurlError) {
        for line in lines { unsafe headers = try Self.appending(line, to: headers) }
        try unsafe set(CURLOPT_HTTPHEADER, pointer: headers)
    }

    /// Those who get a mail: `<name@host>`.
    mutating func setRecipients(_ addresses: [String]) throws(CurlError) {
        for address in addresses { unsafe recipients = try Self.appending(address, to: recipients) }
        try unsafe set(CURLOPT_MAIL_RCPT, pointer: recipients)
    }

    /// The list with a copy of `text` at its end. A failure leaves the list as it was.
    @unsafe private static func appending(
        _ text: String, to list: UnsafeMutablePointer<curl_slist>?
    ) throws(CurlError) -> UnsafeMutablePointer<curl_slist>? {
        guard let longer = unsafe curl_slist_append(list, text) else {
            throw CurlError(CURLE_OUT_OF_MEMORY, operation: "curl_slist_append")
        }
        return unsafe longer
    }

    private func check(_ code: CURLcode, _ option: CURLoption) throws(CurlError) {
        guard code == CURLE_OK else { throw CurlError(code, operation: "curl_easy_setopt(\(option.rawValue))") }
    }
}

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
        try unsafe apply(configuration.trust, pin: pin)
    }

    /// How the server must prove its identity.
    @unsafe func apply(_ trust: ServerTrust, pin: UnsafeMutableRawPointer?) throws(CurlError) {
        // With a wrong passphrase, OpenSSL does not ask for one on the terminal and block the loop's thread.
        try set(CURLOPT_KEYPASSWD, "")
        // Seconds until a changed file of authorities is read again.
        try set(CURLOPT_CA_CACHE_TIMEOUT, 300)
        try set(CURLOPT_SSL_VERIFYPEER, 1)
        try set(CURLOPT_SSL_VERIFYHOST, 2)
        switch trust {
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
        if request.take != nil { try set(CURLOPT_MAXFILESIZE_LARGE, offset: 0) }
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
