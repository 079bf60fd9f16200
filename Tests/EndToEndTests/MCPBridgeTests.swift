import AgentTestSupport
import Glibc
import SimulatorTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// `proxmox-agent mcp`: the protocol on standard input and output, from a process of its own.
@Suite(.timeLimit(.minutes(2)))
struct MCPBridgeTests {
    private static let meta: JSON = [
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": [:],
    ]

    private static func request(_ id: JSON?, _ method: String, _ params: JSON? = nil) -> JSON {
        ["jsonrpc": "2.0", "id": id, "method": .string(method), "params": params]
    }

    private static func call(_ id: JSON, _ tool: String, _ arguments: JSON, isNew: Bool = true) -> JSON {
        request(
            id, "tools/call",
            ["name": .string(tool), "arguments": arguments, "_meta": isNew ? meta : nil])
    }

    /// What a program that was given these lines has written, by id, once it has ended.
    private static func answers(
        to lines: [String], _ arguments: [String] = [], as person: Person = .agent, at agent: RunningAgent
    ) async throws -> (result: Program.Result, [JSON?: JSON]) {
        let place = try ConfigFile()
        try write(lines.joined(separator: "\n"), to: "\(place.directory)/input")
        let result = try await person.start(["mcp"] + arguments, at: agent, input: "\(place.directory)/input").end()
        let found = try result.out.split(separator: "\n").map { try JSON.parse(Array($0.utf8)) }
        #expect(found.allSatisfy { $0["jsonrpc"] == "2.0" }, "\(result)")
        return (result, Dictionary(found.map { ($0["id"], $0) }, uniquingKeysWith: { first, _ in first }))
    }

    @Test func `every revision passes, one message a line, and the end of the input is the end`() async throws {
        try await withAgent(Person.setup()) { agent in
            let place = try ConfigFile()
            try write(Person.agent.token + "\n", to: "\(place.directory)/token")
            let lines = [
                Self.request(
                    0, "initialize",
                    [
                        "protocolVersion": "2025-03-26", "capabilities": [:],
                        "clientInfo": ["name": "t", "version": "1"],
                    ]),
                Self.request(nil, "notifications/initialized"), Self.request("ping", "ping"),
                Self.call("old", "node_list", ["environment": "cloud"], isNew: false),
                Self.request(2, "server/discover", ["_meta": Self.meta]),
                Self.call("é\"\n", "environment_list", [:]), Self.call(4, "rm\u{E9}", [:]),
            ].map(\.text)
            let (result, found) = try await Self.answers(
                to: lines + ["", "  ", "no JSON", "[]"],
                ["--server", "http://\(agent.address)", "--token-file", "\(place.directory)/token"], at: agent)
            #expect(result.status == 0 && result.err.isEmpty, "\(result)")
            #expect(result.out.split(separator: "\n").count == 8, "\(result)")
            #expect(found[0]?["result"]?["protocolVersion"] == "2025-03-26" && found["ping"]?["result"] == [:])
            #expect(found["old"]?["result"]?["isError"] == false && found["é\"\n"]?["result"]?["isError"] == false)
            #expect(found[2]?["result"]?["supportedVersions"]?.array?.count == 4)
            #expect(found[4]?["error"]?["code"] == -32602, "\(result)")
            let codes = [found[nil]?["error"]?["code"]]
            #expect(codes == [-32700] || codes == [-32600], "\(result)")
        }
    }

    @Test func `a request that is given up has no answer, and an interrupt ends all`() async throws {
        try await withAgent(Person.setup()) { agent in
            try agent.pve().holdTasks()
            let place = try ConfigFile()
            let pipe = "\(place.directory)/pipe"
            try #require(mkfifo(pipe, 0o600) == 0)
            let end = open(pipe, O_RDWR | O_CLOEXEC)
            try #require(end >= 0)
            defer { close(end) }
            func say(_ message: JSON) {
                let line = Array((message.text + "\n").utf8)
                #expect(Glibc.write(end, line, line.count) == line.count)
            }
            let program = try Person.agent.start(["mcp"], at: agent, input: pipe)
            let plan = try await Person.agent.plan(.start, at: agent)
            say(Self.call(1, "plan_apply", ["plan_id": plan["plan_id"] ?? .null]))
            let applied = try await program.line(ofOutput: true) { $0.contains("\"id\":1") }
            let operation = try JSON.parse(Array(applied.utf8))["result"]?["structuredContent"]?["operation"]
            #expect(operation?["state"] == "running", "\(applied)")
            let waiting: JSON = ["operation_id": operation?["operation_id"], "wait": 30]
            say(Self.call("given up", "operation_get", waiting))
            say(Self.request(nil, "notifications/cancelled", ["requestId": "given up"]))
            say(Self.call("waits", "operation_get", waiting))
            say(Self.request("last", "tools/list", ["_meta": Self.meta]))
            _ = try await program.line(ofOutput: true) { $0.contains("\"id\":\"last\"") }
            program.signal(SIGINT)
            let result = try await program.end(within: 5)
            #expect(result.status == 0 && result.err.isEmpty, "\(result)")
            #expect(!result.out.contains("given up") && !result.out.contains("waits"), "\(result)")
            try agent.pve().releaseTasks()
        }
    }

    @Test func `a wrong token and an agent that is not there are errors of each request`() async throws {
        try await withAgent(Person.setup()) { agent in
            let place = try ConfigFile()
            try write("another-token-than-any-of-theirs\n", to: "\(place.directory)/token")
            let lines = [Self.request("a", "ping").text, Self.request(nil, "notifications/initialized").text]
            let (wrong, answers) = try await Self.answers(
                to: lines, ["--token-file", "\(place.directory)/token"], at: agent)
            #expect(wrong.status == 0 && answers.count == 1 && answers["a"]?["error"]?["code"] == 401, "\(wrong)")
            #expect(wrong.err.contains("unauthenticated: the token is not valid"), "\(wrong)")
            let (alone, none) = try await Self.answers(to: lines, ["--server", "http://127.0.0.1:1"], at: agent)
            #expect(alone.status == 0 && none["a"]?["error"]?["code"] == 503, "\(alone)")
            #expect(alone.err.contains("cannot be reached"), "\(alone)")
        }
    }
}
