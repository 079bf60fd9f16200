import AgentAPI
import AgentModel
import FoundationEssentials
import Glibc
import HTTPMessage
import HTTPTypes
import StrictJSON
import Testing

@testable import proxmox_agent

/// The command line: what each command prints, and with what it exits.
@Suite(.timeLimit(.minutes(1)))
struct CommandTests {
    @Test func `version and --version print the version`() async throws {
        for argument in ["version", "--version"] {
            let result = try await Program.run(argument)
            #expect(result.status == 0)
            #expect(result.out.contains(Version.text), "\(result)")
        }
    }

    @Test(arguments: [
        [], ["serve"], ["init"], ["check"], ["token"], ["token", "new"], ["token", "hash"], ["simulate"], ["audit"],
        ["audit", "verify"], ["audit", "tail"], ["audit", "key"], ["audit", "prove"], ["witness"], ["store"],
        ["store", "check"], ["store", "backup"], ["version"],
        ["plans"], ["plan"], ["plan", "show"], ["approve"],
        ["reject"],
        ["cancel"], ["operations"], ["operation"], ["operation", "show"], ["operation", "log"],
        ["operation", "cancel"],
        ["operation", "resolve"], ["freeze"], ["freeze", "set"], ["freeze", "lift"], ["freeze", "show"], ["events"],
        ["mcp"],
    ])
    func `every command explains itself`(command: [String]) async throws {
        let result = try await Program(command + ["--help"]).end()
        #expect(result.status == 0)
        #expect(result.out.contains("USAGE: proxmox-agent"), "\(result)")
        #expect(result.err.isEmpty)
    }

