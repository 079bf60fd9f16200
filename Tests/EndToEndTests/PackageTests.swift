import AgentStorage
import AgentTestSupport
import FoundationEssentials
import HTTPMessage
import StrictJSON
import Testing

@testable import proxmox_agent

/// Holds the Debian package against the program that it carries.
struct PackageTests {
    @Test func `the changelog's newest entry is the program's version`() throws {
        let first = try #require(try Documents.lines("debian/changelog").first)
        #expect(first.hasPrefix("proxmox-agent (\(Version.text)) "), "\(first)")
    }

    @Test func `the shipped configuration is one that the program starts with`() throws {
        let file = Documents.root.appending(path: "debian/config.json").path
        let config = try AgentConfig(file: file, variables: [:])
        #expect(config.environments.isEmpty && config.listen.isLoopback)
        #expect(config.auditLogPath == "/var/log/proxmox-agent/audit.log")
        #expect(config.state.name == "/var/lib/proxmox-agent/state.db")
    }

    @Test func `proxmox-agent-config(5) lists every setting as the program knows it`() throws {
        let file = "debian/man/proxmox-agent-config.5"
        let expected = AgentConfig.keys.flatMap { [".TP", ".B " + Self.roff($0.key), Self.roff($0.meaning)] }
        var lines = try Documents.lines(file)
        let start = try #require(lines.firstIndex(of: ".SH KEYS")) + 1
        let end = try #require(lines.firstIndex(of: ".SH EXAMPLE"))
        if GoldenFile.isWriting {
            lines.replaceSubrange(start..<end, with: expected)
            try Data(lines.joined(separator: "\n").utf8).write(to: Documents.root.appending(path: file))
        }
        #expect(Array(try Documents.lines(file)[start..<(start + expected.count)]) == expected)
    }

    /// The text as roff shows it: hyphens and backslashes as they are, and no line that begins as a request.
    private static func roff(_ text: String) -> String {
        let shown = text.replacing("\\", with: "\\e").replacing("-", with: "\\-").replacing("~", with: "\\(ti")
        return shown.hasPrefix(".") || shown.hasPrefix("'") ? "\\&" + shown : shown
    }

    @Test func `proxmox-agent(1) names every command`() async throws {
        let page = try Documents.text("debian/man/proxmox-agent.1")
        let section = try #require(page.split(separator: ".SH COMMANDS").last?.split(separator: ".SH SIGNALS").first)
        let words = Set(section.split { !$0.isLetter && $0 != "-" }.map(String.init))
        let help = try await Program.run("--help").out
        let commands = help.split(separator: "\n").filter { $0.hasPrefix("  ") && !$0.hasPrefix("  -") }.compactMap {
            line in line.dropFirst(2).first == " " ? nil : line.split(separator: " ").first.map { String($0) }
        }.filter { $0 != "See" }
        #expect(commands.count > 10, "\(help)")
        for command in commands { #expect(words.contains(command), "\(command)") }
    }
}
