import AgentAudit
import AgentModel
import AgentPolicy
import AgentStorage
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

@testable import proxmox_agent

/// Plans of an audit log, decided again by another policy.
struct PolicyReplayTests {
    /// A log whose records are written one after the other.
    private struct Log {
        var text = ""
        private var head = AuditHead.empty

        mutating func add(_ event: AuditEvent, at time: String = "2026-11-28T12:00:00Z") throws {
            let record = AuditRecord(event, after: head, at: try #require(Timestamp(rfc3339: time)))
            head = record.head
            text += String(decoding: record.line, as: UTF8.self) + "\n"
        }

        /// Adds the plan of a request for `vm/101`, with the decision's members that are not the usual ones.
        mutating func plan(
            _ action: String, _ decision: JSONObject = [:], subject: JSONObject = [:], by id: String = "pi-agent",
            params: JSONObject = [:], at time: String = "2026-11-28T12:00:00Z"
        ) throws {
            var whole: JSONObject = [
                "allowed": true, "risk_level": "medium", "requires_approval": false, "reason": "so", "rules": [],
            ]
            for member in decision.members { whole[member.key] = member.value }
            var target: JSONObject = ["role": "target", "name": "vm/101"]
            for member in subject.members { target[member.key] = member.value }
            whole.append("subjects", [.object(target)])
            try add(
                AuditEvent(
                    kind: .plan, actor: id, principal: id, environment: "home", planID: "pln_x",
                    request: [
                        "environment": "home", "action": .string(action), "target": "vm/101",
                        "params": .object(params), "dry_run": false,
                    ], decision: .object(whole)), at: time)
        }
    }

    private static func replay(
        _ rules: String, _ texts: [(name: String, text: String)], config: String? = nil
    ) throws -> [String] {
        let files = try PolicyFilesOnDisk()
        let file = try files.write("{\"rules\":[\(rules)]}", "policy.json")
        for (name, text) in texts { _ = try files.write(text, name) }
        let surroundings = try config.map { try PolicyConfig(file: try files.write($0, "config.json")).surroundings }
        let policy = try Policy(file: file)
        var replay = PolicyReplay(policy, of: "policy.json", surroundings)
        try AuditRecords.walk("\(files.directory.path)/audit.log") { (record) throws(AuditError) in replay.add(record) }
        return replay.lines.map { $0.replacing("(\(policy.version))", with: "(v)") }
    }

    private static let note = "without --config requesters have no roles and environments no labels"
    private static let approval: JSONObject = [
        "risk_level": "high", "requires_approval": true, "rules": ["base:delete_vm"], "checks": [],
    ]

    @Test func `plans that would be decided differently are listed with both decisions and their rules`() throws {
        var log = Log()
        try log.plan("delete_vm", approval(by: "two", 2), subject: ["tags": ["prod"]])
        try log.plan("start_vm", ["checks": []])
        try log.plan("delete_vm", Self.approval)
        let rule = #"{"id":"no","match":{"actions":["delete_vm"],"tags":["prod"]},"effect":"deny"}"#
        #expect(
            try Self.replay(rule, [("audit.log", log.text)]) == [
                "2026-11-28T12:00:00.000Z #1 pi-agent delete_vm vm/101 in home: 2 signed → deny (two → no)",
                "3 plans decided again by policy.json (v): 1 would be decided differently", Self.note,
            ])
    }

    private func approval(by rule: String, _ count: Int) -> JSONObject {
        [
            "risk_level": "high", "requires_approval": true, "rules": ["base:delete_vm", .string("rule:\(rule)")],
            "approvals": JSON(count), "assurance": "signed", "checks": [],
        ]
    }

