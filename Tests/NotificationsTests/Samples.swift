import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import Testing

@testable import Notifications

extension NoticeAddress {
    /// An address that must be one.
    static func of(_ text: String) throws -> NoticeAddress { try #require(NoticeAddress(text)) }
}

extension Notice {
    /// A notice with everything that a hostile guest or caller could want to get into a message.
    static let hostile = Notice(
        .approvalWanted, at: .sample, environment: .sample, planID: .sample(1), risk: .high,
        title: "Approval wanted: stop_vm vm/101 on home (high risk)",
        facts: [
            Fact("What", "stop_vm: stop a guest at once"),
            Fact("Name", "<!channel> <@U123> <https://evil.example|click> & *bold* _it_ `code`", .guest),
            Fact("Changes", "[x](javascript:alert) ![i](http://evil.example/i.png) # head > quote |t| ~~s~~", .guest),
            Fact("Reason", "@everyone @here\r\nBcc: all@example.com\r\n\r\n.\r\nQUIT\u{202E}\u{0007}", .caller),
            Fact("Ticket", "\" now outside the quotes \"", .caller), Fact("Asked by", "pi-agent"),
        ])
}
