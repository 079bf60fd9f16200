internal import CCurl

/// Owner of a `CURLM *`: one pool of connections, driven by socket and timer events.
@safe struct CurlMulti: ~Copyable {
    private let raw: UnsafeMutableRawPointer
    /// The pinned digest, followed by the digest of the certificate that was shown last. libcurl's TLS callback uses
    /// them in every handshake, so they live as long as the connections.
    let pin: UnsafeMutableRawPointer?

    /// `curl_multi_init`.
    init(pin fingerprint: CertificateFingerprint?) throws(CurlError) {
        guard let raw = unsafe curl_multi_init() else { throw CurlError(CURLM_OUT_OF_MEMORY, operation: "multi_init") }
        unsafe self.raw = raw
        if let fingerprint {
            let pin = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 1)
            unsafe pin.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
            unsafe pin.copyMemory(from: fingerprint.bytes, byteCount: 32)
            unsafe self.pin = pin
        } else {
            unsafe pin = nil
        }
    }

    deinit {
        // Closing connections would call back into a pool that is being destroyed.
        unsafe ccurl_multi_set_socket_function(raw, nil, nil)
        unsafe ccurl_multi_set_timer_function(raw, nil, nil)
        unsafe curl_multi_cleanup(raw)
        unsafe pin?.deallocate()
    }

    /// The certificate that the last handshake showed instead of the pinned one, or `nil`. Forgets it.
    func takeShownInstead() -> CertificateFingerprint? {
        guard let pin = unsafe pin else { return nil }
        let bytes = unsafe Array(UnsafeRawBufferPointer(start: pin, count: 64))
        unsafe (pin + 32).initializeMemory(as: UInt8.self, repeating: 0, count: 32)
        let (pinned, shown) = (Array(bytes[..<32]), Array(bytes[32...]))
        guard shown != pinned, shown.contains(where: { $0 != 0 }) else { return nil }
        return CertificateFingerprint(bytes: shown)
    }

    /// Keeps at most `count` idle connections.
    func keep(connections count: Int) throws(CurlError) {
        try check(unsafe ccurl_multi_setopt_long(raw, CURLMOPT_MAXCONNECTS, count), "CURLMOPT_MAXCONNECTS")
    }

    /// Makes libcurl report which sockets to watch, and when to call `timeout()`. `data` must outlive this value.
    @unsafe func observe(
        sockets: curl_socket_callback, timer: curl_multi_timer_callback, data: UnsafeMutableRawPointer
    ) throws(CurlError) {
        try check(unsafe ccurl_multi_set_socket_function(raw, sockets, data), "CURLMOPT_SOCKETFUNCTION")
        try check(unsafe ccurl_multi_set_timer_function(raw, timer, data), "CURLMOPT_TIMERFUNCTION")
    }

    func add(_ handle: borrowing CurlHandle) throws(CurlError) {
        try check(unsafe curl_multi_add_handle(raw, handle.raw), "curl_multi_add_handle")
    }

    func remove(_ handle: borrowing CurlHandle) {
        unsafe curl_multi_remove_handle(raw, handle.raw)
    }

    /// `curl_multi_socket_action` for a socket that is ready. `events` are `CURL_CSELECT_…` bits.
    func ready(_ socket: Int32, events: Int32) {
        var running: Int32 = 0
        unsafe curl_multi_socket_action(raw, socket, events, &running)
    }

    /// `curl_multi_socket_action` when libcurl's timer is due.
    func timeout() {
        var running: Int32 = 0
        unsafe curl_multi_socket_action(raw, CURL_SOCKET_TIMEOUT, 0, &running)
    }

    /// The next finished transfer: its handle and its result. `curl_multi_info_read`.
    func nextFinished() -> (handle: UInt, result: CURLcode)? {
        var left: Int32 = 0
        while let message = unsafe curl_multi_info_read(raw, &left) {
            guard unsafe message.pointee.msg == CURLMSG_DONE, let handle = unsafe message.pointee.easy_handle else {
                continue
            }
            return unsafe (UInt(bitPattern: handle), ccurl_message_result(message))
        }
        return nil
    }

    private func check(_ code: CURLMcode, _ operation: String) throws(CurlError) {
        guard code == CURLM_OK else { throw CurlError(code, operation: operation) }
    }
}
