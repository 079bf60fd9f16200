import AgentAPI
import AgentModel
import AgentService
import Glibc
import HTTPMessage
import MicroHTTPD
import SystemPackage
import SystemThread

/// `serve --demo`: two principals for a first look at the console, beside the shared token.
///
/// They have no tokens that anybody knows: one-time codes on the terminal are the only way to sign in as them.
enum Demonstration {
    static let principals = [
        Principal(id: "demo-approver", roles: [.approver, .auditor]),
        Principal(id: "demo-operator", roles: [.operator]),
    ]

    /// Their credentials, which change with every start.
    static func credentials() -> [Credentials] {
        principals.map { Credentials($0, token: CredentialDigest(of: CallerToken.make().utf8)) }
    }

    /// Why these settings are not for a demonstration; `nil` if they are.
    static func flaw(in config: AgentConfig) -> String? {
        if !config.isAllSimulated { return "--demo is for simulators only: give every environment a simulator://" }
        if !config.listen.isLoopback { return "--demo is for loopback only: set listen_addr to 127.0.0.1:8080" }
        if !config.principals.isEmpty { return "--demo brings its own principals: take principals out" }
        return config.hasConsole ? nil : "--demo is for the console: take ui out"
    }

    /// Prints where the console is, and new codes. On a terminal, Enter prints them again.
    static func announce(_ agent: Agent) async {
        let address = agent.service.installation.publicURL ?? "http://\(agent.server.address)"
        await print(agent, "The console is at \(address)/ui/")
        guard isatty(STDIN_FILENO) == 1, isatty(STDOUT_FILENO) == 1 else { return }
        print("Press Enter for new codes.\n")
        let (lines, feed) = AsyncStream.makeStream(of: Void.self)
        try? OwnThread.start {
            while readLine() != nil { feed.yield() }
        }
        for await _ in lines { await print(agent, "") }
    }

    private static func print(_ agent: Agent, _ line: String) async {
        var codes: [String] = []
        for principal in principals {
            guard let code = try? await agent.makeSignInCode(for: principal.id) else { continue }
            codes.append("    \(principal.id)  \(code.reveal())\n")
        }
        print(
            "\n\(line)\nSign in there with a one-time code, within ten minutes:\n\n\(codes.joined())")
    }

    /// Never into the log, which may be kept.
    private static func print(_ text: String) { write(Array((text + "\n").utf8), to: .standardOutput) }
}
