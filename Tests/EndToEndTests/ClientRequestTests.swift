import AgentTestSupport
import Glibc
import HTTPMessage
import HTTPTypes
import StrictJSON
import Testing

/// How the command line finds an agent and a token, and what it says where that goes wrong.
@Suite(.timeLimit(.minutes(1)))
struct ClientRequestTests {
    @Test func `the token comes from a file, from standard input or from the variable, the option first`() async throws
    {
        try await withAgent(Person.setup()) { agent in
            let place = try ConfigFile()
            let file = "\(place.directory)/token"
            let url = "http://\(agent.address)"
            try write(Person.alice.token + "\n", to: file)
            let ways: [([String], [String: String], String)] = [
                (["--server", url, "--token-file", file], [:], "/dev/null"),
                (["--server", url + "/", "--token-file", "-"], ["PROXMOX_AGENT_TOKEN": "wrong-6c1d"], file),
                (
                    ["--token-file", file], ["PROXMOX_AGENT_URL": url, "PROXMOX_AGENT_TOKEN": "wrong-6c1d"], "/dev/null"
                ),
                (
                    ["--server", url],
                    ["PROXMOX_AGENT_URL": "http://127.0.0.1:1", "PROXMOX_AGENT_TOKEN": Person.alice.token], "/dev/null"
                ),
            ]
            for (options, variables, input) in ways {
                let result = try await Program(["plans"] + options, variables: variables, input: input).end()
                #expect(result.status == 0 && result.out == "no plans\n", "\(options): \(result)")
            }
        }
    }

    @Test func `a token that is not let in is told by where it came from`() async throws {
        try await withAgent(Person.setup()) { agent in
            let place = try ConfigFile()
            let file = "\(place.directory)/token"
            try write("wrong-6c1d\n", to: file)
            let variables = ["PROXMOX_AGENT_URL": "http://\(agent.address)", "PROXMOX_AGENT_TOKEN": "wrong-6c1d"]
            for (options, source) in [
                ([], "PROXMOX_AGENT_TOKEN"), (["--token-file", file], file), (["--token-file", "-"], "standard input"),
            ] {
                let result = try await Program(["freeze", "show"] + options, variables: variables, input: file).end()
                #expect(result.status == 1 && result.out.isEmpty)
                #expect(
                    result.err.hasPrefix("unauthenticated: the token is not valid\nthe token came from \(source);"),
                    "\(result)")
                #expect(!result.err.contains("6c1d"))
            }
        }
    }

    @Test func `no token, an unreadable one and one that anybody can read are refused before anything is sent`()
        async throws
    {
        let place = try ConfigFile()
        let file = "\(place.directory)/token"
        func complaint(_ options: String..., variables: [String: String] = [:]) async throws -> String {
            let result = try await Program(["plans"] + options, variables: variables).end()
            #expect(result.status == 1 && result.out.isEmpty, "\(result)")
            return result.err
        }
        #expect(
            try await complaint()
                == "no token: set PROXMOX_AGENT_TOKEN, or name the file that holds it with --token-file\n")
        #expect(try await complaint(variables: ["PROXMOX_AGENT_TOKEN": ""]).hasPrefix("no token: "))
        #expect(
            try await complaint(variables: ["PROXMOX_AGENT_TOKEN": "two words"]).hasPrefix(
                "PROXMOX_AGENT_TOKEN must hold"))
        #expect(try await complaint("--token-file", file).hasPrefix("\(file): cannot be opened"))
        try write(Person.alice.token, to: file)
        #expect(chmod(file, 0o644) == 0)
        #expect(try await complaint("--token-file", file).hasPrefix("\(file): everybody can read it"))
        #expect(try await complaint("--token-file", "-").hasPrefix("standard input must hold"))
        let url = ["PROXMOX_AGENT_URL": "http://pve.example:8080", "PROXMOX_AGENT_TOKEN": "t"]
        #expect(
            try await complaint(variables: url).hasPrefix("PROXMOX_AGENT_URL: would show your token to the network"))
    }

    @Test func `a server that is not there, and one that is no agent, are named`() async throws {
        let gone = try await Program(
            ["plans", "--server", "http://127.0.0.1:1"], variables: ["PROXMOX_AGENT_TOKEN": "t"]
        ).end()
        #expect(gone.status == 1 && gone.err.hasPrefix("http://127.0.0.1:1 cannot be reached: "), "\(gone)")
        #expect(gone.err.contains("PROXMOX_AGENT_URL"), "the cure is named")

        try await withAgent(Person.setup()) { agent in
            let pve = try #require(agent.datacenter.addresses["cloud"])
            let other = try await Program(
                ["plans", "--json", "--server", "http://\(pve)"], variables: ["PROXMOX_AGENT_TOKEN": "t"]
            ).end()
            #expect(other.status == 1 && other.out.isEmpty, "\(other)")
            #expect(other.err.contains("no answer of proxmox-agent"), "\(other)")
        }
    }

    @Test func `with the shared token the label is sent, and approving says what counts instead`() async throws {
        try await withAgent { agent in
            let id = try await agent.planID(.stop)
            let variables = ["PROXMOX_AGENT_URL": "http://\(agent.address)", "PROXMOX_AGENT_TOKEN": Setup.token]
            let hash = try #require(try await agent.get("/v1/plans/\(id)")["plan_hash"]?.string)
            let shown = try await Program(["plan", "show", id], variables: variables).end()
            #expect(shown.out.contains("approve:  pi-agent names another person in approved_by"), "\(shown)")
            let refused = try await Program(
                ["approve", id, "--hash", hash, "--actor", "alice"], variables: variables
            ).end()
            #expect(refused.status == 1 && refused.err.hasPrefix("forbidden: ") && refused.err.contains("approved_by"))
            #expect(try agent.records().last?["actor"] == "alice")
        }
    }

    @Test(arguments: [
        ["plans", "--state", "gone"], ["plans", "--limit", "0"], ["plans", "--limit", "501"], ["plans", "more"],
        ["plans", "--actor", "a b"], ["plans", "--server", "agent:8080"], ["plans", "--server", "http://10.0.0.1"],
        ["plans", "--server", "unix:/run/agent.sock"], ["plans", "--server", "https://agent/v1"],
        ["plans", "--token", "a-token-as-an-argument"], ["plan", "show"], ["plan", "show", "op_0"],
        ["plan", "show", ""], ["plan", "show", "pln_"], ["plan", "show", "pln_ILOU"],
        ["plan", "show", "pln_0000000000000000000000"], ["approve"], ["approve", "pln_0", "--hash", "1234567"],
        ["approve", "pln_0", "--hash", "1234567g"], ["operations", "--state", "applied"], ["operation", "log"],
        ["operation", "show", "pln_0"], ["operation", "resolve", "op_0", "--outcome", "succeeded"],
        ["operation", "resolve", "op_0", "--outcome", "maybe", "--reason", "x"], ["freeze", "set"],
        ["freeze", "set", "--reason", "x", "--ttl", "0"], ["freeze", "set", "--reason", "x", "--ttl", "soon"],
    ])
    func `wrong usage exits with 64 before anybody is asked`(arguments: [String]) async throws {
        let result = try await Program(arguments, variables: ["PROXMOX_AGENT_URL": "http://127.0.0.1:1"]).end()
        #expect(result.status == 64 && result.err.contains("sage: proxmox-agent"), "\(result)")
        #expect(result.out.isEmpty)
    }
}
