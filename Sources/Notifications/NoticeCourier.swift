package import AgentModel
package import AgentService
package import FoundationEssentials
package import HTTPMessage
import HTTPTypes

/// The port to a mail server.
package protocol MailTransport: Sendable {
    /// Hands the message over, within a bounded time. Returns `nil` once the server has taken it for all recipients, or
    /// why it refuses this very message for good.
    func send(_ message: [UInt8], from: String, to recipients: [String]) async throws(TransportError) -> String?
}

/// Delivers notices: each destination in its own form, through a transport of its own.
package struct NoticeCourier: NoticeSender {
    /// The way to a destination.
    package enum Transport: Sendable {
        case http(any HTTPTransport)
        case mail(any MailTransport)
    }

    private let ways: [String: (destination: Destination, transport: Transport)]
    private let publicURL: String?
    private let agent: String

    /// `publicURL` is the address of the console, if there is one, `agent` what this one is called.
    package init(
        _ ways: [String: (destination: Destination, transport: Transport)], publicURL: String?, agent: String
    ) {
        (self.ways, self.publicURL, self.agent) = (ways, publicURL, agent)
    }

    package func send(_ notice: Notice, _ id: RecordID, at now: Date, to target: String) async -> DeliveryResult {
        guard let (destination, transport) = ways[target] else { return .stopped }
        let text = NoticeText(notice, publicURL: publicURL, agent: agent)
        do throws(TransportError) {
            switch transport {
            case .http(let transport):
                guard let request = destination.request(text, id, at: now) else {
                    return .failed("its address names no topic")
                }
                return Self.result(try await transport.send(request))
            case .mail(let transport):
                guard case .email(let from, let recipients) = destination else { return .failed("it takes no mail") }
                let message = MailMessage(text, id, from: from, to: recipients, at: notice.at)
                let refusal = try await transport.send(
                    message.bytes, from: from.description, to: recipients.map(\.description))
                return refusal.map { .refused($0) } ?? .delivered
            }
        } catch {
            return Self.result(error)
        }
    }

    private static func result(_ response: IncomingResponse) -> DeliveryResult {
        let wait = response.fields[.retryAfter].flatMap { Int($0) }
        switch response.status {
        case 200..<300: return .delivered
        case 300..<400:
            return .failed(
                "answered \(response.status), a redirect, which is not followed: name the final address",
                retryAfter: wait)
        default:
            let reason = response.reason.isEmpty ? "" : " (\(response.reason))"
            let why = "answered \(response.status)\(reason)"
            return isRefusal(response.status) ? .refused(why) : .failed(why, retryAfter: wait)
        }
    }

    /// Whether the answer is about this very message. Others that begin with 4 are about the address, the token or the
    /// time, which somebody may mend.
    private static func isRefusal(_ status: Int) -> Bool {
        (400..<500).contains(status) && ![401, 403, 404, 408, 421, 425, 429].contains(status)
    }

    private static func result(_ error: TransportError) -> DeliveryResult {
        switch error {
        case .unreachable(let why): .failed("cannot be reached: \(why)")
        case .timeout: .failed("did not answer in time")
        case .broken(let why, _): .failed("the connection broke: \(why)")
        case .tooLarge(let limit): .failed("answered with more than \(limit) bytes")
        case .withheld, .cancelled: .stopped
        }
    }
}
