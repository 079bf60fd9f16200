import AgentAPI
import AgentModel
import AgentTestSupport
import FoundationEssentials
import Glibc
import HTTPMessage
import StrictJSON
import Testing

@testable import proxmox_agent

/// `proxmox-agent init`, on a system in a directory of its own and a simulated PVE on loopback.
@Suite(.timeLimit(.minutes(1)))
struct InitTests {
    private static let secret = "a-secret-of-pve-91c2"

    /// A root with what the package installs, and a PVE that lets one token in.
    private final class Installed {
        let directory: TemporaryDirectory
        let pve: Program
        let url: String
        var root: String { directory.path }
        var config: String { root + "/etc/proxmox-agent/config.json" }
        var credential: String { root + "/etc/proxmox-agent/credentials/home" }
        var dropIn: String { root + "/etc/systemd/system/proxmox-agent.service.d/addresses.conf" }

        init() async throws {
            directory = try TemporaryDirectory()
            for place in ["/etc/proxmox-agent/credentials", "/etc/systemd/system"] {
                try FileManager.default.createDirectory(
                    atPath: directory.path + place, withIntermediateDirectories: true)
                chmod(directory.path + "/etc/proxmox-agent/credentials", 0o700)
            }
            try write(
                try Documents.text("debian/config.json"), to: directory.path + "/etc/proxmox-agent/config.json")
            try write("nameserver 192.0.2.53\nnameserver 127.0.0.53\n", to: directory.path + "/etc/resolv.conf")
            try write("agent@pve!home=\(InitTests.secret)\n", to: directory.path + "/tokens")
            try write(InitTests.secret + "\n", to: directory.path + "/secret")
            pve = try Program([
                "simulate", "--listen", "127.0.0.1:0", "--token-file", directory.path + "/tokens",
            ])
            let line = try await pve.line { $0.contains("listens on") }
            let address = try #require(line.split(separator: " ").last)
            url = "http://\(address)"
        }

        func run(_ more: [String] = [], input: String = "/dev/null") async throws -> Program.Result {
            try await Program(
                ["init", "--root", root, "--url", url, "--secret-file", root + "/secret"] + more, input: input
            ).end()
        }

        func document() throws -> JSON { try JSON.parse(try readFile(config, limit: 1 << 20)) }
    }

    private static let all = [
        "--name", "home", "--token-id", "agent@pve!home", "--agent", "pi-agent", "--approver", "alice",
    ]

    @Test func `it writes environment, secret, callers and addresses, and shows the tokens once`() async throws {
        let installed = try await Installed()
        chmod(installed.config, 0o640)
        let result = try await installed.run(Self.all)
        try #require(result.status == 0, "\(result)")
        #expect(result.err.contains("pveum role add ProxmoxAgent --privs \"Datastore.Allocate "))
        // Nobody is told the version before there is a token.
        #expect(result.err.contains("take the role of yours"))
        #expect(result.err.contains("# on PVE 9:") && result.err.contains("# on PVE 8:"))
        #expect(result.err.contains("home: reached, PVE 9."))
        #expect(result.err.contains("home: the token has privileges that the agent never uses; take them away: "))
        #expect(!"\(result)".contains(Self.secret))

        let document = try installed.document()
        #expect(document["state_path"] == "/var/lib/proxmox-agent/state.db")
        let environment = try #require(document["environments"]?.array?.first)
        #expect(
            environment == [
                "name": "home", "base_url": .string(installed.url), "token_id": "agent@pve!home",
                "token_secret_file": "$CREDENTIALS_DIRECTORY/secret_home",
            ])
        var information = stat()
        #expect(stat(installed.config, &information) == 0 && information.st_mode & 0o7777 == 0o640)
        #expect(stat(installed.credential, &information) == 0 && information.st_mode & 0o7777 == 0o600)
        #expect(try readFile(installed.credential, limit: 100) == Array((Self.secret + "\n").utf8))
        let dropIn = String(decoding: try readFile(installed.dropIn, limit: 1 << 20), as: UTF8.self)
        #expect(dropIn.contains("[Service]") && dropIn.contains("\nIPAddressAllow=192.0.2.53\n"))
        #expect(!dropIn.contains("127."), "loopback is allowed as it is")

