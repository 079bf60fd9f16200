internal import CCurl
internal import HTTPMessage
internal import HTTPTypes

/// One exchange, as it is passed to the loop's thread.
struct CurlJob: Sendable {
    let id: UInt64
    let request: OutgoingRequest
    let deadline: ContinuousClock.Instant
    /// Resumed once, on the loop's thread.
    let finish: @Sendable (Result<IncomingResponse, TransportError>) -> Void
}

/// One running exchange. Used only on the loop's thread; libcurl calls back into it.
final class CurlTransfer {
    let job: CurlJob
    let handle: CurlHandle
    /// Whether bytes of the request may have been sent. Set just before libcurl writes the first one.
    fileprivate(set) var sent = false
    /// Whether libcurl still has bytes of the request to write.
    private(set) var isWriting = false
    /// Until when a request that has passed its gate must be written; `nil` for one without a gate.
    private(set) var writtenBy: ContinuousClock.Instant?
    private let bodyLimit: Int
    private let decodes: Bool
    private var head = ResponseHead()
    private var body: [UInt8] = []
    /// Why a callback made libcurl stop.
    private var failure: TransportError?

    /// The handle calls back into this object: keep both alive while the handle is in a multi handle.
    init(_ job: CurlJob, configuration: CurlConfiguration, pin: UnsafeMutableRawPointer?) throws(CurlError) {
        self.job = job
        bodyLimit = min(configuration.maximumBodyBytes, job.request.maximumBodyBytes ?? .max)
        decodes = configuration.acceptsGzip
        var handle = try CurlHandle()
        try handle.restrict()
        try unsafe handle.apply(configuration, pin: pin)
        try handle.apply(job.request, to: configuration.origin)
        self.handle = handle
        try observe()
    }

    private func observe() throws(CurlError) {
        let context = unsafe UnsafeRawPointer(Unmanaged.passUnretained(self).toOpaque())
        try unsafe handle.set(CURLOPT_HEADERDATA, pointer: context)
        try unsafe handle.set(CURLOPT_WRITEDATA, pointer: context)
        try unsafe handle.set(CURLOPT_PREREQDATA, pointer: context)
        try unsafe handle.set(CURLOPT_HEADERFUNCTION, function: takeHeaderLine)
        try unsafe handle.set(CURLOPT_WRITEFUNCTION, function: takeBodyPart)
        try unsafe handle.setPrerequest(askGate)
    }

    /// Asks the request's gate whether the request may be written. If so, it counts as sent from then on.
    fileprivate func pass() -> Bool {
        if let gate = job.request.gate {
            guard gate() else {
                failure = .withheld
                return false
            }
            writtenBy = .now + Self.writingTime
        }
        sent = true
        return true
    }

    /// How long the rest of a request may take to be written once its gate let it pass: whoever keeps the gate must know
    /// until when something may arrive.
    private static let writingTime = Duration.seconds(1)

    /// libcurl waits for these `CURL_POLL_…` events on the transfer's socket.
    func noteWaiting(for what: Int32) { isWriting = sent && (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) }

    fileprivate func take(line: UnsafeRawBufferPointer) -> Bool {
        unsafe head.take(line)
        guard head.byteCount <= ResponseHead.maximumBytes else {
            failure = .broken("the head of the answer is too large", sent: true)
            return false
        }
        return true
    }

    fileprivate func take(part: UnsafeRawBufferPointer) -> Bool {
        if let take = job.request.take, (200..<300).contains(head.status) {
            if unsafe take(Array(part)) { return true }
            failure = .cancelled(sent: true)
            return false
        }
        guard part.count <= bodyLimit - body.count else {
            failure = .tooLarge(limit: bodyLimit)
            return false
        }
        if body.isEmpty, let length = head.contentLength { body.reserveCapacity(min(length, bodyLimit)) }
        unsafe body.append(contentsOf: part)
        return true
    }

    /// The result of a transfer that ended with `code`.
    func result(_ code: CURLcode) -> Result<IncomingResponse, TransportError> {
        if let failure { return .failure(failure) }
        guard code == CURLE_OK else { return .failure(error(code)) }
        guard head.isComplete, head.status >= 200 else {
            return .failure(.broken("no complete answer came", sent: sent))
        }
        if decodes { head.dropCoding() }
        return .success(
            IncomingResponse(status: head.status, reason: head.reason, fields: head.fields, body: body))
    }

    private func error(_ code: CURLcode) -> TransportError {
        switch code {
        case CURLE_OPERATION_TIMEDOUT: return .timeout(sent: sent)
        case CURLE_FILESIZE_EXCEEDED: return .tooLarge(limit: bodyLimit)
        default:
            let text = handle.lastError.isEmpty ? CurlError(code, operation: "").text : handle.lastError
            let visible = String(
                text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : Character($0) })
            return sent ? .broken(visible, sent: true) : .unreachable(visible)
        }
    }
}

// C callbacks: `context` is the transfer, which its pool keeps alive while libcurl uses the handle.

private func takeHeaderLine(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let context = unsafe context else { return 0 }
    let transfer = unsafe Unmanaged<CurlTransfer>.fromOpaque(context).takeUnretainedValue()
    let taken = unsafe transfer.take(line: UnsafeRawBufferPointer(start: bytes, count: size * count))
    return taken ? size * count : 0
}

private func takeBodyPart(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let context = unsafe context else { return 0 }
    let transfer = unsafe Unmanaged<CurlTransfer>.fromOpaque(context).takeUnretainedValue()
    let taken = unsafe transfer.take(part: UnsafeRawBufferPointer(start: bytes, count: size * count))
    return taken ? size * count : 0
}

/// Called once a connection and its TLS handshake are ready, before the request is written. The same call of libcurl
/// then writes as much as the socket takes.
private func askGate(
    _ context: UnsafeMutableRawPointer?, _: UnsafeMutablePointer<CChar>?, _: UnsafeMutablePointer<CChar>?,
    _: Int32, _: Int32
) -> Int32 {
    guard let context = unsafe context else { return CURL_PREREQFUNC_ABORT }
    let passes = unsafe Unmanaged<CurlTransfer>.fromOpaque(context).takeUnretainedValue().pass()
    return passes ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
}
