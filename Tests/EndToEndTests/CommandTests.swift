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
        [], ["serve"], ["check"], ["simulate"], ["audit"], ["audit", "verify"], ["audit", "tail"], ["version"],
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
        ["audit", "verify", "--head", "43"], ["audit", "verify", "--head", "43:xyz"],
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