        // What systemd makes of the directory.
        let credentials = installed.root + "/run"
        try FileManager.default.createDirectory(atPath: credentials, withIntermediateDirectories: true)
        try write(Self.secret + "\n", to: credentials + "/secret_home")
        let read = try AgentConfig(file: installed.config, variables: ["CREDENTIALS_DIRECTORY": credentials])
        let tokens = result.out.split(separator: "\n").map { $0.split(separator: " ") }
        #expect(tokens.map { $0.dropLast().joined(separator: " ") } == ["pi-agent (operator):", "alice (approver):"])
        for (words, id) in zip(tokens, ["pi-agent", "alice"]) {
            let token = try #require(words.last)
            #expect(read.credentials.first { $0.token == CredentialDigest(of: token.utf8) }?.principal.id == id)
        }
    }

    @Test func `what is not given it asks for, and once there are callers it makes no more`() async throws {
        let installed = try await Installed()
        let answers = installed.root + "/answers"
        try write("home\n\npi-agent\nalice\n", to: answers)
        let first = try await installed.run(input: answers)
        try #require(first.status == 0, "\(first)")
        #expect(first.err.contains("The token's id [agent@pve!home]: "))
        let before = try installed.document()
        let second = try await installed.run(["--name", "again", "--token-id", "agent@pve!home", "--read-only"])
        try #require(second.status == 0, "\(second)")
        #expect(second.out.isEmpty)
        let after = try installed.document()
        #expect(after["principals"] == before["principals"])
        #expect(after["environments"]?.array?.map { $0["name"] } == ["home", "again"])
        #expect(after["environments"]?.array?.last?["read_only"] == true)
    }

    @Test(arguments: [
        (["--token-id", "agent@pve!other"], "home: PVE refused"), (["--url", "http://pve.lan:8006"], "not encrypted"),
        (["--url", "https://127.0.0.1:1"], "shows no certificate"), (["--agent", "alice"], "give two names"),
        (["--approver", "Anonymous"], "take another"), (["--token-id", "agent@pve!home=x"], "without its secret"),
        (["--secret-file", "/nowhere"], "cannot be opened"), (["--root", "/nowhere"], "is the package installed"),
    ])
    func `where something is wrong it says so and writes nothing`(wrong: [String], words: String) async throws {
        let installed = try await Installed()
        let before = try installed.document()
        let result = try await installed.run(Self.all + wrong)
        #expect(result.status == 1 && result.err.contains(words), "\(result)")
        #expect(result.out.isEmpty)
        #expect(try installed.document() == before)
        #expect(access(installed.credential, F_OK) != 0 && access(installed.dropIn, F_OK) != 0)
    }

    @Test(arguments: [0o755, 0o711, 0o750] as [mode_t])
    func `where others may look into the directory of secrets, init, serve and check refuse`(mode: mode_t) async throws
    {
        let installed = try await Installed()
        let credentials = installed.root + "/etc/proxmox-agent/credentials"
        let words = "\(credentials): others may look into it; run: chmod 700 \(credentials)"
        chmod(credentials, mode)
        let result = try await installed.run(Self.all)
        #expect(result.status == 1 && result.err == "proxmox-agent init: \(words)\n", "\(result)")
        // systemd's copies, which are private whatever the sources are.
        let variables = ["CREDENTIALS_DIRECTORY": installed.root + "/run"]
        for command in ["serve", "check"] {
            let result = try await Program.run(command, "--config", installed.config, variables: variables)
            #expect(result.status == 1 && result.err == "config: \(words)\n", "\(result)")
        }
        chmod(credentials, 0o700)
        #expect(try await installed.run(Self.all).status == 0)
    }

    @Test func `an environment of that name, a secret that all can read, or no answer end it`() async throws {
        let installed = try await Installed()
        let silent = try await installed.run(["--name", "home"])
        #expect(silent.status == 1 && silent.err.contains("use --token-id"), "\(silent)")
        chmod(installed.root + "/secret", 0o644)
        let open = try await installed.run(Self.all)
        #expect(open.status == 1 && open.err.contains("chmod 600"), "\(open)")
        chmod(installed.root + "/secret", 0o600)
        #expect(try await installed.run(Self.all).status == 0)
        let twice = try await installed.run(Self.all)
        #expect(twice.status == 1 && twice.err.contains("there is an environment home already"), "\(twice)")
    }
}
