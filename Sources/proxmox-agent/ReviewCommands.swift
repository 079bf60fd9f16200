import AgentModel
import ArgumentParser
import HTTPTypes
import StrictJSON

/// `proxmox-agent review`
struct ReviewCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "review", abstract: "Review what operations passed in emergencies.",
        discussion: """
            Each change that passed a change window, a limit or a freeze stays open until somebody else than its requester \
            has closed its review.
            """,
        subcommands: [List.self, Close.self])

    /// `proxmox-agent review list`
    struct List: ClientCommand {
        static let configuration = CommandConfiguration(commandName: "list", abstract: "List reviews, newest first.")

        @Option(help: ArgumentHelp("Only open or closed ones.", valueName: "state"))
        var state: String?

        @OptionGroup var client: ClientOptions

        func validate() throws {
            if let state, !["open", "closed"].contains(state) {
                throw ValidationError("--state takes open or closed, not \(quoted(state))")
            }
        }

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.get("/v1/reviews", [("state", state)])
            let reviews = answer.json["reviews"]?.array ?? []
            return Shown(answer: answer, lines: reviews.isEmpty ? ["no reviews"] : reviews.flatMap(lines))
        }
    }

    /// `proxmox-agent review close`
    struct Close: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "close",
            abstract: "Say whether an emergency of somebody else was one.",
            discussion: "Look at the operation first: operation show ID.")

        @Argument(help: .operationID, transform: { try Beginning($0, .operation) })
        var id: Beginning

        @Option(help: ArgumentHelp("justified or unjustified.", valueName: "verdict"))
        var verdict: String

        @Option(help: ArgumentHelp("What you found; kept in the audit log.", valueName: "text"))
        var comment: String

        @OptionGroup var client: ClientOptions

        func validate() throws {
            guard ["justified", "unjustified"].contains(verdict) else {
                throw ValidationError("--verdict takes justified or unjustified, not \(quoted(verdict))")
            }
        }

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.change(
                .post, "/v1/reviews/\(try await agent.id(id))", [],
                ["verdict": .string(verdict), "comment": .string(comment)])
            return Shown(answer: answer, lines: lines(answer.json))
        }
    }
}

/// A review in two or three lines.
private func lines(_ review: JSON) -> [String] {
    let what = ["action", "target"].compactMap { review[$0]?.string }.joined(separator: " ")
    let id = review["operation_id"]?.string ?? ""
    let verdict = review["verdict"]
    let state = verdict?["verdict"]?.string ?? "open"
    let said = verdict.map { verdict in
        "  \(state), says \(verdict["by"]?.string ?? ""): \(PlanText.text(verdict["comment"]?.string ?? ""))"
    }
    return ["\(id)  \(what) on \(review["environment"]?.string ?? "")  \(state)"]
        + [review["break_glass"].map { "  \(glassText($0, by: review["requester"]?.string ?? ""))" }, said].compactMap {
            $0
        }
}

/// What was passed, by whom and why, in one line.
func glassText(_ glass: JSON, by requester: String) -> String {
    func names(_ key: String, _ word: String) -> [String] {
        (glass[key]?.array ?? []).compactMap(\.string).map { "\(word) \($0)" }
    }
    let passed =
        names("windows", "the change window of rule") + names("limits", "the limit of rule")
        + names("freezes", "freeze")
    return "\(requester) passed \(passed.joined(separator: ", ")) at \(glass["at"]?.string ?? ""): "
        + PlanText.text(glass["reason"]?.string ?? "")
}
