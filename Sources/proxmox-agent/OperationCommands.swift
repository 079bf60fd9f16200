import AgentModel
import ArgumentParser
import HTTPTypes
import StrictJSON

/// `proxmox-agent apply`
struct ApplyCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Apply a plan that you asked for.",
        discussion: """
            Returns once PVE has accepted it; follow it with: operation show ID --wait.

            With --break-glass it passes a closed change window, a full limit or a freeze. That takes the role emergency, \
            and everybody is told: somebody else has to review it afterwards.
            """)

    @Argument(help: .planID, transform: { try Beginning($0, .plan) })
    var id: Beginning

    @Option(help: ArgumentHelp("Why this is an emergency; kept in the audit log.", valueName: "reason"))
    var breakGlass: String?

    @OptionGroup var client: ClientOptions

    func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
        let answer = try await agent.change(
            .post, "/v1/actions/apply", [],
            [
                "plan_id": .string(try await agent.id(id).description),
                "break_glass": breakGlass.map { .string($0) },
            ])
        let result = answer.json["operation"].map { OperationText($0).standing }
        return Shown(answer: answer, lines: [result ?? answer.json["result"]?["message"]?.string ?? "applied"])
    }
}

/// `proxmox-agent operations`
struct OperationsCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "operations", abstract: "List operations, newest first.")

    @OptionGroup var list: ListOptions

    @Option(help: ArgumentHelp("Only those of this plan.", valueName: "id"), transform: { try Beginning($0, .plan) })
    var plan: Beginning?

    @OptionGroup var client: ClientOptions

    func validate() throws { try list.checkState(OperationState.self) }

    func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
        var query = list.query
        if let plan { query.append(("plan_id", try await agent.id(plan).description)) }
        let answer = try await agent.get("/v1/operations", query)
        let rows = (answer.json["operations"]?.array ?? []).map { OperationText($0).row }
        return Shown(answer: answer, lines: list.lines(rows, of: "operations", in: answer.json))
    }
}

/// `proxmox-agent operation`
struct OperationCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "operation", abstract: "Follow, cancel or settle one operation.",
        subcommands: [Show.self, Log.self, Cancel.self, Resolve.self])

    /// `proxmox-agent operation show`
    struct Show: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Show the state of an operation.",
            discussion:
                "With --wait it shows on standard error how far PVE's task is, where its log tells; the exit status is 0 only if it succeeded, with or without warnings."
        )

        @Argument(help: .operationID, transform: { try Beginning($0, .operation) })
        var id: Beginning

        @Flag(help: "Wait until it ends, however long that takes.")
        var wait = false

        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let path = "/v1/operations/\(try await agent.id(id))"
            var answer = try await agent.get(path, [])
            var progress = ProgressLine()
            while wait, !answer.isEnded {
                if !client.json { progress.show(answer.json) }
                answer = try await agent.get(path, [("wait", "2")])
            }
            progress.end()
            return Shown(
                answer: answer, lines: OperationText(answer.json).lines, isGood: !wait || answer.hasSucceeded)
        }
    }

    /// `proxmox-agent operation log`
    struct Log: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "log", abstract: "Print PVE's log of the operation's task.")

        @Argument(help: .operationID, transform: { try Beginning($0, .operation) })
        var id: Beginning

        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let path = "/v1/operations/\(try await agent.id(id))/log"
            let first = try await agent.get(path, [("limit", "5000")])
            var lines: [String] = []
            var page = first.json["lines"]?.array ?? []
            while !page.isEmpty {
                lines += page.map { $0.string ?? "" }
                // With `--json` print one page as it is; a person gets all pages.
                guard !client.json, Int64(lines.count) < first.json["total"]?.integer ?? 0 else { break }
                page =
                    try await agent.get(path, [("start", "\(lines.count)"), ("limit", "5000")]).json["lines"]?.array
                    ?? []
            }
            return Shown(
                answer: first,
                lines: lines.isEmpty
                    ? ["no log: the operation has no task of PVE's, or nothing of its log is kept"] : lines)
        }
    }

    /// `proxmox-agent operation cancel`
    struct Cancel: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "cancel",
            abstract: "Cancel a queued operation, or ask PVE to stop its task.",
            discussion: "What the task has done by then is not undone. Follow it with: operation show ID --wait.")

        @Argument(help: .operationID, transform: { try Beginning($0, .operation) })
        var id: Beginning

        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.change(.post, "/v1/operations/\(try await agent.id(id))/cancel", [], [:])
            let asked = answer.isEnded ? [] : ["PVE was asked to stop its task"]
            return Shown(answer: answer, lines: [OperationText(answer.json).standing] + asked)
        }
    }

    /// `proxmox-agent operation resolve`
    struct Resolve: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "resolve",
            abstract: "Record the outcome of an operation that ended as unknown.",
            discussion: "Look at PVE first: the task list of the node, and the guest itself.")

        @Argument(help: .operationID, transform: { try Beginning($0, .operation) })
        var id: Beginning

        @Option(help: ArgumentHelp("The outcome: succeeded or failed.", valueName: "outcome"))
        var outcome: String

        @Option(help: ArgumentHelp("How you know; kept in the audit log.", valueName: "text"))
        var reason: String

        @OptionGroup var client: ClientOptions

        func validate() throws {
            guard ["succeeded", "failed"].contains(outcome) else {
                throw ValidationError("--outcome takes succeeded or failed, not \(quoted(outcome))")
            }
        }

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.change(
                .post, "/v1/operations/\(try await agent.id(id))/resolve", [],
                ["outcome": .string(outcome), "reason": .string(reason)])
            return Shown(answer: answer, lines: [OperationText(answer.json).standing])
        }
    }
}

extension AgentClient.Answer {
    private var state: OperationState? { json["state"]?.string.flatMap(OperationState.init) }

    /// Whether the operation has ended. Also true in an unknown state, so that the command does not wait for it.
    fileprivate var isEnded: Bool { state?.isEnded ?? true }

    fileprivate var hasSucceeded: Bool { state == .succeeded || state == .succeededWithWarnings }
}
