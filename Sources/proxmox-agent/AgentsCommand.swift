import AgentModel
import ArgumentParser
import HTTPTypes
import StrictJSON

/// `proxmox-agent agents`
struct AgentsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agents",
        abstract: "Show the agents that share one state, and let them give their environments back.",
        subcommands: [List.self, Drain.self, Forget.self], defaultSubcommand: List.self)

    /// `proxmox-agent agents list`
    struct List: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List the agents, and where each carries out operations.")

        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.get("/v1/agents", [])
            guard answer.json["shared"] == true else {
                return Shown(answer: answer, lines: ["one agent: its state is in a file"])
            }
            let agents = answer.json["agents"]?.array ?? []
            return Shown(
                answer: answer,
                lines: agents.map { row in
                    let environments = (row["environments"]?.array ?? []).compactMap(\.string)
                    let seen = row["seen_seconds"]?.integer ?? 0
                    return
                        "\(row["name"]?.string ?? "")\(row["this"] == true ? " (answers)" : "")  \(row["state"]?.string ?? "")  "
                        + "version \(row["version"]?.string ?? "")  seen \(seen) s ago  "
                        + (environments.isEmpty ? "carries out nothing" : environments.joined(separator: ", "))
                })
        }
    }

    /// `proxmox-agent agents drain`
    struct Drain: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "drain",
            abstract: "Let an agent give its environments back and take none.",
            discussion: """
                It goes on answering requests. Once agents list shows that it carries out nothing, stopping it delays \
                nothing. Its next start ends that, as does --end.
                """)

        @Argument(help: ArgumentHelp("The agent's name.", valueName: "name"))
        var name: String

        @Flag(help: "Let it carry out operations again.")
        var end = false

        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.change(
                end ? .delete : .post, "/v1/agents/\(name.percentEncoded)/drain", [], nil)
            return Shown(
                answer: answer,
                lines: [end ? "\(name) takes environments again" : "\(name) gives its environments back"])
        }
    }

    /// `proxmox-agent agents forget`
    struct Forget: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "forget",
            abstract: "Forget an agent that is gone for good.",
            discussion: """
                Its name disappears from the list, and a restored state does not wait for its audit log any more. Keep that \
                log: it is the only proof of what the agent did.
                """)

        @Argument(help: ArgumentHelp("The agent's name.", valueName: "name"))
        var name: String

        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.change(.delete, "/v1/agents/\(name.percentEncoded)")
            return Shown(answer: answer, lines: ["\(name) is forgotten"])
        }
    }
}
