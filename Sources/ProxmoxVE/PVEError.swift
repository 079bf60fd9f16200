package import HTTPMessage
import StrictJSON

/// Why a call of the Proxmox VE API has no result.
package enum PVEError: Error, Sendable, Hashable {
    /// Any status except success and 401.
    case refused(PVERefusal)
    /// 401: the token is unknown, wrong, expired or disabled. `reason` is Proxmox VE's text.
    case unauthenticated(reason: String)
    /// A success whose body is not from Proxmox VE: not JSON, not an object, or without `data`.
    case invalid(String)
    case transport(TransportError)

    /// Whether a mutation with this error may have been carried out, wholly or in part. Only `false` is certain.
    package var mayHaveExecuted: Bool {
        switch self {
        case .refused(let refusal): refusal.isFromGateway
        case .unauthenticated: false
        case .invalid: true
        case .transport(let error): error.maybeSent
        }
    }
}

/// An error answer of Proxmox VE with its texts, which may repeat values of parameters.
package struct PVERefusal: Error, Sendable, Hashable {
    package let status: Int
    /// The reason phrase of the status line, where Proxmox VE puts its error text.
    package let reason: String
    /// The error text from the body; only newer versions send it.
    package let message: String?
    /// The text to show: the body's if there is one. A proxy may replace the reason phrase, which also has only the
    /// first line.
    package var words: String {
        guard let message, !message.isEmpty else { return reason }
        return message.split(whereSeparator: \.isNewline).joined(separator: "; ")
    }
    /// The error of each parameter, by its name.
    package let errors: [String: String]

    package init(status: Int, reason: String, message: String? = nil, errors: [String: String] = [:]) {
        self.status = status
        self.reason = reason
        self.message = message
        self.errors = errors
    }

    /// Reads an answer. Its body may be anything; texts are cut at 4,096 characters.
    init(_ answer: IncomingResponse) {
        let body = try? JSON.parse(answer.body)
        let errors = body?["errors"]?.object?.members ?? []
        self.init(
            status: answer.status, reason: Self.trimmed(answer.reason),
            message: body?["message"]?.string.map(Self.trimmed),
            errors: Dictionary(
                errors.compactMap { member in member.value.string.map { (member.key, Self.trimmed($0)) } },
                uniquingKeysWith: { first, _ in first }))
    }

    /// Whether the asked node lost another process or node on the way: 502, 504, and 595–599, by which pveproxy tells
    /// how far it got. The call may have been carried out then.
    package var isFromGateway: Bool { [502, 504].contains(status) || (595...599).contains(status) }

    /// Without the line end that Perl programs add to the text of `die`.
    static func trimmed(_ text: String) -> String {
        var text = text.prefix(4096)
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
