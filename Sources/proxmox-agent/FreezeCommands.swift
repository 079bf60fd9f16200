import AgentModel
import ArgumentParser
import HTTPTypes
import StrictJSON

/// `proxmox-agent freeze`
struct FreezeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "freeze", abstract: "Block all changes, everywhere or in one environment.",
        discussion: """
            While a freeze holds no call that changes something leaves; tasks that run already go on. Freezes add up, \
            one for each who sets one and each place.
            """,
        subcommands: [Set.self, Lift.self, Show.self])

    /// `proxmox-agent freeze set`
    struct Set: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "set",
            abstract: "Set a freeze, or replace your own with the same scope.")

        @OptionGroup var place: PlaceOptions

        @Option(help: ArgumentHelp("Why; shown to every caller who is refused.", valueName: "text"))
        var reason: String

        @Option(
            help: ArgumentHelp("How long it lasts, in seconds; without it, until it is lifted.", valueName: "seconds"))
        var ttl: Int?

        @OptionGroup var client: ClientOptions

        func validate() throws {
            if let ttl, !(1...2_592_000).contains(ttl) {
                throw ValidationError("--ttl takes 1 to 2592000 seconds, not \(ttl)")
            }
        }

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.change(
                .post, "/v1/freeze", [],
                [
                    "environment": place.environment.map { .string($0) }, "reason": .string(reason),
                    "ttl": ttl.map { JSON($0) },
                ])
            return Shown(answer: answer, lines: ["frozen: " + freezeText(answer.json)])
        }
    }

    /// `proxmox-agent freeze lift`
    struct Lift: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "lift",
            abstract: "Lift a freeze.",
            discussion: """
                The one of a place where one alone holds there that you may lift; else say which, by its id or by who set \
                it. Without the right to unfreeze you lift your own.
                """)

        @Argument(help: ArgumentHelp("Its id, frz_…, as freeze show lists it.", valueName: "id"))
        var id: String?

        @OptionGroup var place: PlaceOptions

        @Option(
            help: ArgumentHelp("The one that this caller set, where several have the same scope.", valueName: "name"))
        var by: String?

        @OptionGroup var client: ClientOptions

        func validate() throws {
            if id != nil, place.environment != nil || by != nil {
                throw ValidationError("an id names one freeze: leave --environment and --by out")
            }
        }

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.change(
                .delete, "/v1/freeze", [("id", id), ("environment", place.environment), ("by", by)])
            let none = "there was no freeze of \(place.environment ?? "everything"); freeze show lists those that hold"
            let lifted = answer.json["lifted"].flatMap { $0.isNull ? nil : "lifted: " + freezeText($0) }
            let left = (answer.json["freezes"]?.array ?? []).map { "still frozen: " + freezeText($0) }
            return Shown(answer: answer, lines: [lifted ?? none] + left)
        }
    }

    /// `proxmox-agent freeze show`
    struct Show: ClientCommand {
        static let configuration = CommandConfiguration(commandName: "show", abstract: "Show the freezes in force.")

        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.get("/v1/freeze")
            let freezes = answer.json["freezes"]?.array ?? []
            return Shown(answer: answer, lines: freezes.isEmpty ? ["nothing is frozen"] : freezes.map(freezeText))
        }
    }
}

/// The scope of a freeze.
struct PlaceOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Only in this environment, instead of everywhere.", valueName: "name"))
    var environment: String?
}

/// A freeze in one line.
private func freezeText(_ freeze: JSON) -> String {
    let place = freeze["environment"]?.string ?? "everything"
    let end = freeze["ends_at"]?.string.map { "until \($0)" } ?? "until it is lifted"
    let id = freeze["id"]?.string.map { ", \($0)" } ?? ""
    let (by, since) = (freeze["by"]?.string ?? "", freeze["set_at"]?.string ?? "")
    return "\(place) \(end)\(id), by \(by) since \(since): \(PlanText.text(freeze["reason"]?.string ?? ""))"
}