    @Test func `the help of serve names every setting`() async throws {
        let result = try await Program.run("serve", "--help")
        for (key, _) in AgentConfig.keys { #expect(result.out.contains(key), "\(key)") }
    }

    @Test(arguments: [
        [], ["serve"], ["--config"], ["--config", "a", "b"], ["--nonsense"], ["explode"], ["check"], ["audit", "burn"],
        ["simulate", "--guests", "-1"], ["simulate", "--guests", "many"], ["simulate", "--listen", "0.0.0.0:8006"],
        ["simulate", "--listen", "nowhere"], ["simulate", "--task-ms", "-5"], ["audit", "tail", "-n", "0"],
        ["token", "new"], ["token", "new", "ab"], ["token", "new", "a b c"], ["token", "new", "Anonymous"],
        ["token", "new", "alice", "--role", "admin"], ["token", "new", "alice", "--environment", "a b"],
        ["token", "new", "alice", "bob"], ["token", "hash", "a-token-as-an-argument-3f1c"],
        ["init", "--name", "a b"], ["init", "--fingerprint", "AA"], ["init", "--fingerprint", "AA", "--ca-file", "f"],
        ["audit", "verify", "--head", "43"], ["audit", "verify", "--head", "43:xyz"], ["store", "backup"],
        ["audit", "verify", "--checkpoint", "f"], ["audit", "verify", "--key", "k"],
        ["audit", "verify", "--checkpoint", "f", "--key", "no-key"], ["audit", "verify", "--witness", "k"],
        ["audit", "key"], ["audit", "prove", "1"], ["audit", "prove", "0", "--checkpoint", "f"],
        ["audit", "prove", "1", "--checkpoint", "f", "--config", "c"], ["witness", "--state", "d"],
        ["witness", "--state", "d", "--log", "no-key"],
        ["witness", "--log", "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"],
        ["store", "check", "--config", "a", "--state", "b"], ["mcp", "--token-file", "-"], ["mcp", "file"],
        ["plans", "--target", "101"], ["operations", "--target", ""],
        ["events", "--after", "-1"], ["events", "--plan", "op_"],
    ])
    func `wrong usage exits with 64 and shows the right one`(arguments: [String]) async throws {
        let result = try await Program(arguments).end()
        #expect(result.status == 64, "\(result)")
        #expect(result.err.contains("sage: proxmox-agent") || result.err.contains("USAGE: proxmox-agent"), "\(result)")
        #expect(result.out.isEmpty)
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func `shells can complete it`(shell: String) async throws {
        let result = try await Program.run("--generate-completion-script", shell)
        #expect(result.status == 0)
        #expect(result.out.contains("simulate"))
    }

    // MARK: audit

    @Test func `audit verify passes a whole log and names the first bad line of another`() async throws {
        let agent = try await ServedAgent()
        for _ in 0..<3 { _ = try await agent.planID(.start) }
        let running = try await Program.run("audit", "verify", agent.auditLog)
        #expect(running.status == 0, "while the agent writes: \(running)")
        #expect(try await agent.stop().status == 0)

        let good = try await Program.run("audit", "verify", agent.auditLog)
        #expect(good.status == 0)
        #expect(good.out.contains("4 records") && good.out.contains("chain whole, head 4:"), "\(good)")
        let word = try #require(good.out.split(separator: " ").last)
        let head = word.filter { !$0.isNewline }
        #expect(try await Program.run("audit", "verify", agent.auditLog, "--head", head).status == 0)

        let text = String(decoding: try readFile(agent.auditLog, limit: 1 << 20), as: UTF8.self)
        let lines = text.split(separator: "\n")
        let copy = agent.auditLog + ".copy"
        let flawed: [(String, Int)] = [
            (text.replacing("pi-agent", with: "mi-agent", maxReplacements: 1), 2),
            (([lines[0]] + lines[2...]).joined(separator: "\n") + "\n", 2),
            ([lines[0], lines[2], lines[1], lines[3]].joined(separator: "\n") + "\n", 2),
            (String(text.dropLast(10)), 4), (text + "{}\n", 5), (text.replacing("\"v\":1", with: "\"v\": 1"), 1),
        ]
        for (text, line) in flawed {
            try write(text, to: copy)
            let bad = try await Program.run("audit", "verify", copy)
            #expect(bad.status == 1, "\(bad)")
            #expect(bad.err.hasPrefix("\(copy):\(line): "), "\(bad)")
            #expect(bad.out.isEmpty)
        }
        // A tail that was cut off cleanly shows against a head that was noted.
        try write(lines[..<3].joined(separator: "\n") + "\n", to: copy)
        #expect(try await Program.run("audit", "verify", copy).status == 0)
        let cut = try await Program.run("audit", "verify", copy, "--head", head)
        #expect(cut.status == 1 && cut.err.contains("cut"), "\(cut)")
        let missing = try await Program.run("audit", "verify", "/nowhere/audit.log")
        #expect(missing.status == 1 && missing.err.contains("cannot be read"), "\(missing)")
    }

    @Test func `audit tail shows the newest records, readable or as they are`() async throws {
        let agent = try await ServedAgent()
        for _ in 0..<3 { _ = try await agent.planID(.start) }
        #expect(try await agent.stop().status == 0)
        let tail = try await Program.run("audit", "tail", "-n", "2", agent.auditLog)
        #expect(tail.out.split(separator: "\n").count == 2)
        #expect(tail.out.contains("plan  pi-agent  cloud  start_vm  vm/136"), "\(tail)")
        let json = try await Program.run("audit", "tail", "--json", "-n", "1", agent.auditLog)
        #expect(try JSON.parse(String(json.out.dropLast()))["seq"] == 4)
    }

    // MARK: check

    @Test func `check tells what it found, and exits with 1 where something is to be mended`() async throws {
        let place = try ConfigFile()
        let config = try place.write([
            "listen_addr": "127.0.0.1:0", "audit_log_path": .string("\(place.directory)/audit.log"),
            "state_path": .string("\(place.directory)/state.db"),
            "environments": [place.simulated("home"), place.simulated("cloud")],
        ])
        let variables = ["PROXMOX_AGENT_API_TOKEN": "change-me"]
        let good = try await Program.run("check", "--config", config, variables: variables)
        #expect(good.status == 0, "\(good)")
        #expect(good.out.contains("home: reached, PVE 9.") && good.out.contains("(a simulator)"))
        #expect(good.out.contains("cloud: nodes: pve1, pve2, pve3"))
        #expect(access("\(place.directory)/audit.log", F_OK) != 0, "it writes no record")
        let bare = try await Program.run("check", "--config", config)
        #expect(bare.status == 1 && bare.out.contains("PROXMOX_AGENT_API_TOKEN is not set"), "\(bare)")
    }

    @Test func `check names a PVE that does not answer and a token that is not let in`() async throws {
        let setup = Setup(.simulated("home"), .simulated("cloud"), settings: [:])
        let datacenter = try Datacenter(setup)
        let place = try ConfigFile()
        let config = "\(place.directory)/config.json"
        try write(setup.document(auditLog: "\(place.directory)/a", addresses: datacenter.addresses).text, to: config)
        try await datacenter.unplug("home")
        var variables = setup.variables()
        variables["SECRET_cloud"] = "not-the-secret"
        let result = try await Program.run("check", "--config", config, variables: variables)
        #expect(result.status == 1)
        #expect(result.out.contains("\nhome: PVE was not reached"), "\(result)")
        #expect(
            result.out.contains("\ncloud: PVE refused") && result.out.contains("token is not accepted"), "\(result)")
        #expect(!"\(result)".contains("not-the-secret"))
        await datacenter.stop()
    }

    @Test func `check lists principals and rules, and warns of approvals that nobody can give`() async throws {
        let place = try ConfigFile()
        let config = try place.write([
            "listen_addr": "127.0.0.1:0", "environments": [place.simulated("home"), place.simulated("cloud")],
            "principals": [
                ["id": "pi-agent", "token_env": "AGENT", "roles": ["operator"]],
                ["id": "alice", "token_env": "ALICE", "roles": ["viewer", "approver"], "environments": ["home"]],
            ],
            "policy": ["rules": [["id": "two-at-home", "effect": "require_approval", "approvals": 2]]],
        ])
        let variables = ["AGENT": "agent-and-twenty-more-a41c", "ALICE": "alice-and-twenty-more-5b7e"]
        let result = try await Program.run("check", "--config", config, variables: variables)
        #expect(result.status == 0, "\(result)")
        for line in [
            "principal pi-agent: operator in all environments", "principal alice: viewer, approver in home",
            "rule two-at-home: require_approval (2)",
            "no principal is an approver in cloud: what needs an approval cannot be applied there",
            "rule two-at-home asks for 2 approvals, but home has 1 approver: what it is about cannot be applied there",
        ] { #expect(result.out.split(separator: "\n").contains { $0 == line }, "\(line) in \(result)") }
        for token in variables.values { #expect(!"\(result)".contains(token)) }
    }

    // MARK: token

    @Test func `token new makes a token and the entry that lets it in`() async throws {
        let arguments = ["token", "new", "alice", "--role", "approver", "--role", "viewer", "--environment", "home"]
        let result = try await Program(arguments).end()
        #expect(result.status == 0, "\(result)")
        let lines = result.out.split(separator: "\n").map(String.init)
        try #require(lines.count == 2, "\(result)")
        let token = lines[0]
        #expect(token.hasPrefix("pxa_") && token.utf8.count == 47, "\(token.utf8.count)")
        let entry = try JSON.parse(lines[1])
        #expect(
            entry == [
                "id": "alice", "token_sha256": .string(CredentialDigest(of: token.utf8).description),
                "roles": ["viewer", "approver"], "environments": ["home"],
            ])
        #expect(!result.err.contains(token))

        let place = try ConfigFile()
        let config = try place.write(["environments": [place.simulated("home")], "principals": [entry]])
        let read = try AgentConfig(file: config, variables: [:])
        #expect(
            read.credentials.map(\.principal.id) == ["alice"]
                && read.credentials.first?.token == CredentialDigest(of: token.utf8))
    }

    @Test func `each token is another, and as JSON it stands beside its principal`() async throws {
        var tokens: Set<String> = []
        for _ in 0..<5 {
            let result = try await Program.run("token", "new", "pi-agent", "--json")
            let json = try JSON.parse(String(result.out.dropLast()))
            let token = try #require(json["token"]?.string)
            tokens.insert(token)
            #expect(json["principal"]?["token_sha256"]?.string == CredentialDigest(of: token.utf8).description)
            #expect(json["principal"]?["roles"] == ["viewer"] && json["principal"]?["environments"] == nil)
            #expect(result.err.isEmpty)
        }
        #expect(tokens.count == 5)
    }

    @Test func `token hash reads standard input and refuses what is no token`() async throws {
        let place = try ConfigFile()
        let file = "\(place.directory)/token"
        let token = "a-token-on-standard-input-7b1e"
        for end in ["", "\n"] {
            try write(token + end, to: file)
            let result = try await Program(["token", "hash"], input: file).end()
            #expect(result.status == 0 && result.out == "\(CredentialDigest(of: token.utf8))\n", "\(result)")
        }
        let wrong = [
            "": "is empty", "a-short-one-7b1e": "fewer than 20", token + "\n\n": "one line", token + " x": "one line",
            String(repeating: token + "\n", count: 1000): "one line",
        ]
        for (text, words) in wrong {
            try write(text, to: file)
            let result = try await Program(["token", "hash"], input: file).end()
            #expect(result.status == 1 && result.err.contains(words) && result.out.isEmpty, "\(result)")
            #expect(!result.err.contains("7b1e"))
        }
    }

    // MARK: simulate

    @Test func `simulate answers as a PVE and says that it is none`() async throws {
        let place = try ConfigFile()
        let tokens = "\(place.directory)/tokens"
        try write("# who may\nroot@pam!tests=s3cret\n", to: tokens)
        let program = try Program([
            "simulate", "--listen", "127.0.0.1:0", "--name", "cloud", "--guests", "12", "--token-file", tokens,
        ])
        let line = try await program.line { $0.contains("listens on") }
        let word = try #require(line.split(separator: " ").last)
        let address = try #require(ListenAddress(String(word)))
        func get(_ path: String, _ token: String) async throws -> Reply {
            try await RawAsk.get("/api2/json" + path, at: address, authorization: "PVEAPIToken=\(token)")
        }
        let version = try await get("/version", "root@pam!tests=s3cret")
        #expect(version.status == 200, "\(version)")
        #expect(version["data"]?["version"]?.string?.hasPrefix("9.") == true)
        #expect(version["data"]?["simulator"] != nil)
        let guests = try await get("/cluster/resources?type=vm", "root@pam!tests=s3cret")
        #expect(guests["data"]?.array?.count == 12)
        #expect(try await get("/version", "root@pam!tests=wrong").status == 401)
        program.signal(SIGTERM)
        #expect(try await program.end().status == 0)
    }
}
