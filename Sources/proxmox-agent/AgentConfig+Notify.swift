import AgentModel
import AgentService
import CurlHTTP
import Notifications
import StrictJSON

extension AgentConfig {
    /// A destination of notifications as in the file.
    struct NotifyTarget: Sendable {
        enum Server: Sendable {
            case http(HTTPOrigin)
            case mail(MailServer, username: String?, password: Secret?)
        }

        let subscription: NoticeSubscription
        let destination: Destination
        let server: Server
        let trust: ServerTrust

        /// For people. Of the address it has the host alone, since the rest may be the secret.
        var line: String {
            let host =
                switch server {
                case .http(let origin): origin.description
                case .mail(let server, _, _): server.description
                }
            let places = subscription.environments.map { $0.map(\.description).sorted().joined(separator: ", ") }
            let topics = subscription.topics.map(\.description).sorted().joined(separator: ", ")
            return "notifications \(subscription.target): to \(host), \(topics) in \(places ?? "all environments")"
        }
    }
}

/// Reads the destinations of notifications.
extension ConfigReading {
    func notify(_ reader: inout ObjectReader, _ config: inout AgentConfig, in environments: KnownNames) {
        reader.each("notify") { index, reader in
            let kinds = Destination.Kind.allCases.map(\.rawValue).joined(separator: ", ")
            let id = reader.parsed("id", "1 to 64 of A-Z a-z 0-9 _ -") { TextForm.word.matches($0) ? $0 : nil }
            let kind = reader.parsed("kind", "one of \(kinds)", Destination.Kind.init)
            reader.require("id", "a name such as on-call")
            reader.require("kind", "one of \(kinds)")
            let subscription = subscription(id ?? "", &reader, in: environments)
            let trust = trust(&reader)
            if let id, let other = config.notify.firstIndex(where: { $0.subscription.target == id }) {
                reader.report("id", "\"\(id)\" is taken by notify[\(other)]; ids are unique")
            }
            if index == Self.mostTargets { reader.report("id", "is one too many: there may be \(index) destinations") }
            guard let kind else { return reader.acceptAll(Self.keysOfKinds) }
            let found = kind == .email ? mail(&reader, trust) : http(kind, &reader, trust)
            guard id != nil, let (destination, server) = found else { return }
            config.notify.append(
                AgentConfig.NotifyTarget(
                    subscription: subscription, destination: destination, server: server, trust: trust))
        }
    }

    private static let mostTargets = 32

    private func subscription(
        _ id: String, _ reader: inout ObjectReader, in names: KnownNames
    ) -> NoticeSubscription {
        let topics = NoticeSubscription.Topic.all.map(\.description).joined(separator: ", ")
        let wanted = reader.set("events", "one of \(topics)", NoticeSubscription.Topic.init)
        let risk = reader.parsed("min_risk", "low, medium or high", Risk.init)
        return NoticeSubscription(
            target: id, topics: wanted ?? NoticeSubscription.Topic.standard,
            environments: reader.environments(among: names), minimumRisk: risk ?? .low)
    }

    // MARK: Over HTTP

    private func http(
        _ kind: Destination.Kind, _ reader: inout ObjectReader, _ trust: ServerTrust
    ) -> (Destination, AgentConfig.NotifyTarget.Server)? {
        let isSecret = [.slack, .discord, .mattermost].contains(kind)
        let address = address(&reader, isSecret: isSecret, trust)
        let destination: Destination?
        switch kind {
        case .webhook:
            let text = secret("secret", &reader, missing: "is missing; \(Self.newSecret)")
            let secrets = text.flatMap { WebhookSecret.list($0.text) }
            if let text, secrets == nil {
                reader.report(
                    text.key, "must hold whsec_ and 24 to 64 bytes in base64, up to four of them; \(Self.newSecret)")
            }
            destination = address.flatMap { address in secrets.map { .webhook(address.0, $0) } }
        case .ntfy:
            let token = token(&reader, missing: nil)
            if let address, address.0.lastPart == nil {
                reader.report(address.key, "must end in the topic: https://ntfy.example/TOPIC")
                return nil
            }
            destination = address.map { .ntfy($0.0, token: token) }
        case .gotify:
            let token = token(&reader, missing: "is missing; name the variable with the application's token")
            destination = address.flatMap { address in token.map { .gotify(address.0, token: $0) } }
        case .slack: destination = address.map { .slack($0.0) }
        case .discord: destination = address.map { .discord($0.0) }
        case .mattermost: destination = address.map { .mattermost($0.0) }
        case .email: destination = nil
        }
        return destination.flatMap { found in address.map { (found, .http($0.origin)) } }
    }

    private static let newSecret = "make one: echo whsec_$(openssl rand -base64 32)"

