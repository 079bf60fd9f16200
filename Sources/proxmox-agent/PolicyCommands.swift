import AgentAudit
import AgentModel
import AgentPolicy
import AgentStorage
import ArgumentParser
import HTTPTypes
import StrictJSON

/// `proxmox-agent policy`
struct PolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "Try a policy before it is trusted.",
        discussion: """
            A policy file holds what stands under policy in a configuration. These commands change nothing.
            """,
        subcommands: [Check.self, Test.self, Matrix.self, Diff.self, Replay.self, PolicyExplain.self])

    /// `proxmox-agent policy check`
    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check",
            abstract: "Check a policy file, and name rules that have no effect.",
            discussion: """
                Exits with 1 if the file has errors, each with its line. Warns of rules that can never match, change \
                nothing or cannot be met, and of every rule that loosens the catalogue's defaults. With --config, names \
                are checked against its environments and principals; with --server, also tags, pools, nodes, storages \
                and guests in rules against what that agent's environments have.
                """)

        @Argument(help: "The policy file.", completion: .file())
        var file: String

        @OptionGroup var config: ConfigOption
        @OptionGroup var client: ClientOptions

        func validate() throws {
            guard !client.json else { throw ValidationError("--json is not for policy check") }
        }

        func run() async throws {
            let (policy, config) = try reportingErrors {
                () throws(ConfigError) -> (Policy, PolicyConfig?) in
                let config = try self.config.read()
                let policy = try Policy(
                    file: file, environments: config?.environmentNames ?? .any,
                    principals: config?.principalNames ?? .any)
                return (policy, config)
            }
            var inventory: PolicyInventory?
            if client.server != nil {
                do throws(ClientError) {
                    inventory = try await PolicyInventory(asking: try AgentClient(client))
                } catch {
                    for line in error.lines { complain(quoted(line)) }
                    throw ExitCode.failure
                }
            }
            let findings = policy.findings(in: config?.surroundings, with: inventory)
            for line in Self.lines(policy, of: file, findings) { print(quoted(line)) }
        }

        static func lines(_ policy: Policy, of file: String, _ findings: [PolicyFinding]) -> [String] {
            let count = policy.rules.count
            return ["\(file): \(count) rule\(count == 1 ? "" : "s"), version \(policy.version)"]
                + findings.map { "warning: \($0)" }
        }
    }

    /// `proxmox-agent policy test`
    struct Test: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "test",
            abstract: "Run cases of requests, each with the decision that is expected.",
            discussion: """
                A file of cases names environments, principals and requests; docs/principals-and-policy.md has its form. \
                Exits with 1 if a case fails.
                """)

        @Argument(help: "The policy file.", completion: .file())
        var file: String

        @Argument(help: "The file of cases.", completion: .file())
        var cases: String

        func run() throws {
            let report = try reportingErrors { () throws(ConfigError) -> PolicyCaseReport in
                PolicyCaseReport(try PolicyCases(file: cases), by: try Policy(file: file))
            }
            for line in report.lines { print(quoted(line)) }
            if !report.isGood { throw ExitCode.failure }
        }
    }

    /// `proxmox-agent policy matrix`
    struct Matrix: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "matrix",
            abstract: "Print what a policy makes of every action, as a Markdown table.",
            discussion: """
                One column for each environment of --config and role; without --config, of an environment that no rule \
                names. The table is about targets with neither tags nor a pool; rules that no cell shows are listed \
                below it. – stands where the role lacks the right to ask.
                """)

        @Argument(help: "The policy file.", completion: .file())
        var file: String

        @OptionGroup var config: ConfigOption

        func run() throws {
            let matrix = try reportingErrors { () throws(ConfigError) -> PolicyMatrix in
                let environments = try config.read()?.surroundings.environments ?? []
                return PolicyMatrix(try Policy(file: file), environments: environments)
            }
            for line in matrix.lines { print(quoted(line)) }
        }
    }

    /// `proxmox-agent policy diff`
    struct Diff: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "diff",
            abstract: "List what two policies decide differently.",
            discussion: """
                Compares all actions, in the environments of --config (else in those that the rules name), by each role, \
                on guests with each tag and pool that either policy names, and with none. Rules that differ and show in \
                nothing of that are listed as well. Exits with 1 if there are differences.
                """)

        @Argument(help: "The policy file as it is.", completion: .file())
        var old: String

        @Argument(help: "The policy file as it is to be.", completion: .file())
        var new: String

        @OptionGroup var config: ConfigOption

        func run() throws {
            let comparison = try reportingErrors { () throws(ConfigError) -> PolicyComparison in
                let environments = try config.read()?.surroundings.environments ?? []
                return PolicyComparison(try Policy(file: old), try Policy(file: new), environments: environments)
            }
            for line in comparison.lines { print(quoted(line)) }
            if !comparison.isEmpty { throw ExitCode.failure }
        }
    }

    /// `proxmox-agent policy replay`
    struct Replay: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "replay",
            abstract: "List the plans of an audit log that a policy would decide differently.",
            discussion: """
                Reads the records of plans in the log and in the rotated files beside it, and decides each again by the \
                policy file, at the time of the record. Roles of requesters and labels of environments come from \
                --config. Exits with 1 if there are differences.
                """)

        @Option(help: ArgumentHelp("The audit log.", valueName: "file"), completion: .file())
        var audit: String

        @Argument(help: "The policy file.", completion: .file())
        var file: String

        @OptionGroup var config: ConfigOption

        func run() throws {
            var replay = try reportingErrors { () throws(ConfigError) -> PolicyReplay in
                PolicyReplay(try Policy(file: file), of: file, try config.read()?.surroundings)
            }
            do throws(AuditError) {
                try AuditRecords.walk(audit) { record in replay.add(record) }
            } catch {
                throw fail(quoted("\(error)"))
            }
            for line in replay.lines { print(quoted(line)) }
            if !replay.differences.isEmpty { throw ExitCode.failure }
        }
    }
}

