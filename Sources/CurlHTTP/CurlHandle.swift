internal import CCurl

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

    /// `curl_easy_init`.
    init() throws(CurlError) {
        guard let raw = unsafe curl_easy_init() else { throw CurlError(CURLE_OUT_OF_MEMORY, operation: "easy_init") }
        unsafe self.raw = raw
        unsafe errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        unsafe errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        unsafe headers = nil
    }

    deinit {
        unsafe curl_easy_cleanup(raw)
        unsafe curl_slist_free_all(headers)
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
        for line in lines {
            guard let longer = unsafe curl_slist_append(headers, line) else {
                throw CurlError(CURLE_OUT_OF_MEMORY, operation: "curl_slist_append")
            }
            unsafe headers = longer
        }
        try unsafe set(CURLOPT_HTTPHEADER, pointer: headers)
    }

    private func check(_ code: CURLcode, _ option: CURLoption) throws(CurlError) {
        guard code == CURLE_OK else { throw CurlError(code, operation: "curl_easy_setopt(\(option.rawValue))") }
    }
}
