import AgentModel
import AgentService
import ArgumentParser
import HTTPTypes
import StrictJSON

/// `proxmox-agent notify`
struct NotifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notify", abstract: "Try destinations of notifications, and see what was not delivered.",
        subcommands: [Test.self, List.self, Retry.self])

    /// `proxmox-agent notify test`
    struct Test: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "test",
            abstract: "Send a test to a destination now, past those that wait.",
            discussion: "Exits with 1 if the destination does not take it.")

        @Argument(help: ArgumentHelp("The destination's id in the configuration.", valueName: "target"))
        var target: String

        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.change(.post, "/v1/notifications/test", [], ["target": .string(target)])
            guard answer.json["delivered"] != true else {
                return Shown(answer: answer, lines: ["\(target): delivered"])
            }
            let why = answer.json["error"]?.string ?? ""
            return Shown(answer: answer, lines: ["\(target): not delivered: \(PlanText.text(why))"], isGood: false)
        }
    }

    /// `proxmox-agent notify list`
    struct List: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List notifications, newest first: those that wait and were given up, and some delivered ones.")

        @Option(help: ArgumentHelp("Only those to this destination.", valueName: "target"))
        var target: String?

        @Option(help: ArgumentHelp("Only waiting, delivered or dead ones.", valueName: "state"))
        var state: String?

        @Option(help: ArgumentHelp("At most so many, up to 500; 100.", valueName: "number"))
        var limit: Int?

        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.get(
                "/v1/notifications", [("target", target), ("state", state), ("limit", limit.map { "\($0)" })])
            let rows = answer.json["notifications"]?.array ?? []
            let more = answer.json["next"]?.string == nil ? [] : ["there are more; --limit shows up to 500"]
            return Shown(
                answer: answer, lines: rows.isEmpty ? ["there are no notifications"] : table(rows.map(row)) + more)
        }
    }

    /// `proxmox-agent notify retry`
    struct Retry: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "retry",
            abstract: "Try a notification again that waits or was given up; it has three days again.")

        @Argument(help: ArgumentHelp("Its id, ntf_…, as notify list shows it.", valueName: "id"))
        var id: String

        @OptionGroup var client: ClientOptions

        func validate() throws {
            guard RecordID(id, .notification) != nil else {
                throw ValidationError("an id is ntf_ and 20 of 0-9 a-z but i l o u; notify list shows them")
            }
        }

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.change(.post, "/v1/notifications/\(id)/retry")
            return Shown(answer: answer, lines: table([row(answer.json)]))
        }
    }
}

/// A notification as a row of a table.
private func row(_ notification: JSON) -> [String] {
    func text(_ key: String) -> String? { notification[key]?.string }
    let attempts = notification["attempts"]?.integer ?? 0
    let last = text("error").map { ", last: \(PlanText.text($0))" } ?? ""
    return [
        text("notification_id") ?? "", text("state") ?? "", text("target") ?? "", text("queued_at") ?? "",
        text("title") ?? "", "\(attempts) \(attempts == 1 ? "try" : "tries")\(last)",
    ]
}
