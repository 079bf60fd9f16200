import AgentAudit
import AgentModel
import AgentPolicy
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

@testable import proxmox_agent

/// Files for the commands about policies, in a directory of their own.
struct PolicyFilesOnDisk: ~Copyable {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    func write(_ text: String, _ name: String) throws -> String {
        let path = "\(directory.path)/\(name)"
        try #require(
            FileManager.default.createFile(
                atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600]))
        return path
    }
}

struct PolicyCommandTests {
    private static let rules = """
        {"rules": [
          {"id": "no-deletes", "match": {"actions": ["delete_*"], "tags": ["prod"]}, "effect": "deny",
           "reason": "production stays"},
          {"id": "two", "match": {"environments": ["home"], "actions": ["stop_vm"]},
           "effect": {"require": {"approvals": 2, "assurance": "signed"}}},
          {"id": "ticket", "match": {"actions": ["start_vm"], "labels": {"tier": ["prod"]}},
           "effect": {"require": {"ticket": "OPS-*"}}},
          {"id": "quick", "match": {"actions": ["stop_container"]}, "effect": {"allow": {"override_base": true}}}
        ]}
        """

    private static let config = """
        {"environments": [
           {"name": "home", "base_url": "https://pve.lan:8006", "token_id": "a@pve!b", "token_secret_env": "UNSET",
            "labels": {"tier": "prod"}},
           {"name": "lab", "base_url": "simulator://lab", "token_id": "a@pve!c"}],
         "principals": [
           {"id": "pi-agent", "token_file": "/nowhere", "roles": ["operator"]},
           {"id": "alice", "token_file": "/nowhere", "roles": ["approver"]}]}
        """

    private static func lines(of work: () throws(ConfigError) -> Void) -> [String] {
        do throws(ConfigError) { try work() } catch { return error.lines }
        return []
    }

    // MARK: check

