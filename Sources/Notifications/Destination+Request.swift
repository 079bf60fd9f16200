import AgentModel
import AgentService
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import StrictJSON

extension Destination {
    /// The request that delivers a notice; `nil` for mail. Its bodies are JSON throughout, so no text gets into a header.
    func request(_ text: NoticeText, _ id: RecordID, at now: Date) -> OutgoingRequest? {
        switch self {
        case .webhook(let address, let secrets): Self.webhook(address, secrets, text, id, at: now)
        case .ntfy(let address, let token): Self.ntfy(address, token, text)
        case .gotify(let address, let token):
            // Reveals the token: to the server that it is for.
            Self.post(address.appending("/message"), Self.gotify(text), [.gotifyKey: token.reveal()])
        case .slack(let address): Self.post(address.target, Self.slack(text))
        case .discord(let address): Self.post(address.target, Self.discord(text))
        case .mattermost(let address): Self.post(address.target, Self.mattermost(text))
        case .email: nil
        }
    }

    private static func post(_ target: String, _ body: JSON, _ fields: HTTPFields = [:]) -> OutgoingRequest {
        var fields = fields
        fields[.contentType] = "application/json"
        return OutgoingRequest(method: .post, target: target, fields: fields, body: body.bytes, once: true)
    }

    // MARK: Webhooks

    private static func webhook(
        _ address: NoticeAddress, _ secrets: [WebhookSecret], _ text: NoticeText, _ id: RecordID, at now: Date
    ) -> OutgoingRequest {
        var request = post(address.target, payload(text, id))
        let (body, seconds) = (request.body ?? [], Timestamp(now).milliseconds / 1000)
        request.fields[.webhookID] = id.description
        request.fields[.webhookTimestamp] = "\(seconds)"
        request.fields[.webhookSignature] = secrets.map {
            $0.signature(of: body, id: id.description, timestamp: seconds)
        }.joined(separator: " ")
        return request
    }

    /// The same at every try.
    private static func payload(_ text: NoticeText, _ id: RecordID) -> JSON {
        let notice = text.notice
        return [
            "type": .string(notice.event.rawValue), "timestamp": .string(notice.at.rfc3339),
            "data": [
                "notification_id": .string(id.description), "agent": .string(text.agent),
                "title": .string(notice.title), "urgent": .bool(notice.isUrgent),
                "environment": notice.environment.map { .string($0.description) },
                "plan_id": notice.planID.map { .string($0.description) },
                "operation_id": notice.operationID.map { .string($0.description) },
                "outcome": notice.outcome.map { .string($0.rawValue) },
                "risk_level": notice.risk.map { .string($0.rawValue) }, "url": text.link.map { .string($0) },
                "facts": .array(
                    notice.facts.map { fact in
                        [
                            "name": .string(fact.name), "text": .string(fact.text),
                            "source": .string(fact.source.rawValue),
                        ]
                    }),
            ],
        ]
    }

    // MARK: Push services

    private static func ntfy(_ address: NoticeAddress, _ token: Secret?, _ text: NoticeText) -> OutgoingRequest? {
        guard let (server, topic) = address.lastPart else { return nil }
        // Reveals the token: to the server that it is for.
        let fields: HTTPFields = token.map { [.authorization: "Bearer \($0.reveal())"] } ?? [:]
        return post(
            server,
            [
                "topic": .string(topic), "title": .string(text.notice.title),
                "message": .string(text.body(title: false, link: false, upTo: 1000)),
                "click": text.link.map { .string($0) },
                "priority": JSON(text.notice.isUrgent ? 4 : 3),
            ], fields)
    }

    private static func gotify(_ text: NoticeText) -> JSON {
        [
            "title": .string(text.notice.title), "message": .string(text.body(title: false, upTo: 4000)),
            "priority": JSON(text.notice.isUrgent ? 8 : 4),
            "extras": [
                "client::display": ["contentType": "text/plain"],
                "client::notification": text.link.map { ["click": ["url": .string($0)]] },
            ],
        ]
    }

    // MARK: Chats

    /// The text as `plain_text`, in which Slack sees no markup; the link apart from it.
    private static func slack(_ text: NoticeText) -> JSON {
        let body: JSON = [
            "type": "plain_text", "emoji": false, "text": .string(text.body(link: false, upTo: 2900)),
        ]
        let link = text.link.map { link -> JSON in
            ["type": "section", "text": ["type": "mrkdwn", "text": .string("<\(link)|Open in the console>")]]
        }
        return [
            "text": .string(Markup.slack(text.notice.title)),
            "blocks": .array([["type": "section", "text": body], link].compactMap { $0 }),
            "unfurl_links": false, "unfurl_media": false,
        ]
    }

    private static func discord(_ text: NoticeText) -> JSON {
        [
            "content": .string(text.body(upTo: 1990, Markup.discord)), "allowed_mentions": ["parse": []],
            // SUPPRESS_EMBEDS: no preview of the link.
            "flags": 4,
        ]
    }

    private static func mattermost(_ text: NoticeText) -> JSON {
        ["text": .string(text.body(upTo: 3900, Markup.mattermost))]
    }
}

extension HTTPField.Name {
    fileprivate static let webhookID = name("webhook-id")
    fileprivate static let webhookTimestamp = name("webhook-timestamp")
    fileprivate static let webhookSignature = name("webhook-signature")
    fileprivate static let gotifyKey = name("X-Gotify-Key")

    private static func name(_ text: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(text) else { preconditionFailure("\(text) is no field's name") }
        return name
    }
}
