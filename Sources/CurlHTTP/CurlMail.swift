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

    /// Returns `nil` once the server has taken the message for all recipients, or why it refuses for good what it has
    /// read of it. A cancelled task returns at once; its connection then ends by the time limit.
    package func send(
        _ message: [UInt8], from: String, to recipients: [String]
    ) async throws(TransportError) -> String? {
        let answer = MailAnswer()
        await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                guard answer.wait(waiter) else { return waiter.resume() }
                do throws(OwnThread.Unavailable) {
                    try OwnThread.start { answer.give(perform(message, from, recipients)) }
                } catch {
                    answer.give(.failed(.unreachable(error.description)))
                }
            }
        } onCancel: {
            answer.give(.failed(.cancelled(sent: true)))
        }
        switch answer.result {
        case .taken: return nil
        case .refused(let why): return why
        case .failed(let error): throw error
        }
    }

    /// Runs on the thread.
    private func perform(_ message: [UInt8], _ from: String, _ recipients: [String]) -> MailResult {
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
            let text = handle.lastError.isEmpty ? result.text : handle.lastError
            return Self.result(result, transfer, code: handle.responseCode, text)
        } catch {
            return .failed(.unreachable("\(error.operation): \(error.text)"))
        }
    }

    /// `code` is the last that the server answered. One from 500 on to what it has read is about the message itself.
    private static func result(
        _ result: CurlError, _ transfer: MailTransfer, code: Int, _ text: String
    ) -> MailResult {
        switch result.code {
        case Int(CURLE_OK.rawValue): .taken
        case Int(CURLE_OPERATION_TIMEDOUT.rawValue): .failed(.timeout(sent: transfer.isStarted))
        default:
            if transfer.isStarted, (500..<600).contains(code) {
                .refused("answered \(code) to the message")
            } else {
                .failed(transfer.isStarted ? .broken(text, sent: true) : .unreachable(text))
            }
        }
    }
}

/// What became of a message.
private enum MailResult: Sendable {
    case taken
    case refused(String)
    case failed(TransportError)
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
        var result: MailResult?
    }

    private let state = Lock(State())

    var result: MailResult { state.withLock { $0.result } ?? .failed(.cancelled(sent: true)) }

    /// False if the answer is there already.
    func wait(_ waiter: CheckedContinuation<Void, Never>) -> Bool {
        state.withLock { state in
            if state.result == nil { state.waiter = waiter }
            return state.result == nil
        }
    }

    func give(_ result: MailResult) {
        let waiter: CheckedContinuation<Void, Never>? = state.withLock { state in
            guard state.result == nil else { return nil }
            state.result = result
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
