import AgentModel
import ArgumentParser
import FoundationEssentials
import Glibc
import HTTPTypes
import Signatures
import StrictJSON
import SystemPackage

/// `proxmox-agent plans`
struct PlansCommand: ClientCommand {
    static let configuration = CommandConfiguration(commandName: "plans", abstract: "List plans, newest first.")

    @OptionGroup var list: ListOptions
    @OptionGroup var client: ClientOptions

    func validate() throws { try list.checkState(PlanState.self) }

    func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
        let answer = try await agent.get("/v1/plans", list.query)
        let plans = answer.json["plans"]?.array ?? []
        let rows = plans.map { PlanText($0, at: Date()).row }
        return Shown(answer: answer, lines: list.lines(rows, of: "plans", in: answer.json))
    }
}

/// `proxmox-agent plan`
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Show one plan.", subcommands: [Show.self])

    /// `proxmox-agent plan show`
    struct Show: ClientCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Show what a plan would change, and what it is waiting for.",
            discussion: """
                Changes stand as KEY FROM → TO, with - where something goes away and + where something comes. Text that others \
                wrote stands in quotation marks.
                """)

        @Argument(help: .planID, transform: { try Beginning($0, .plan) })
        var id: Beginning

        @OptionGroup var client: ClientOptions

        func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
            let answer = try await agent.plan(id)
            return Shown(answer: answer, lines: PlanText(answer.json, at: Date()).lines)
        }
    }
}

/// `proxmox-agent approve`
struct ApproveCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "approve", abstract: "Approve what a plan shows.",
        discussion: """
            With --hash, the beginning of the plan_hash of the plan that you looked at: if the plan is another one, it is not \
            approved. Without it, on a terminal, shows the plan and asks.

            With --sign, signs the approval with an SSH key, through ssh-keygen: anybody can check it later. Rules can ask \
            for that; see docs/approvals.md.

            Who asked for a plan cannot approve it. Nothing happens before who asked for it applies it.
            """)

    @Argument(help: .planID, transform: { try Beginning($0, .plan) })
    var id: Beginning

    @OptionGroup var word: WordOptions
    @OptionGroup var client: ClientOptions

    func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
        let plan = try await agent.plan(id).json
        if word.hash == nil { try Self.confirm(plan) }
        return try await word.send("approve", plan, to: agent)
    }

    /// Shows the plan and asks for a yes on standard error, so that standard output only has the answer.
    private static func confirm(_ plan: JSON) throws(ClientError) {
        guard isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 else {
            throw ClientError([
                "not approved: look at the plan with proxmox-agent plan show, then give the beginning of its hash with "
                    + "--hash (or approve on a terminal, which shows it and asks)"
            ])
        }
        for line in PlanText(plan, at: Date()).lines { complain(quoted(line)) }
        write(Array("\napprove? type yes: ".utf8), to: .standardError)
        // Blocks a thread of the pool, which is not needed for anything else meanwhile.
        guard readLine() == "yes" else { throw ClientError(["not approved"]) }
    }
}

/// `proxmox-agent reject`
struct RejectCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "reject", abstract: "Reject a plan, so that it can no longer be applied.")

    @Argument(help: .planID, transform: { try Beginning($0, .plan) })
    var id: Beginning

    @OptionGroup var word: WordOptions
    @OptionGroup var client: ClientOptions

    func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
        try await word.send("reject", try await agent.plan(id).json, to: agent)
    }
}

/// `proxmox-agent cancel`
struct CancelCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Cancel a plan that has not been applied.",
        discussion: "Its requester and approvers may do this. Cancel an operation with: operation cancel ID.")

    @Argument(help: .planID, transform: { try Beginning($0, .plan) })
    var id: Beginning

    @OptionGroup var client: ClientOptions

    func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
        let answer = try await agent.change(.delete, "/v1/plans/\(try await agent.id(id))")
        return Shown(answer: answer, lines: [PlanText(answer.json, at: Date()).standing])
    }
}