    @Test func `check names the policy, and warns a line for each finding`() throws {
        let files = try PolicyFilesOnDisk()
        let file = try files.write(Self.rules, "policy.json")
        let config = try PolicyConfig(file: try files.write(Self.config, "config.json"))
        let policy = try Policy(
            file: file, environments: config.environmentNames, principals: config.principalNames)
        let lines = PolicyCommand.Check.lines(policy, of: file, policy.findings(in: config.surroundings))
        #expect(lines.first == "\(file): 4 rules, version \(policy.version)")
        #expect(
            lines.dropFirst().allSatisfy { $0.hasPrefix("warning: rule ") }
                && lines.contains(
                    "warning: rule quick: loosens the base: drops the approval that the catalogue asks for, of stop_container"
                )
                && lines.contains { $0.hasPrefix("warning: rule two: asks for 2 signed approvals, and nobody") },
            "\(lines)")
    }

    @Test func `a configuration tells its environments and principals without its secrets`() throws {
        let files = try PolicyFilesOnDisk()
        let config = try PolicyConfig(file: try files.write(Self.config, "config.json")).surroundings
        #expect(config.environments.map(\.name.description) == ["home", "lab"])
        #expect(config.environments[0].labels == ["tier": "prod"] && config.environments[1].isSimulator)
        #expect(config.principals.map(\.id) == ["pi-agent", "alice"])
        #expect(config.directory.roles(of: "alice") == [.approver])
        let alone = try PolicyConfig(file: try files.write("{}", "alone.json")).surroundings
        #expect(alone.directory.isShared)
    }

    @Test(arguments: [
        (#"{"environments":[{"name":"é"}]}"#, ":1: environments[0].name: expected 1 to 64 of A-Z a-z 0-9 . _ -"),
        (
            "{\"principals\":[\n{\"id\":\"bob\",\"roles\":[\"king\"]}]}",
            ":2: principals[0].roles[0]: expected one of viewer"
        ),
        ("[]", ":1: a configuration is a JSON object"), ("{", ":1: "),
    ])
    func `a configuration that cannot be read is told by its line`(text: String, line: String) throws {
        let files = try PolicyFilesOnDisk()
        let path = try files.write(text, "config.json")
        let lines = Self.lines { () throws(ConfigError) in _ = try PolicyConfig(file: path) }
        #expect(lines.count == 1 && lines[0].hasPrefix(path + line), "\(lines)")
    }

    @Test func `a rule that names what the configuration lacks is an error`() throws {
        let files = try PolicyFilesOnDisk()
        let config = try PolicyConfig(file: try files.write(Self.config, "config.json"))
        let file = try files.write(
            #"{"rules":[{"id":"a","match":{"environments":["hom"],"principals":["bob"]},"effect":"deny"}]}"#, "p.json")
        let lines = Self.lines { () throws(ConfigError) in
            _ = try Policy(file: file, environments: config.environmentNames, principals: config.principalNames)
        }
        #expect(lines.count == 2)
        #expect(lines.allSatisfy { $0.hasPrefix("\(file):1: rules[0].match.") && $0.contains("here (") }, "\(lines)")
    }

    @Test func `rows of a cluster's resources become names that rules use`() {
        var inventory = PolicyInventory()
        let rows: [JSON] = [
            [
                "type": "qemu", "vmid": 101, "name": "web-1", "node": "pve1", "tags": "Prod;web", "pool": "a/b",
            ],
            ["type": "lxc", "vmid": 200, "node": "pve2"], ["type": "storage", "storage": "nas", "node": "pve1"],
            ["type": "pool", "pool": "empty"], ["type": "node", "node": "pve3"], ["type": "sdn", "sdn": "zone"],
        ]
        for row in rows { inventory.add(row) }
        #expect(inventory.tags == ["prod", "web"] && inventory.pools == ["a/b", "a", "empty"])
        #expect(inventory.nodes == ["pve1", "pve2", "pve3"] && inventory.storages == ["nas"])
        #expect(inventory.names == ["web-1"] && inventory.guests == ["vm/101", "lxc/200"])
    }

    // MARK: matrix

    @Test func `a matrix has a row for each action and a column for each environment and role`() throws {
        let files = try PolicyFilesOnDisk()
        let policy = try Policy(file: try files.write(Self.rules, "policy.json"))
        let config = try PolicyConfig(file: try files.write(Self.config, "config.json"))
        let lines = PolicyMatrix(policy, environments: config.surroundings.environments).lines
        #expect(lines == PolicyMatrix(policy, environments: config.surroundings.environments).lines)
        #expect(
            lines[0]
                == "| action | home viewer | home operator | home approver | lab viewer | lab operator | lab approver |"
        )
        #expect(lines[1] == "| --- | --- | --- | --- | --- | --- | --- |")
        #expect(lines.count { $0.hasPrefix("| ") } == 2 + Action.allCases.count)
        for line in [
            "| stop_vm | – | 2 signed (two) | – | – | approval | – |",
            "| start_vm | – | yes, ticket (ticket) | – | – | yes | – |",
            "| stop_container | – | yes (quick) | – | – | yes (quick) | – |",
            "| delete_vm | – | approval | – | – | approval | – |", "| read_vm | yes | yes | yes | yes | yes | yes |",
            "* `no-deletes`: deny for delete_* tagged prod",
        ] {
            #expect(lines.contains(line), "\(line)\n\(lines.joined(separator: "\n"))")
        }
    }

    @Test func `without environments a matrix is about one that no rule names`() throws {
        let files = try PolicyFilesOnDisk()
        let lines = PolicyMatrix(
            try Policy(file: try files.write(Self.rules, "policy.json")), environments: []
        ).lines
        #expect(lines[0] == "| action | any viewer | any operator | any approver |")
        #expect(lines.contains("| stop_vm | – | approval | – |"))
        #expect(lines.contains { $0.hasPrefix("* `two`: ") } && lines.contains { $0.hasPrefix("* `ticket`: ") })
    }

    @Test func `a matrix is as if it were the time of rules, and names these`() throws {
        let files = try PolicyFilesOnDisk()
        let time = #""time":{"zone":"UTC","weekly":[{"days":["mon"],"from":"22:00","to":"23:00"}]}"#
        let policy = try Policy(
            file: try files.write(
                """
                {"rules":[{"id":"nights","match":{"actions":["start_vm"],\(time)},"effect":"deny"},
                          {"id":"free","match":{"actions":["stop_vm"],\(time)},
                           "effect":{"allow":{"override_base":true}}},
                          {"id":"window","match":{"actions":["shutdown_vm"]},"effect":{"windows":{"zone":"UTC",
                           "weekly":[{"days":["mon"],"from":"22:00","to":"23:00"}]}}}]}
                """, "policy.json"))
        let lines = PolicyMatrix(policy, environments: []).lines
        #expect(lines.contains("| start_vm | – | deny (nights) | – |"))
        #expect(lines.contains("| stop_vm | – | approval | – |"))
        #expect(lines.contains { $0.hasPrefix("| shutdown_vm | – | approval, windows (window)") }, "\(lines)")
        #expect(lines.contains("Shown as if it were their time: nights."))
    }

    // MARK: diff

    private static func diff(_ old: String, _ new: String) throws -> [String] {
        let files = try PolicyFilesOnDisk()
        return PolicyComparison(
            try Policy(file: try files.write("{\"rules\":[\(old)]}", "old.json")),
            try Policy(file: try files.write("{\"rules\":[\(new)]}", "new.json")), environments: []
        ).lines
    }

    @Test(
        arguments: [
            ("", "", ["no request is decided differently"]),
            (
                #"{"id":"a","match":{"actions":["stop_vm"]},"effect":"deny"}"#,
                #"{"id":"b","match":{"actions":["stop_vm"]},"effect":"deny","reason":"said otherwise"}"#,
                [
                    "rules that differ, of which nothing that was compared shows it:",
                    "    - rule a: deny for stop_vm", "    + rule b: deny for stop_vm",
                ]
            ),
            (
                "", #"{"id":"a","match":{"actions":["delete_vm","delete_container"],"tags":["prod"]},"effect":"deny"}"#,
                ["approval → deny (no rule → a)", "    delete_container, delete_vm tagged prod"]
            ),
            (
                #"{"id":"a","match":{"environments":["home"],"actions":["delete_vm"]},"effect":"deny"}"#,
                #"{"id":"a","match":{"environments":["home"],"actions":["delete_vm"]},"effect":"require_approval","approvals":2}"#,
                ["deny → 2 approvals (a → a)", "    delete_vm in home"]
            ),
            (
                "", #"{"id":"a","match":{"actions":["delete_vm"],"roles":["approver"]},"effect":"deny"}"#,
                ["approval → deny (no rule → a)", "    delete_vm by operator and approver"]
            ),
            (
                "", #"{"id":"a","match":{"actions":["tag_vm"]},"effect":{"raise_risk":"high"}}"#,
                ["yes, medium risk → yes, high risk (no rule → a)", "    tag_vm"]
            ),
            (
                "", #"{"id":"a","match":{"actions":["tag_vm"]},"effect":{"require":{"reason":true}}}"#,
                ["yes → yes, a reason (no rule → a)", "    tag_vm"]
            ),
            (
                "", #"{"id":"a","match":{"actions":["tag_vm"],"pools":["prod"]},"effect":"deny"}"#,
                ["yes → deny (no rule → a)", "    tag_vm in pool prod"]
            ),
            (
                "", #"{"id":"a","match":{"actions":["start_vm"],"vmids":[101]},"effect":"deny"}"#,
                [
                    "rules that differ, of which nothing that was compared shows it:",
                    "    + rule a: deny for start_vm on vmid 101",
                ]
            ),
        ] as [(String, String, [String])])
    func `a difference is told with its rules, the same one on one line`(
        old: String, new: String, lines: [String]
    ) throws {
        #expect(try Self.diff(old, new) == lines)
    }

    @Test func `a rule about every change is one line`() throws {
        let lines = try Self.diff("", #"{"id":"all","effect":"deny"}"#)
        #expect(lines.contains { $0.hasPrefix("approval → deny") } && lines.contains { $0.hasPrefix("yes → deny") })
        #expect(lines.count == 4, "\(lines)")
    }
}
