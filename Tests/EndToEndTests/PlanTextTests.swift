import AgentTestSupport
import FoundationEssentials
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// What a person sees of a plan.
@Suite(.timeLimit(.minutes(1)))
struct PlanTextTests {
    @Test func `plan show tells at a glance what would happen`() async throws {
        let wishes = [
            PlanRequest.start, .stop.with("reason", "new disk").with("approval_ticket", "CHG-1"), .delete,
            PlanRequest("delete_vm", "vm/100"),
            PlanRequest(
                "storage_edit", "storage/local",
                [
                    "endpoint": "/storage/local", "method": "PUT",
                    "params": ["content": "iso,backup", "delete": "path", "nodes": "pve1"],
                ]),
        ]
        try await withAgent(Person.setup()) { agent in
            var lines: [String] = []
            for wish in wishes {
                let plan = try await Person.agent.plan(wish, at: agent)
                let shown = try await Person.alice.run("plan", "show", plan["plan_id"]?.string ?? "", at: agent)
                #expect(shown.status == 0 && shown.err.isEmpty)
                // What is another each time.
                let text = [
                    (plan["plan_id"]?.string ?? "", "PLAN"),
                    (String(plan["plan_hash"]?.string?.prefix(8) ?? ""), "HASH"),
                    (plan["policy_version"]?.string ?? "", "POLICY"),
                ].reduce(shown.out) { $0.replacing($1.0, with: $1.1) }
                lines += text.split(separator: "\n", omittingEmptySubsequences: false).map { "|\($0)" }
            }
            try expectGolden(lines, "plan-show.txt")
        }
    }

    @Test func `names and texts from elsewhere stay within their quotation marks`() async throws {
        try await withAgent(Person.setup()) { agent in
            let name = "web\u{1b}]0;x\u{7}\u{1b}[2J\u{9b}31m\u{202e}\u{2066}\u{200b}\" on prod · low risk\nrisk"
            try agent.pve().setConfig(100, "name", name)
            try agent.pve().setConfig(100, "tags", "a\u{1b}c")
            let plan = try await Person.agent.plan(
                .stop.with("reason", "\u{202e}fi\"x\n\tapprovals: 9 of 1"), at: agent)
            let id = try #require(plan["plan_id"]?.string)
            #expect(plan["preview"]?["observed"]?["name"]?.string?.contains("\u{202e}") == true, "\(plan)")
            for command in [
                ["plan", "show", id], ["plans"], ["plan", "show", id, "--json"], ["plans", "--json"], ["cancel", id],
            ] {
                let result = try await Person.agent.start(command, at: agent).end()
                #expect(result.status == 0)
                let acting = result.out.unicodeScalars.filter { scalar in
                    scalar != "\n" && quoted(String(scalar)) != String(scalar)
                }
                #expect(acting.isEmpty, "\(command): \(acting.map(\.value))")
                #expect(!result.out.contains("\nrisk") && !result.out.contains("\n\tapprovals"))
                if command.contains("--json") {
                    let json = try JSON.parse(String(result.out.dropLast()))
                    if let row = json["plans"]?.array?.first {
                        #expect(row["request"] == plan["request"] && row["preview"] == nil)
                        #expect(row["summary"]?["name"] == plan["preview"]?["observed"]?["name"], "the same value")
                    } else {
                        #expect(json == plan, "the same value")
                    }
                } else {
                    #expect(result.out.contains(#"\" on prod"#), "\(result)")
                }
            }
        }
    }

    @Test(arguments: [["plans"], ["operations"], ["freeze", "show"]])
    func `with --json a list is what the API answers`(command: [String]) async throws {
        try await withAgent(Person.setup()) { agent in
            _ = try await Person.agent.apply(try await Person.agent.planID(.start, at: agent), at: agent)
            let result = try await Person.alice.start(command + ["--json"], at: agent).end()
            let path = "/v1/\(command[0])"
            #expect(result.status == 0)
            let answer = try await Person.alice.get(path, at: agent)
            #expect(try JSON.parse(String(result.out.dropLast())).object?.keys == answer.object?.keys)
            #expect(result.out.split(separator: "\n").count == 1)
        }
    }

    @Test func `with --json a refusal is the problem document, and its line is on standard error`() async throws {
        try await withAgent(Person.setup()) { agent in
            #expect(try await Person.alice.run("freeze", "set", "--reason", "disks", at: agent).status == 0)
            let result = try await Person.agent.run("freeze", "lift", "--json", at: agent)
            let problem = try JSON.parse(String(result.out.dropLast()))
            #expect(result.status == 1 && problem["code"] == "forbidden")
            #expect(result.err == "forbidden: \(problem["detail"]?.string ?? "")\n")
        }
    }

    // MARK: Without an agent

    private static func text(_ plan: JSON) -> [String] {
        PlanText(plan, at: Date(timeIntervalSince1970: 1_795_382_043)).lines
    }

    @Test func `structured values differ by their keys`() {
        let lines = Self.text([
            "preview": [
                "changes": [
                    ["key": "memory", "from": 2048, "to": 4096],
                    [
                        "key": "net0", "from": ["bridge": "vmbr0", "model": "virtio", "tag": 3],
                        "to": ["bridge": "vmbr1", "model": "virtio", "rate": 2],
                    ],
                    ["key": "net1", "from": ["model": "virtio", "bridge": "vmbr1"], "to": nil],
                    ["key": "tags", "from": ["a"], "to": ["a", "b c"]],
                    ["key": "description", "from": "", "to": "x y"],
                    ["key": "net2", "from": nil, "to": ["model": "e1000"]],
                ]
            ]
        ]).drop { !$0.isEmpty }.dropFirst()
        #expect(
            Array(lines) == [
                "  memory       2048 → 4096", "  net0.bridge  vmbr0 → vmbr1", "- net0.tag     3", "+ net0.rate    2",
                "- net1         model=virtio, bridge=vmbr1", #"  tags         [a] → [a, "b c"]"#,
                #"  description  "" → "x y""#, "+ net2         model=e1000",
            ])
    }

    @Test(arguments: [
        ("2026-11-22T21:29:03Z", "expires in 15 min"), ("2026-11-22T21:29:02Z", "expires in 14 min"),
        ("2026-11-22T21:16:03Z", "expires in 2 min"), ("2026-11-22T21:16:02Z", "expires in 119 s"),
        ("2026-11-22T21:14:02Z", "expired"), ("2026-11-23T21:14:03Z", "expires in 1440 min"),
    ])
    func `what is left of a plan's time is never overstated`(end: String, words: String) {
        let line = Self.text(["state": "approved", "expires_at": .string(end)]).first
        #expect(line?.hasSuffix("· approved (\(words))") == true, "\(line ?? "")")
    }
}
