import ArgumentParser
import Testing

@testable import proxmox_agent

/// The tree of commands, which every start walks through.
struct CommandTreeTests {
    @Test func `every command says its name, which is dear to find out from its type`() {
        var (rest, count): ([any ParsableCommand.Type], Int) = ([ProxmoxAgent.self], 0)
        while let command = rest.popLast() {
            count += 1
            #expect(command.configuration.commandName != nil, "\(command)")
            rest += command.configuration.subcommands + command.configuration.groupedSubcommands.flatMap(\.subcommands)
        }
        #expect(count > 50)
    }
}
