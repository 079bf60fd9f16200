import AgentModel
import ArgumentParser
import HTTPTypes
import StrictJSON

/// `proxmox-agent freeze`
struct FreezeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "freeze", abstract: "Let nothing change, everywhere or in one environment.",
        discussion: "While a freeze holds no change starts; what runs already goes on.",
        subcommands: [Set.self, Lift.self, Show.self])

    /// `proxmox-agent freeze set`
    struct Set: ClientCommand {
        static let configuration = CommandConfiguration(
            abstract: "Set a freeze, or replace the one of the same place.")

        @OptionGroup var place: PlaceOptions

        @Option(help: ArgumentHelp("Why; told to everybody who is refused.", valueName: "text"))
        var reason: String

        @Option(help: ArgumentHelp("How long it holds, in seconds, else until it is lifted.", valueName: "seconds"))
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
        static let configuration = CommandConfiguration(abstract: "Lift the freeze of a place.")

        @OptionGroup var place: PlaceOptions
        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.change(.delete, "/v1/freeze", [("environment", place.environment)])
            let none = "there was no freeze of \(place.environment ?? "everything"); freeze show lists those that hold"
            let lifted = answer.json["lifted"].flatMap { $0.isNull ? nil : "lifted: " + freezeText($0) }
            return Shown(answer: answer, lines: [lifted ?? none])
        }
    }

    /// `proxmox-agent freeze show`
    struct Show: ClientCommand {
        static let configuration = CommandConfiguration(abstract: "Show the freezes that hold.")

        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.get("/v1/freeze")
            let freezes = answer.json["freezes"]?.array ?? []
            return Shown(answer: answer, lines: freezes.isEmpty ? ["nothing is frozen"] : freezes.map(freezeText))
        }
    }
}

/// Where a freeze holds.
struct PlaceOptions: ParsableArguments {
    @Option(help: ArgumentHelp("In this environment alone, else everywhere.", valueName: "name"))
    var environment: String?
}

/// A freeze in one line.
private func freezeText(_ freeze: JSON) -> String {
    let place = freeze["environment"]?.string ?? "everything"
    let end = freeze["ends_at"]?.string.map { "until \($0)" } ?? "until it is lifted"
    let (by, since) = (freeze["by"]?.string ?? "", freeze["set_at"]?.string ?? "")
    return "\(place) \(end), by \(by) since \(since): \(PlanText.text(freeze["reason"]?.string ?? ""))"
}
