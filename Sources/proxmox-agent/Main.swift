import ArgumentParser

/// The command line.
@main
struct ProxmoxAgent: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proxmox-agent",
        abstract: "The execution and policy boundary between automation and Proxmox VE.",
        discussion: """
            Whoever wants to change something asks for a plan first, gets it approved where policy says so, and then \
            applies it. Every request is written to an audit log whose records are chained by hash.

            Without a subcommand it serves: proxmox-agent --config FILE.

            Exit status: 0 good, 1 refused or failed, 64 wrong usage, 75 the state's server cannot be had now.
            """,
        version: Version.text,
        subcommands: [
            Serve.self, InitCommand.self, CheckCommand.self, PolicyCommand.self, TokenCommand.self, Simulate.self,
            AuditCommand.self, StoreCommand.self, WitnessCommand.self, VersionCommand.self,
        ],
        groupedSubcommands: [
            CommandGroup(
                name: "Client",
                subcommands: [
                    PlansCommand.self, PlanCommand.self, ApproveCommand.self, RejectCommand.self, CancelCommand.self,
                    ApplyCommand.self, OperationsCommand.self, OperationCommand.self, EventsCommand.self,
                    ReviewCommand.self, AgentsCommand.self,
                    FreezeCommand.self, NotifyCommand.self,
                    SignInCodeCommand.self,
                    MCPCommand.self,
                ])
        ],
        defaultSubcommand: Serve.self)
}

/// The program's version.
enum Version {
    static let text = "0.1.0"
}

/// `proxmox-agent version`
struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Print the program's version.")

    func run() { print("proxmox-agent \(Version.text)") }
}
