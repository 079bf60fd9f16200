package import FoundationEssentials
package import StrictJSON

/// One validated wish: what `POST /v1/actions/plan` takes.
package struct ActionRequest: Sendable {
    package let environment: EnvironmentName
    package let action: Action
    package let target: Target
    /// The parameters as given, but with `<redacted>` where a secret stood.
    package let params: JSONObject
    /// The secrets, by their place below `params`.
    package private(set) var secrets: [JSONPath: Secret]
    package let dryRun: Bool
    package let reason: String?
    package let expiresAt: Date?
    package let approvalTicket: String?
    package let approvedBy: String?

    package var definition: ActionDefinition { ActionCatalog.definition(of: action) }
    /// Whether applying this may change anything: no read and no dry run.
    package var changes: Bool { definition.effect == .change && !dryRun }

    /// A request that is known to be right: reads that the server makes for a simple route.
    package init(reading action: Action, on target: Target, in environment: EnvironmentName, params: JSONObject = [:]) {
        self.environment = environment
        self.action = action
        self.target = target
        self.params = params
        secrets = [:]
        dryRun = false
        reason = nil
        expiresAt = nil
        approvalTicket = nil
        approvedBy = nil
    }

    init(
        environment: EnvironmentName, action: Action, target: Target, params: JSONObject,
        secrets: [JSONPath: Secret], dryRun: Bool, notes: Notes
    ) {
        self.environment = environment
        self.action = action
        self.target = target
        self.params = params
        self.secrets = secrets
        self.dryRun = dryRun
        reason = notes.reason
        expiresAt = notes.expiresAt
        approvalTicket = notes.approvalTicket
        approvedBy = notes.approvedBy
    }

    /// The fields that say why and until when, not what.
    struct Notes: Sendable {
        var reason: String?
        var expiresAt: Date?
        var approvalTicket: String?
        var approvedBy: String?
    }

    /// Drops the secrets; done when the plan ends.
    package mutating func eraseSecrets() { secrets = [:] }

    /// The node that the caller named.
    package var node: NodeName? { params["node"]?.string.flatMap(NodeName.init) }

    /// As records and answers show it, with defaults filled in and secrets redacted.
    package var json: JSON {
        [
            "environment": .string(environment.description), "action": .string(action.rawValue),
            "target": .string(target.description), "params": .object(params), "dry_run": .bool(dryRun),
            "reason": reason.map { .string($0) }, "expires_at": expiresAt.map { .string($0.rfc3339) },
            "approval_ticket": approvalTicket.map { .string($0) }, "approved_by": approvedBy.map { .string($0) },
        ]
    }
}

extension Date {
    /// RFC 3339 in UTC with milliseconds: `2026-11-22T21:14:03.122Z`.
    package var rfc3339: String {
        formatted(.iso8601.year().month().day().time(includingFractionalSeconds: true).timeZone(separator: .omitted))
    }

    /// Parses RFC 3339 strictly, with or without fractional seconds; a day that the month has not is refused.
    package init?(rfc3339 text: String) {
        let bytes = Array(text.utf8)
        let form = Array("dddd-dd-ddTdd:dd:dd".utf8)
        guard bytes.count >= form.count + 1 else { return nil }
        for (byte, wanted) in zip(bytes, form) {
            guard wanted == UInt8(ascii: "d") ? TextForm.isDigit(byte) : byte == wanted else { return nil }
        }
        var rest = bytes[form.count...]
        let isFractional = rest.first == UInt8(ascii: ".")
        if isFractional {
            let digits = rest.dropFirst().prefix(while: TextForm.isDigit)
            guard (1...9).contains(digits.count) else { return nil }
            rest = rest.dropFirst(digits.count + 1)
        }
        let zone = rest.map { TextForm.isDigit($0) ? UInt8(ascii: "d") : $0 }
        guard ["Z", "+dd:dd", "-dd:dd"].contains(String(decoding: zone, as: UTF8.self)) else { return nil }
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: isFractional)
        guard let date = try? style.parse(text), Self.isDay(text.prefix(10)) else { return nil }
        self = date
    }

    private static func isDay(_ text: Substring) -> Bool {
        let parts = text.split(separator: "-").compactMap { Int($0) }
        guard parts.count == 3, (1...12).contains(parts[1]) else { return false }
        let isLeap = parts[0] % 4 == 0 && (parts[0] % 100 != 0 || parts[0] % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return (1...days[parts[1] - 1]).contains(parts[2])
    }
}
