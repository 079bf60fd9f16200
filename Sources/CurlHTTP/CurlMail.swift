internal import CCurl
package import HTTPMessage
internal import SystemThread

/// Hands mail to a server through libcurl (SMTP, RFC 5321): each message on a connection and a thread of its own, which
/// end within the time limit.
///
/// Elsewhere than on loopback, and there too where an authority is named, the connection is encrypted and the server
/// must prove its identity before anything is said that is secret. The process environment is ignored.
package struct CurlMail: Sendable {
    private let server: MailServer
    private let trust: ServerTrust
    private let username: String?
    private let password: @Sendable () -> String?
    private let timeout: Duration

    /// `trust` is no pinned certificate. `password` gives the text where it is needed.
    package init(
        server: MailServer, trust: ServerTrust = .system, username: String? = nil,
        password: @escaping @Sendable () -> String? = { nil }, timeout: Duration = .seconds(30)
    ) {
        (self.server, self.trust, self.timeout) = (server, trust, timeout)
        (self.username, self.password) = (username, password)
    }

    /// Returns once the server has taken the message for all recipients. A cancelled task returns at once; its
    /// connection then ends by the time limit.
    package func send(_ message: [UInt8], from: String, to recipients: [String]) async throws(TransportError) {
        let answer = MailAnswer()
        await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                guard answer.wait(waiter) else { return waiter.resume() }
                do throws(OwnThread.Unavailable) {
                    try OwnThread.start { answer.give(perform(message, from, recipients)) }
                } catch {
                    answer.give(.unreachable(error.description))
                }
            }
        } onCancel: {
            answer.give(.cancelled(sent: true))
        }
        if let error = answer.error { throw error }
    }

    /// Runs on the thread. `nil` if the server took it.
    private func perform(_ message: [UInt8], _ from: String, _ recipients: [String]) -> TransportError? {
        let transfer = MailTransfer(message)
        do throws(CurlError) {
            var handle = try CurlHandle()
            try handle.restrict()
            try handle.set(CURLOPT_PROTOCOLS_STR, server.scheme.rawValue)
            try handle.set(CURLOPT_URL, server.description)
            let isClear = server.scheme == .smtp && server.isLoopback && trust == .system
            try handle.set(CURLOPT_USE_SSL, Int((isClear ? CURLUSESSL_NONE : CURLUSESSL_ALL).rawValue))
            try unsafe handle.apply(trust, pin: nil)
            try handle.set(CURLOPT_TIMEOUT_MS, max(1, timeout.milliseconds))
            try handle.set(CURLOPT_CONNECTTIMEOUT_MS, max(1, min(timeout, .seconds(10)).milliseconds))
            try handle.set(CURLOPT_USERNAME, username)
            try handle.set(CURLOPT_PASSWORD, password())
            try handle.set(CURLOPT_MAIL_FROM, "<\(from)>")
            try handle.setRecipients(recipients.map { "<\($0)>" })
            try handle.set(CURLOPT_UPLOAD, 1)
            try handle.set(CURLOPT_INFILESIZE_LARGE, offset: message.count)
            // The handle calls back into `transfer` only while it performs.
            let context = unsafe UnsafeRawPointer(Unmanaged.passUnretained(transfer).toOpaque())
            try unsafe handle.set(CURLOPT_READDATA, pointer: context)
            try unsafe handle.set(CURLOPT_READFUNCTION, function: giveMailPart)
            // libcurl reads no more than 300 KiB of replies.
            try unsafe handle.set(CURLOPT_HEADERFUNCTION, function: dropReply)
            try unsafe handle.set(CURLOPT_WRITEFUNCTION, function: dropReply)
            let result = withExtendedLifetime(transfer) { handle.perform() }
            return Self.error(result, transfer, handle.lastError.isEmpty ? result.text : handle.lastError)
        } catch {
            return .unreachable("\(error.operation): \(error.text)")
        }
    }

    private static func error(_ result: CurlError, _ transfer: MailTransfer, _ text: String) -> TransportError? {
        switch result.code {
        case Int(CURLE_OK.rawValue): nil
        case Int(CURLE_OPERATION_TIMEDOUT.rawValue): .timeout(sent: transfer.isStarted)
        default: transfer.isStarted ? .broken(text, sent: true) : .unreachable(text)
        }
    }
}

/// One message on its way. Used on the thread that performs the transfer; libcurl calls back into it.
private final class MailTransfer {
    private let message: [UInt8]
    private var given = 0
    /// Whether part of the message may have been sent.
    var isStarted: Bool { given > 0 }

    init(_ message: [UInt8]) { self.message = message }

    func give(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let part = message[given...].prefix(buffer.count)
        unsafe buffer.copyBytes(from: part)
        given += part.count
        return part.count
    }
}

/// The one answer to a task that waits: whichever comes first.
private final class MailAnswer: Sendable {
    private struct State {
        var waiter: CheckedContinuation<Void, Never>?
        var isGiven = false
        var error: TransportError?
    }

    private let state = Lock(State())

    var error: TransportError? { state.withLock { $0.error } }

    /// False if the answer is there already.
    func wait(_ waiter: CheckedContinuation<Void, Never>) -> Bool {
        state.withLock { state in
            if !state.isGiven { state.waiter = waiter }
            return !state.isGiven
        }
    }

    func give(_ error: TransportError?) {
        let waiter: CheckedContinuation<Void, Never>? = state.withLock { state in
            guard !state.isGiven else { return nil }
            (state.isGiven, state.error) = (true, error)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
}

// C callbacks: `context` is the transfer, which outlives the call that performs it.

private func giveMailPart(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let context = unsafe context, let bytes = unsafe bytes else { return 0 }
    let transfer = unsafe Unmanaged<MailTransfer>.fromOpaque(context).takeUnretainedValue()
    return unsafe transfer.give(into: UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
}

/// What the server says beside its last line is not needed, and goes nowhere.
private func dropReply(
    _: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _: UnsafeMutableRawPointer?
) -> Int { size * count }
