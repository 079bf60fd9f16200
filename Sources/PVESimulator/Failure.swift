import StrictJSON

/// An answer of Proxmox VE with status 400 or above; its text travels in the reason phrase and in the body.
struct Failure: Error {
    enum Body {
        /// `{"data":null,"message":…,"errors":…}`, as the API itself answers.
        case json
        /// The message as plain text, as the HTTP server in front of the API answers.
        case text
        case none
    }

    var status: Int
    /// The whole text; the reason phrase is its first line.
    var message: String
    var errors: [String: String] = [:]
    var body = Body.json

    var reason: String {
        let end = message.unicodeScalars.firstIndex { $0.value < 0x20 } ?? message.endIndex
        return String(message[..<end])
    }

    /// As a task ends that fails on it: everything in one line.
    var taskText: String {
        let details = errors.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }.joined()
        var text = (status == 500 ? "" : "\(status) ") + message + details
        if text.hasSuffix("\n") { text.removeLast() }
        return text.replacing("\n", with: " ")
    }

    static func plain(_ message: String) -> Failure { Failure(status: 500, message: message + "\n") }

    static func parameters(_ errors: [String: String]) -> Failure {
        Failure(status: 400, message: "Parameter verification failed.\n", errors: errors)
    }

    static func denied(_ detail: String? = nil) -> Failure {
        Failure(status: 403, message: "Permission check failed" + (detail.map { " (\($0))" } ?? "") + "\n")
    }

    static func notImplemented(_ method: String, _ path: String) -> Failure {
        Failure(status: 501, message: "Method '\(method) \(path)' not implemented")
    }

    static func unauthenticated(_ reason: String) -> Failure { Failure(status: 401, message: reason, body: .none) }

    static func server(_ status: Int, _ text: String) -> Failure { Failure(status: status, message: text, body: .text) }

    /// What most of the cluster's calls say without quorum.
    static let notReady = Failure.plain("cluster not ready - no quorum?")

    static let staleConfig = Failure.plain("detected modified configuration - file changed by other user? Try again.")
}

/// What a handler answers with status 200.
enum Reply {
    case data(JSON)
    /// A list of which `data` is one page; `total` is left out where Proxmox VE leaves it out.
    case page(JSON, total: Int?)
    /// A serialised answer that several requests share.
    case bytes([UInt8])

    static let null = Reply.data(.null)

    var bytes: [UInt8] {
        switch self {
        case .bytes(let bytes): bytes
        case .data(let data): JSON.object(["data": data]).bytes
        case .page(let data, let total): JSON.object(["data": data, "total": total.map { JSON($0) }]).bytes
        }
    }
}