/// The options of an approver's decision.
struct WordOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The beginning of the plan_hash that you looked at, at least 8 digits.", valueName: "hex"))
    var hash: String?

    @Option(help: ArgumentHelp("Why; kept in the plan and in the audit log.", valueName: "text"))
    var reason: String?

    @Option(help: ArgumentHelp("Where it was decided, such as a ticket number.", valueName: "text"))
    var ticket: String?

    @Flag(help: "Sign it with an SSH key that the configuration lists in your approval_keys.")
    var sign = false

    @Option(
        help: ArgumentHelp(
            "The key to sign with; the .pub file of one that ssh-agent holds.",
            discussion:
                "Otherwise \(SSHSigner.variable), or the first of ~/.ssh/id_ed25519_sk, id_ecdsa_sk, id_ed25519, id_ecdsa.",
            valueName: "file"), completion: .file())
    var key: String?

    func validate() throws {
        if key != nil, !sign { throw ValidationError("--key is for --sign") }
        guard let hash else { return }
        guard (8...64).contains(hash.utf8.count), hash.allSatisfy({ $0.isASCII && $0.isHexDigit }) else {
            throw ValidationError("--hash takes 8 to 64 hexadecimal digits, the beginning of the plan's plan_hash")
        }
    }

    /// Sends the decision on the plan that was fetched, bound to its whole hash.
    func send(_ decision: String, _ plan: JSON, to agent: AgentClient) async throws(ClientError) -> Shown {
        guard let id = plan["plan_id"]?.string.flatMap({ RecordID($0, .plan) }), let whole = plan["plan_hash"]?.string
        else { throw ClientError(["the agent's answer holds no plan_id and plan_hash"]) }
        if let hash, !whole.hasPrefix(hash.lowercased()) {
            throw ClientError([
                "plan_hash_mismatch: \(id) is not the plan with that hash; look at it with proxmox-agent plan show \(id)"
            ])
        }
        let body: JSON = [
            "decision": .string(decision), "plan_hash": .string(whole), "reason": reason.map { .string($0) },
            "ticket": ticket.map { .string($0) },
            "signature": sign ? try await signature(decision, id, whole, agent) : nil,
        ]
        let answer = try await agent.change(.post, "/v1/plans/\(id)/approvals", [], body)
        return Shown(answer: answer, lines: [PlanText(answer.json, at: Date()).standing])
    }

    /// Signs the decision on the plan with this hash, and nothing else.
    private func signature(
        _ decision: String, _ id: RecordID, _ hash: String, _ agent: AgentClient
    ) async throws(ClientError) -> JSON {
        let signer = try SSHSigner(key, environmentVariables())
        let query = [("decision", decision), ("reason", reason)]
        let answer = try await agent.get("/v1/plans/\(id)/approval-text", query)
        guard let text = answer.json["text"]?.string.flatMap(ApprovalText.init(reading:)), text.plan == id.description,
            text.planHash == hash, text.decision == decision, text.reason == reason ?? ""
        else {
            throw ClientError(["not signed: the agent's text is not that of a decision on the plan that it showed"])
        }
        for line in text.text.split(separator: "\n") { complain("signing: " + quoted(String(line))) }
        return ["ssh": .string(try await signer.sign(text))]
    }
}

/// The options of a list.
struct ListOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Only those in this state, such as awaiting_approval.", valueName: "state"))
    var state: String?

    @Option(help: ArgumentHelp("Only those of this environment.", valueName: "name"))
    var environment: String?

    @Option(help: ArgumentHelp("Only those about it, or that reach it otherwise, such as vm/101.", valueName: "target"))
    var target: String?

    @Option(help: ArgumentHelp("The most to list, 1 to 500.", valueName: "count"))
    var limit = 50

    @Option(help: ArgumentHelp("Only those older than the one with this id.", valueName: "id"))
    var before: String?

    func validate() throws {
        if let target, Target(target) == nil {
            throw ValidationError("--target takes a target such as vm/101, lxc/200, node/pve1 or storage/nas")
        }
        guard (1...500).contains(limit) else { throw ValidationError("--limit takes 1 to 500, not \(limit)") }
    }

    func checkState<State: RawRepresentable<String> & CaseIterable>(_ states: State.Type) throws {
        guard let state, State(rawValue: state) == nil else { return }
        throw ValidationError("--state takes \(State.allCases.map(\.rawValue).joined(separator: ", "))")
    }

    var query: [(name: String, value: String?)] {
        [("state", state), ("environment", environment), ("target", target), ("limit", "\(limit)"), ("before", before)]
    }

    /// The rows as a table, and where to find more.
    func lines(_ rows: [[String]], of name: String, in answer: JSON) -> [String] {
        if rows.isEmpty { return ["no \(name)"] }
        return table(rows) + (answer["next"]?.string.map { ["", "there are older ones: --before \($0)"] } ?? [])
    }
}

extension AgentClient {
    func plan(_ beginning: Beginning) async throws(ClientError) -> Answer {
        try await get("/v1/plans/\(try await id(beginning))")
    }
}

extension ArgumentHelp {
    static let planID = ArgumentHelp("The plan's id, or a unique prefix of it.", valueName: "id")
    static let operationID = ArgumentHelp(
        "The operation's id, or a unique prefix of it.", valueName: "id")
}