    @Test(
        arguments: [
            (#"{"names":["web-*"]}"#, ["guest_names": ["web-1"]], ["guest_names": ["db"]]),
            (#"{"nodes":["pve1"]}"#, ["node": "pve1"], [:]), (#"{"pools":["a"]}"#, ["also": ["pool/a"]], [:]),
            (#"{"tags":["prod"]}"#, ["tags": ["prod"]], [:]),
        ] as [(String, JSONObject, JSONObject)])
    func `what rules looked at is taken from the record`(
        match: String, subject: JSONObject, other: JSONObject
    ) throws {
        let rule = #"{"id":"no","match":\#(match),"effect":"deny"}"#
        for (subject, count) in [(subject, "1"), (other, "none")] {
            var log = Log()
            try log.plan("start_vm", ["checks": []], subject: subject)
            let lines = try Self.replay(rule, [("audit.log", log.text)])
            #expect(lines.contains("1 plan decided again by policy.json (v): \(count) would be decided differently"))
        }
    }

    @Test func `checks, losses, time and parameters are taken from the record too, and hidden values fit nothing`()
        throws
    {
        var log = Log()
        try log.plan("start_vm", ["checks": [["id": "guest-exists", "level": "warn"]]])
        try log.plan("start_vm", ["checks": []], at: "2026-11-30T12:00:00Z")
        try log.plan(
            "configure_vm", ["risk_level": "high", "requires_approval": true, "checks": [], "losses": ["tag/web"]])
        try log.plan("start_vm", ["checks": []], params: ["note": "<redacted>"])
        let mondays = #"{"zone":"UTC","weekly":[{"days":["mon"],"from":"00:00","to":"24:00"}]}"#
        let rules = [
            #"{"id":"odd","match":{"actions":["start_vm"],"checks":["guest-exists"]},"effect":"deny"}"#,
            #"{"id":"mondays","match":{"actions":["start_vm"],"time":\#(mondays)},"effect":"deny"}"#,
            #"{"id":"keep","match":{"tags":["web"],"actions":["delete_vm"]},"effect":"deny"}"#,
            #"{"id":"note","match":{"params":{"note":{"is":"secret"}}},"effect":"deny"}"#,
        ]
        let lines = try Self.replay(rules.joined(separator: ","), [("audit.log", log.text)])
        #expect(
            lines.dropLast(2).map(Self.ending) == [
                "#1 no rule → odd)", "#2 no rule → mondays)", "#4 no rule → note)",
            ], "\(lines)")
    }

    /// The record's number, and the rules behind both decisions.
    private static func ending(_ line: String) -> String {
        "\(line.split(separator: " ")[1]) \(line.split(separator: "(").last ?? "")"
    }

    @Test func `older records are decided by names alone, and that is said`() throws {
        var log = Log()
        try log.plan("delete_vm", ["risk_level": "high", "requires_approval": true, "rules": ["rule:two"]])
        try log.plan("delete_vm", ["risk_level": "high", "requires_approval": true])
        let rule = #"{"id":"two","match":{"actions":["delete_vm"]},"effect":"require_approval","approvals":2}"#
        #expect(
            try Self.replay(rule, [("audit.log", log.text)]) == [
                "2 plans decided again by policy.json (v): none would be decided differently",
                "2 records are from before subjects' tags were recorded: decided again by names alone", Self.note,
            ])
    }

    @Test func `rotated files are read too, and what was voided is left out`() throws {
        var log = Log()
        try log.plan("start_vm", ["checks": []])
        let first = log.text
        log.text = ""
        try log.plan("start_vm", ["checks": []])
        try log.plan("start_vm", ["checks": []])
        try log.add(
            AuditEvent(
                kind: .void, actor: "proxmox-agent", principal: "proxmox-agent", planID: "pln_x",
                result: ["status": "not_done", "kind": "plan", "voids": 2]))
        try log.plan("fly_vm", ["checks": []])
        let lines = try Self.replay(
            #"{"id":"no","effect":"deny"}"#,
            [("audit.log.1", first), ("audit.log", log.text), ("audit.log.bak", first)])
        #expect(
            lines.map { $0.contains("#") ? String($0.split(separator: " ")[1]) : $0 } == [
                "#1", "#3", "2 plans decided again by policy.json (v): 2 would be decided differently",
                "1 record names an action or a target that this version does not know", Self.note,
            ], "\(lines)")
    }

    @Test func `roles and labels come from the configuration`() throws {
        var log = Log()
        try log.plan("start_vm", ["checks": []], by: "alice")
        try log.plan("start_vm", ["checks": []], by: "bob")
        let config = """
            {"environments":[{"name":"home","labels":{"tier":"prod"}}],
             "principals":[{"id":"alice","roles":["operator","approver"]},{"id":"bob","roles":["operator"]}]}
            """
        let rule = #"{"id":"no","match":{"roles":["approver"],"labels":{"tier":["prod"]}},"effect":"deny"}"#
        let lines = try Self.replay(rule, [("audit.log", log.text)], config: config)
        #expect(lines.count == 2 && lines[0].contains("#1 alice start_vm"), "\(lines)")
    }

    @Test func `a log that cannot be read, or was edited, is refused`() throws {
        var log = Log()
        try log.plan("start_vm")
        #expect(throws: AuditError.self) { try Self.replay("", []) }
        #expect(throws: AuditError.self) {
            try Self.replay("", [("audit.log", log.text.replacing("vm/101", with: "vm/102"))])
        }
    }
}