extension PolicyComparison {
    /// Each difference with the rules behind it, and the requests that it is about.
    var lines: [String] {
        if isEmpty { return ["no request is decided differently"] }
        func rules(_ ids: [String]) -> String { ids.isEmpty ? "no rule" : ids.joined(separator: ", ") }
        var lines = differences.flatMap { difference in
            ["\(difference.was) → \(difference.now) (\(rules(difference.rulesBefore)) → \(rules(difference.rulesNow)))"]
                + difference.requests.map { "    \($0)" }
        }
        if !unseen.isEmpty {
            lines.append("rules that differ, of which nothing that was compared shows it:")
            lines += unseen.map { "    \($0)" }
        }
        return lines
    }
}

extension PolicyInventory {
    /// What the agent's environments have, as far as its PVE tokens and the caller see it. Each read is recorded there.
    init(asking agent: AgentClient) async throws(ClientError) {
        self.init()
        let environments = try await agent.get("/v1/environments").json["environments"]?.array ?? []
        for name in environments.compactMap({ $0["name"]?.string }) {
            let answer = try await agent.change(
                .post, "/v1/actions/apply", [],
                ["environment": .string(name), "action": "read_cluster", "target": "cluster"])
            guard let rows = answer.json["result"]?["data"]?["resources"]?.array else {
                throw ClientError(["the agent's answer about \(name) holds no resources"])
            }
            for row in rows { add(row) }
        }
    }

    /// Adds a row of PVE's list of a cluster's resources.
    mutating func add(_ row: JSON) {
        if let node = row["node"]?.string { nodes.insert(node) }
        if let storage = row["storage"]?.string { storages.insert(storage) }
        if let pool = row["pool"]?.string.flatMap(PoolName.init) {
            pools.formUnion(pool.subjectNames.map { String($0.dropFirst("pool/".count)) })
        }
        guard let kind = row["type"]?.string.flatMap(GuestKind.init), let id = row["vmid"].flatMap({ VMID($0.text) })
        else { return }
        guests.insert("\(GuestRef(kind: kind, id: id))")
        if let name = row["name"]?.string { names.insert(name) }
        let separators: Set<Character> = [";", ",", " "]
        tags.formUnion((row["tags"]?.string ?? "").split(whereSeparator: separators.contains).map { $0.lowercased() })
    }
}
