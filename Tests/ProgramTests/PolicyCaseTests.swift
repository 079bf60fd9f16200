import AgentPolicy
import AgentTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// Cases of requests, and the decisions that are expected of them.
struct PolicyCaseTests {
    private static let policy = """
        {"rules": [
          {"id": "no-deletes", "match": {"actions": ["delete_*"], "tags": ["prod"]}, "effect": "deny",
           "reason": "production stays"},
          {"id": "pools", "match": {"pools": ["a"]}, "effect": {"require": {"approvals": 2, "assurance": "signed"}}},
          {"id": "odd", "match": {"checks": ["guest-*"]}, "effect": {"raise_risk": "high"}},
          {"id": "weekend", "match": {"actions": ["start_vm"], "time": {"zone": "UTC",
           "weekly": [{"days": ["sat-sun"], "from": "00:00", "to": "24:00"}]}}, "effect": "require_approval"},
          {"id": "nights", "match": {"actions": ["reboot_vm"]}, "effect": {"windows": {"zone": "UTC",
           "weekly": [{"days": ["mon-sun"], "from": "22:00", "to": "24:00"}]}}},
          {"id": "few", "match": {"actions": ["reboot_vm"]},
           "effect": {"limits": [{"count": "guests", "most": 2, "per": "1h"}]}},
          {"id": "saved", "match": {"actions": ["suspend_vm"]}, "effect": {"require": {"backup_within": "24h"}}},
          {"id": "agents", "match": {"roles": ["approver"], "labels": {"tier": ["prod"]}}, "effect": "deny"}
        ]}
        """

    private static func document(_ cases: String...) -> String {
        """
        {"environments": [{"name": "home", "labels": {"tier": "prod"}}, {"name": "lab", "read_only": true}],
         "principals": [{"id": "pi-agent", "roles": ["operator"]}, {"id": "both", "roles": ["operator", "approver"]}],
         "cases": [
        \(cases.joined(separator: ",\n"))]}
        """
    }

    /// The beginning of a case: what is asked for, on `vm/101`.
    private static func request(_ action: String, _ environment: String = "home", by id: String = "pi-agent") -> String
    {
        """
        "name": "one", "by": "\(id)",
        "request": {"environment": "\(environment)", "action": "\(action)", "target": "vm/101"}
        """.replacing("\n", with: " ")
    }

    private static func one(_ action: String, _ more: String, _ environment: String = "home") -> String {
        document("{\(request(action, environment)), \(more)}")
    }

    private static func report(_ cases: String) throws -> PolicyCaseReport {
        let files = try PolicyFilesOnDisk()
        return PolicyCaseReport(
            try PolicyCases(file: try files.write(cases, "cases.json")),
            by: try Policy(file: try files.write(policy, "policy.json")))
    }

