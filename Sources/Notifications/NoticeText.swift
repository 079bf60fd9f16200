import AgentModel
import AgentService

/// A notice as text: its title, then a line for each fact, then where to look.
struct NoticeText {
    let notice: Notice
    /// The console's page about it; `nil` if nobody can be sent there.
    let link: String?
    /// Which agent sends it.
    let agent: String

    /// `publicURL` is the address of the console, without a final slash; `nil` if there is none.
    init(_ notice: Notice, publicURL: String?, agent: String) {
        self.notice = notice
        self.agent = agent
        let page =
            notice.operationID.map { "operations/\($0)" } ?? notice.planID.map { "plans/\($0)" }
            ?? {
                switch notice.event {
                case .freeze: "freeze"
                case .auditChainBroken: "audit"
                case .environmentDown: notice.environment.map { "environments/\($0)" } ?? "environments"
                case .approvalWanted, .planExpiring, .operationEnded, .unknownOutcome, .breakGlass, .test: ""
                }
            }()
        link = publicURL.map { "\($0)/ui/#/\(page)" }
    }

    /// One fact as a line. A text that is not the agent's own stands in quotation marks and says whose it is.
    static func line(_ fact: Notice.Fact) -> String {
        switch fact.source {
        case .agent: "\(fact.name): \(fact.text)"
        case .caller: "\(fact.name), in the caller's words: \(quoted(fact.text))"
        case .guest: "\(fact.name), as Proxmox VE or the guest says: \(quoted(fact.text))"
        }
    }

    /// In quotation marks, without others in it, without a backslash that could take the last one for its own, and
    /// without addresses that programs make links of. A character that is written as `\u{202e}` stays as it is.
    private static func quoted(_ text: String) -> String {
        let text = text.replacing("\\", with: "\\\\").replacing("\\\\u{", with: "\\u{").replacing("\"", with: "'")
        return "\"\(unlinked(text.replacing("://", with: "[:]//")))\""
    }

    /// The text with `[.]` for each dot within a name: `www[.]evil[.]example/path`.
    private static func unlinked(_ text: String) -> String {
        let scalars = Array(text.unicodeScalars)
        return scalars.indices.reduce(into: "") { out, index in
            let isInName =
                scalars[index] == "." && index > 0 && index + 1 < scalars.count && scalars[index - 1] != " "
                && scalars[index + 1].properties.isAlphabetic
            if isInName { out += "[.]" } else { out.unicodeScalars.append(scalars[index]) }
        }
    }

    /// The facts, one a line.
    var facts: [String] { notice.facts.map(Self.line) }

    /// What stands at the end, beside the link.
    var footer: String { "Sent by \(agent)." + (link == nil ? "" : " Opening the page does not sign you in.") }

    /// All of it, with each line written by `escape`, in at most `limit` code points.
    func body(
        title: Bool = true, link isShown: Bool = true, upTo limit: Int, _ escape: (String) -> String = { $0 }
    ) -> String {
        let head = title ? [escape(notice.title), ""] : []
        let tail = (isShown ? link.map { ["", "Look at it: \($0)"] } ?? [] : []) + ["", escape(footer)]
        var left = limit - (head + tail).reduce(8) { $0 + $1.unicodeScalars.count + 1 }
        var lines: [String] = []
        var isCut = false
        for line in facts.map(escape) {
            let size = line.unicodeScalars.count + 1
            guard size <= left else {
                isCut = true
                continue
            }
            left -= size
            lines.append(line)
        }
        if isCut { lines.append("…") }
        return (head + lines + tail).joined(separator: "\n")
    }
}

/// The markup of chat programs, taken from texts so that nothing in them acts.
enum Markup {
    /// Every character that Discord's or a similar Markdown takes for more than itself, behind a backslash.
    static func discord(_ text: String) -> String { escaped(text, "\\`*_{}[]()#+-.!|>~<&@:") }

    /// The same for Mattermost; what follows an at sign is no name any more.
    static func mattermost(_ text: String) -> String {
        escaped(text, "\\`*_{}[]()#+-.!|>~").replacing("@", with: "@\u{200B}")
    }

    /// Slack's three (https://docs.slack.dev/messaging/formatting-message-text).
    static func slack(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }

    private static func escaped(_ text: String, _ special: String) -> String {
        let special = Set(special.unicodeScalars)
        return text.unicodeScalars.reduce(into: "") { out, scalar in
            if special.contains(scalar) { out.unicodeScalars.append("\\") }
            out.unicodeScalars.append(scalar)
        }
    }
}