    private func address(
        _ reader: inout ObjectReader, isSecret: Bool, _ trust: ServerTrust
    ) -> (NoticeAddress, origin: HTTPOrigin, key: String)? {
        let plain = reader.string("url")
        if isSecret, plain != nil {
            reader.report("url", "is a secret: whoever knows it can post there; use url_env or url_file")
            return nil
        }
        let hidden = secret("url", &reader, missing: plain != nil ? nil : "is missing; name the destination's address")
        if plain != nil, let hidden { reader.report(hidden.key, "give one of url, url_env and url_file, not more") }
        guard let (key, text) = plain.map({ ("url", $0) }) ?? hidden.map({ ($0.key, $0.text) }) else { return nil }
        guard let address = NoticeAddress(text) else {
            reader.report(key, "must be a URL such as https://host/path, percent-encoded and without #")
            return nil
        }
        do throws(HTTPOrigin.Invalid) {
            let origin = try HTTPOrigin(parsing: address.origin)
            if origin.scheme == .http, trust != .system { reader.report("tls", "is for https://; this is http://") }
            return (address, origin, key)
        } catch {
            reader.report(key, Self.wording(of: error))
            return nil
        }
    }

    /// What is wrong with an address, which is not repeated.
    private static func wording(of error: HTTPOrigin.Invalid) -> String {
        switch error {
        case .scheme: "must start with https://, or with http:// for loopback"
        case .host: "has no valid host name or address"
        case .port: "has no valid port; 1 to 65535"
        case .notOnlyOrigin: "has a user or password in it; leave it out"
        case .plaintextBeyondLoopback: "is not encrypted; http:// is for loopback only, use https://"
        }
    }

    // MARK: By mail

    private func mail(
        _ reader: inout ObjectReader, _ trust: ServerTrust
    ) -> (Destination, AgentConfig.NotifyTarget.Server)? {
        let server = mailServer(&reader)
        let from = reader.parsed("from", "a mail address such as agent@example.com", MailAddress.init)
        let recipients = reader.set("to", "a mail address such as ops@example.com", MailAddress.init)
        reader.require("server", "smtp://host:587 or smtps://host:465")
        reader.require("from", "a mail address such as agent@example.com")
        reader.require("to", "a list of mail addresses")
        if let recipients, recipients.count > 20 {
            reader.report("to", "has more than 20 addresses; use a mailing list")
        }
        let username = reader.parsed("username", "text of 1 to 256 characters") {
            TextForm.line(256).matches($0) ? $0 : nil
        }
        let missing = username == nil ? nil : "is missing; name the variable with the password of username"
        let password = secret("password", &reader, missing: missing)
        if let password, username == nil { reader.report(password.key, "needs username") }
        if let password, !TextForm.line(256).matches(password.text) {
            reader.report(password.key, "must be one line of 1 to 256 characters")
        }
        if case .pinned = trust { reader.report("tls", "takes ca_file alone for email") }
        guard let server, let from, let recipients else { return nil }
        let sorted = recipients.sorted { $0.description < $1.description }
        return (
            .email(from: from, to: sorted),
            .mail(server, username: username, password: password.map { Secret($0.text) })
        )
    }

    private func mailServer(_ reader: inout ObjectReader) -> MailServer? {
        guard let text = reader.string("server") else { return nil }
        do throws(HTTPOrigin.Invalid) { return try MailServer(parsing: text) } catch {
            let detail =
                switch error {
                case .scheme: "must start with smtp:// or smtps://"
                case .notOnlyOrigin: "must be scheme, host and port alone; a user goes into username"
                case .host, .port, .plaintextBeyondLoopback: Self.wording(of: error)
                }
            reader.report("server", detail)
            return nil
        }
    }

    // MARK: Secrets

    private func token(_ reader: inout ObjectReader, missing: String?) -> Secret? {
        guard let (key, text) = secret("token", &reader, missing: missing) else { return nil }
        if let token = Self.checked(text) { return token }
        reader.report(key, "must hold the token alone, on one line")
        return nil
    }

    /// The text that `NAME_env` or `NAME_file` gives, and which of them. `missing` is reported where there is neither;
    /// without it, that is no error.
    private func secret(
        _ name: String, _ reader: inout ObjectReader, missing: String?
    ) -> (key: String, text: String)? {
        let (inVariable, inFile) = ("\(name)_env", "\(name)_file")
        let variable = reader.string(inVariable)
        let file = reader.parsed(inFile, "a file's path") { $0.isEmpty ? nil : $0 }
        if variable != nil, file != nil {
            reader.report(inFile, "give either \(inVariable) or \(inFile), not both")
            return nil
        }
        if let file { return secretText(file, inFile, &reader).map { (inFile, $0.text) } }
        guard let variable else {
            if let missing { reader.report(inVariable, missing) }
            return nil
        }
        // An invalid name may be the secret itself, and is not repeated.
        guard Self.isVariable(variable) else {
            reader.report(
                inVariable,
                "must be the name of a variable, of A-Z a-z 0-9 _; the secret itself has no place in this file")
            return nil
        }
        guard let text = variables[variable], !text.isEmpty else {
            reader.report(inVariable, "\(variable) is not set; export it, or use \(inFile)")
            return nil
        }
        return (inVariable, text)
    }

    /// What belongs to some kinds only.
    private static let keysOfKinds = [
        "url", "url_env", "url_file", "secret_env", "secret_file", "token_env", "token_file", "server", "from", "to",
        "username", "password_env", "password_file",
    ]
}

extension ObjectReader {
    /// Takes keys that cannot be judged as read.
    fileprivate mutating func acceptAll(_ keys: [String]) { for key in keys { _ = value(key) } }
}