    @Test(
        arguments: [
            ("delete_vm", "", #""allowed": true, "requires_approval": true, "approvals": 1, "rules": []"#),
            (
                "delete_vm", #""subjects": [{"name": "vm/101", "tags": ["Prod"]}],"#,
                #""allowed": false, "rules": ["no-deletes"], "reason_has": "production""#
            ),
            (
                "stop_vm", #""subjects": [{"name": "vm/101", "also": ["pool/a/b"]}],"#,
                #""approvals": 2, "assurance": "signed", "rules": ["pools"]"#
            ),
            (
                "start_vm", #""checks": [{"id": "guest-exists", "level": "warn"}],"#,
                #""risk_level": "high", "rules": ["odd"]"#
            ),
            ("start_vm", #""checks": [{"id": "guest-exists", "level": "block"}],"#, #""allowed": false"#),
            ("start_vm", #""at": "2026-11-29T12:00:00Z","#, #""approvals": 1, "rules": ["weekend"]"#),
            ("start_vm", "", #""approvals": 0, "rules": [], "assurance": "verified", "window": "open", "limits": []"#),
            (
                "reboot_vm", "",
                #""window": "closed", "opens_at": "2026-01-05T22:00:00Z", "rules": ["few", "nights"], "limits": ["few"]"#
            ),
            ("reboot_vm", #""at": "2026-01-05T22:00:00Z","#, #""window": "open""#),
            (
                "suspend_vm", #""subjects": [{"name": "vm/101", "newest_backup": "2026-01-04T12:00:01Z"}],"#,
                #""allowed": true"#
            ),
            (
                "suspend_vm", #""subjects": [{"name": "vm/101", "newest_backup": "2026-01-04T11:59:59Z"}],"#,
                #""allowed": false, "rules": ["saved"]"#
            ),
            ("suspend_vm", #""subjects": [{"name": "vm/101"}],"#, #""allowed": false"#),
        ] as [(String, String, String)])
    func `a case that is decided as expected is ok`(action: String, more: String, expected: String) throws {
        let report = try Self.report(Self.one(action, #"\#(more) "expect": {\#(expected)}"#))
        #expect(report.isGood && report.lines == ["ok      one", "1 case: 1 ok, 0 failed"], "\(report.lines)")
    }

    @Test func `environments and principals of cases are as they say`() throws {
        let cases = [
            ("lab", "pi-agent", #""allowed": false, "reason_has": "read-only""#),
            ("home", "both", #""rules": ["agents"]"#),
            ("home", "pi-agent", #""rules": []"#),
        ]
        for (environment, id, expected) in cases {
            let one = "{\(Self.request("start_vm", environment, by: id)), \"expect\": {\(expected)}}"
            let report = try Self.report(Self.document(one))
            #expect(report.isGood, "\(report.lines)")
        }
    }

    @Test(arguments: [
        (#"{"allowed": true}"#, "allowed: expected true, got false"),
        (#"{"requires_approval": false}"#, "requires_approval: expected false, got true"),
        (#"{"risk_level": "low"}"#, "risk_level: expected low, got high"),
        (#"{"approvals": 3}"#, "approvals: expected 3, got 2"),
        (#"{"assurance": "hardware"}"#, "assurance: expected hardware, got signed"),
        (#"{"rules": ["pools"]}"#, "rules: expected pools, got no-deletes, pools"),
        (#"{"rules": []}"#, "rules: expected none, got no-deletes, pools"),
        (#"{"window": "closed"}"#, "window: expected closed, got open"),
        (#"{"opens_at": "2026-01-05T22:00:00Z"}"#, "opens_at: expected 2026-01-05T22:00:00.000Z, got no time"),
        (#"{"limits": ["few"]}"#, "limits: expected few, got none"),
        (#"{"reason_has": "nonsense"}"#, #"reason_has: expected "nonsense", got "production stays""#),
    ])
    func `a case that fails tells what was expected, what came, and why`(expected: String, line: String) throws {
        let more = #""subjects": [{"name": "vm/101", "tags": ["prod"], "also": ["pool/a"]}], "expect": \#(expected)"#
        let failing = "{\(Self.request("delete_vm").replacing("one", with: "two")), \(more)}"
        let report = try Self.report(
            Self.document("{\(Self.request("stop_vm")), \"expect\": {\"allowed\": true}}", failing))
        #expect(!report.isGood && report.lines.count == 5, "\(report.lines)")
        #expect(report.lines[0] == "ok      one")
        #expect(report.lines[1].hasPrefix("FAILED  two (/tmp/") && report.lines[1].hasSuffix("cases.json:5)"))
        #expect(report.lines[2] == "        \(line)")
        #expect(
            report.lines[3]
                == "        decided: deny, by base:delete_vm, rule:no-deletes, rule:pools: production stays",
            "\(report.lines)")
        #expect(report.lines[4] == "2 cases: 1 ok, 1 failed")
    }

    @Test(
        arguments: [
            ("{\"cases\":[]}", "1: cases: is empty; give it one case or more"),
            ("{\"case\":[]}", "1: case: unknown key"),
            (Self.one("start_vm", #""x": 1"#), "4: cases[0].expect: is missing"),
            (Self.one("start_vm", #""expect": {}"#), "4: cases[0].expect: is empty"),
            (Self.one("start_vm", #""expect": {"allowed": 1}"#), "4: cases[0].expect.allowed: expected true"),
            (Self.one("start_vm", #""expect": {"alowed": true}"#), "4: cases[0].expect.alowed: unknown key"),
            (Self.one("fly_vm", #""expect": {"allowed": true}"#), "4: cases[0].request.action: there is no action"),
            (
                Self.one("storage_edit", #""expect": {"allowed": true}"#),
                "4: cases[0].request.target: storage_edit takes "
            ),
            (
                Self.one("start_vm", #""expect": {"allowed": true}"#, "nowhere"),
                "4: cases[0].request.environment: expected the name of one environment here (home, lab)"
            ),
            (Self.one("snapshot_vm", #""expect": {"allowed": true}"#), "4: cases[0].request.params"),
            (Self.one("start_vm", #""at": "noon", "expect": {"allowed": true}"#), "4: cases[0].at: expected a time"),
            (
                Self.one("start_vm", #""checks": [{"id": "a"}], "expect": {"allowed": true}"#),
                "4: cases[0].checks[0].level: is missing"
            ),
            (
                Self.one("start_vm", #""subjects": [{"role": "target"}], "expect": {"allowed": true}"#),
                "4: cases[0].subjects[0].name: is missing"
            ),
            (
                Self.document(#"{\#(Self.request("start_vm", by: "eve")), "expect": {"allowed": true}}"#),
                "4: cases[0].by: expected the name of one principal here (pi-agent, both)"
            ),
            (
                Self.document(
                    #"{\#(Self.request("start_vm")), "expect": {"allowed": true}}"#,
                    #"{\#(Self.request("start_vm")), "expect": {"allowed": true}}"#),
                "5: cases[1].name: another case has this name"
            ),
            (#"{"environments":[{"name":"a"},{"name":"a"}]}"#, "1: environments[1].name: \"a\" is taken"),
            (#"{"principals":[{"id":"bob"}]}"#, "1: principals[0].roles: is missing"),
            ("[]", "1: a file of cases is a JSON object"), ("{\n\n!}", "3: "),
        ] as [(String, String)])
    func `an error in cases is told with file, line and place`(text: String, line: String) throws {
        let files = try PolicyFilesOnDisk()
        let path = try files.write(text, "cases.json")
        var lines: [String] = []
        do throws(ConfigError) { _ = try PolicyCases(file: path) } catch { lines = error.lines }
        #expect(lines.first?.hasPrefix("\(path):\(line)") == true, "\(lines)")
    }

    @Test func `a thousand cases are decided within seconds`() throws {
        let cases = (0..<1000).map { number in
            "{\(Self.request("delete_vm").replacing("one", with: "\(number)")), \"expect\": {\"allowed\": true}}"
        }
        let clock = ContinuousClock()
        let begin = clock.now
        let report = try Self.report(Self.document(cases.joined(separator: ",\n")))
        #expect(report.isGood && report.lines.last == "1000 cases: 1000 ok, 0 failed")
        #expect(clock.now - begin < .seconds(10))
    }
}
