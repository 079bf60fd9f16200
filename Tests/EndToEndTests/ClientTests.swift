import AgentTestSupport
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// What people do on the command line with an agent that runs.
@Suite(.timeLimit(.minutes(2)))
struct ClientTests {
    @Test func `an agent plans, a person approves on the command line, the agent applies`() async throws {
        try await withAgent(Person.setup()) { agent in
            try agent.pve().holdTasks()
            let plan = try await Person.agent.plan(.stop.with("reason", "new disk"), at: agent)
            let (id, hash) = (try #require(plan["plan_id"]?.string), try #require(plan["plan_hash"]?.string))
            expectProblem(try await Person.agent.apply(id, at: agent), 403, "approval_required")

            let list = try await Person.alice.run("plans", "--state", "awaiting_approval", at: agent)
            #expect(list.status == 0 && list.out.hasPrefix("\(id)  awaiting approval  medium risk"), "\(list)")
            let none = try await Person.alice.run("plans", "--target", "vm/136", at: agent)
            #expect(none.status == 0 && none.out == "no plans\n", "\(none)")
            let same = try await Person.alice.run("plans", "--target", "vm/100", at: agent)
            #expect(same.out == list.out, "\(same)")
            let shown = try await Person.alice.run("plan", "show", id, at: agent)
            #expect(
                shown.out.contains("\napprove:  proxmox-agent approve \(id) --hash \(hash.prefix(8))\n"), "\(shown)")

            let own = try await Person.agent.run("approve", id, "--hash", "\(hash.prefix(8))", at: agent)
            #expect(own.status == 1 && own.err.hasPrefix("forbidden: pi-agent may not"), "\(own)")
            let yes = try await Person.alice.run(
                "approve", id, "--hash", "\(hash.prefix(8))", "--reason", "seen", "--ticket", "CHG-1", at: agent)
            #expect(yes.status == 0, "\(yes)")
            #expect(yes.out.contains("approved, approvals: 1 of 1 (alice); pi-agent can apply it now"), "\(yes)")
            let record = try #require(try agent.records().last { $0["kind"] == "approve" })
            #expect(record["principal"] == "alice" && record["result"]?["assurance"] == "verified")
            #expect(record["result"]?["plan_hash"]?.string == hash && record["result"]?["ticket"] == "CHG-1")
            let again = try await Person.alice.run("approve", id, "--hash", hash, at: agent)
            #expect(again.status == 1 && again.err.hasPrefix("already_approved: "), "\(again)")

            let applied = try await Person.agent.apply(id, at: agent)
            let operation = try #require(applied["operation"]?["operation_id"]?.string, "\(applied)")
            let rows = try await Person.alice.run("operations", "--plan", String(id.dropLast(3)), at: agent)
            #expect(rows.out.hasPrefix("\(operation)  running  stop_vm vm/100 on cloud  by pi-agent"), "\(rows)")
            let waiting = try Person.alice.start(["operation", "show", operation, "--wait"], at: agent)
            try agent.pve().releaseTasks()
            let end = try await waiting.end()
            #expect(
                end.status == 0 && end.out.hasPrefix("\(operation)  stop_vm vm/100 on cloud  succeeded\n"), "\(end)")
            #expect(end.out.contains("approved by  alice (verified)") && end.out.contains("\"seen\""), "\(end)")
            let log = try await Person.alice.run("operation", "log", operation, at: agent)
            #expect(log.status == 0 && log.out.hasSuffix("TASK OK\n"), "\(log)")
        }
    }

    @Test func `where two approvals are needed, both are counted and named`() async throws {
        let rules: JSON = [["id": "two", "effect": "require_approval", "approvals": 2]]
        try await withAgent(Person.setup(rules: rules)) { agent in
            let plan = try await Person.agent.plan(.stop, at: agent)
            let (id, hash) = (try #require(plan["plan_id"]?.string), try #require(plan["plan_hash"]?.string))
            let first = try await Person.alice.run("approve", id, "--hash", hash, at: agent)
            #expect(first.out.hasSuffix("awaiting approval, approvals: 1 of 2 (alice)\n"), "\(first)")
            let shown = try await Person.bob.run("plan", "show", id, at: agent)
            #expect(shown.out.contains("\napprovals: 1 of 2\n  alice (verified) · "), "\(shown)")
            let second = try await Person.bob.run("approve", id, "--hash", hash.uppercased(), at: agent)
            #expect(second.out.contains("approved, approvals: 2 of 2 (alice, bob)"), "\(second)")
        }
    }

    @Test func `another hash, and none at all without a terminal, approves nothing`() async throws {
        try await withAgent(Person.setup()) { agent in
            let plan = try await Person.agent.plan(.delete, at: agent)
            let (id, hash) = (try #require(plan["plan_id"]?.string), try #require(plan["plan_hash"]?.string))
            let other = (hash.first == "0" ? "1" : "0") + hash.dropFirst()
            for wrong in [
                other, String(other.prefix(8)),
                hash.prefix(8).dropLast() + (hash.dropFirst(7).first == "0" ? "1" : "0"),
            ] {
                let result = try await Person.alice.run("approve", id, "--hash", wrong, at: agent)
                #expect(result.status == 1 && result.err.hasPrefix("plan_hash_mismatch: \(id) "), "\(result)")
                #expect(result.out.isEmpty && !"\(result)".contains(hash.prefix(8)), "it does not tell the right one")
            }
            let blind = try await Person.alice.run("approve", id, at: agent)
            #expect(blind.status == 1 && blind.err.hasPrefix("not approved: look at the plan"), "\(blind)")
            #expect(try await Person.alice.get("/v1/plans/\(id)", at: agent)["approvals"] == [])
            #expect(try agent.kinds(of: id) == ["plan"])
        }
    }

    @Test(arguments: [("yes", 0), ("y", 1), ("no", 1), ("YES", 1), ("", 1)])
    func `on a terminal the plan is shown, and only yes approves it`(typed: String, status: Int32) async throws {
        try await withAgent(Person.setup()) { agent in
            let place = try ConfigFile()
            try write(typed + "\n", to: "\(place.directory)/typed")
            let id = try await Person.agent.planID(.stop, at: agent)
            let program = try Person.alice.start(
                ["approve", id], at: agent, input: "\(place.directory)/typed", onTerminal: true)
            let result = try await program.end()
            #expect(result.status == status, "\(result)")
            let shown = try #require(result.out.firstRange(of: "status  running → stopped"), "\(result)")
            let asked = try #require(result.out.firstRange(of: "approve? type yes: "), "\(result)")
            #expect(shown.lowerBound < asked.lowerBound)
            let state = try await Person.alice.get("/v1/plans/\(id)", at: agent)["state"]
            #expect(state == (status == 0 ? "approved" : "awaiting_approval"))
        }
    }

    @Test func `a plan is rejected by an approver and cancelled by who asked for it`() async throws {
        try await withAgent(Person.setup()) { agent in
            let rejected = try await Person.agent.planID(.stop, at: agent)
            let wrong = try await Person.alice.run("reject", rejected, "--hash", "00000000", at: agent)
            #expect(wrong.status == 1 && wrong.err.hasPrefix("plan_hash_mismatch"), "\(wrong)")
            let no = try await Person.alice.run("reject", rejected, "--reason", "not \"now\"", at: agent)
            #expect(no.status == 0 && no.out.contains("  rejected"), "\(no)")
            let shown = try await Person.agent.run("plan", "show", rejected, at: agent)
            #expect(shown.out.contains("rejected by alice (verified)"), "\(shown)")
            #expect(shown.out.contains(#" · "not \"now\"""#) && !shown.out.contains("approve:"), "\(shown)")

            let cancelled = try await Person.agent.planID(.stop, at: agent)
            let result = try await Person.agent.run("cancel", cancelled, at: agent)
            #expect(result.status == 0 && result.out.contains("  cancelled"), "\(result)")
            let late = try await Person.alice.run("cancel", cancelled, at: agent)
            #expect(late.status == 1 && late.err.hasPrefix("plan_cancelled: "), "\(late)")
        }
    }

    @Test func `the beginning of an id is enough where no other has it`() async throws {
        try await withAgent(Person.setup()) { agent in
            var ids: [String] = []
            // Two of 33 begin with the same of 32 characters.
            for _ in 0..<33 { ids.append(try await Person.agent.planID(.start, at: agent)) }
            let byFirst = Dictionary(grouping: ids) { $0.prefix(5) }
            let shared = try #require(byFirst.first { $0.value.count > 1 })
            for text in [String(shared.key), String(shared.key.dropFirst(4))] {
                let several = try await Person.alice.run("plan", "show", text, at: agent)
                #expect(several.status == 1 && several.err.hasPrefix("\(shared.key) begins the ids of several plans"))
                #expect(shared.value.allSatisfy { several.err.contains($0) } || shared.value.count > 5, "\(several)")
                #expect(several.out.isEmpty)
            }
            let one = ids[7]
            for text in [one, String(one.prefix(14)), String(one.dropFirst(4).prefix(10))] {
                let found = try await Person.alice.run("plan", "show", text, "--json", at: agent)
                #expect(found.status == 0)
                #expect(try JSON.parse(String(found.out.dropLast()))["plan_id"]?.string == one)
            }
            let none = try await Person.alice.run("cancel", "pln_0000000000000000000", at: agent)
            #expect(none.status == 1 && none.err.hasPrefix("plan_not_found: no plan that you may see"), "\(none)")
            let whole = try await Person.alice.run("operation", "show", "op_00000000000000000000", at: agent)
            #expect(whole.status == 1 && whole.err.hasPrefix("operation_not_found: "), "\(whole)")

            let list = try await Person.alice.run("plans", "--limit", "2", at: agent)
            let last = try #require(list.out.split(separator: "\n").last)
            #expect(last == "there are older ones: --before \(ids[31])", "\(list)")
            let next = try await Person.alice.run("plans", "--limit", "1", "--before", ids[31], at: agent)
            #expect(next.out.hasPrefix(ids[30]), "\(next)")
        }
    }

    @Test func `a freeze is set, seen and lifted`() async throws {
        try await withAgent(Person.setup()) { agent in
            #expect(try await Person.alice.run("freeze", "show", at: agent).out == "nothing is frozen\n")
            let set = try await Person.agent.run(
                "freeze", "set", "--environment", "cloud", "--reason", "moving\u{7}house", "--ttl", "600", at: agent)
            #expect(set.status == 1 && set.err.hasPrefix("invalid_request: "), "\(set)")
            #expect(set.err.contains("\n  /reason: expected text"), "\(set)")
            let good = try await Person.agent.run(
                "freeze", "set", "--environment", "cloud", "--reason", "moving house", "--ttl", "600", at: agent)
            #expect(good.status == 0 && good.out.hasPrefix("frozen: cloud until 2"), "\(good)")
            let shown = try await Person.alice.run("freeze", "show", at: agent)
            #expect(shown.out.contains("by pi-agent since ") && shown.out.hasSuffix(": \"moving house\"\n"), "\(shown)")
            expectProblem(
                try await Person.agent.apply(try await Person.agent.planID(.start, at: agent), at: agent), 503, "frozen"
            )
            let other = try await Person.alice.run(
                "freeze", "set", "--environment", "cloud", "--reason", "disks", at: agent)
            let id = try #require(other.out.split(separator: " ").first { $0.hasPrefix("frz_") }?.dropLast())
            let refused = try await Person.agent.run("freeze", "lift", String(id), at: agent)
            #expect(refused.status == 1 && refused.err.hasPrefix("forbidden: "), "\(refused)")
            let which = try await Person.alice.run("freeze", "lift", "--environment", "cloud", at: agent)
            #expect(which.status == 1 && which.err.contains(id), "\(which)")
            let own = try await Person.alice.run("freeze", "lift", String(id), at: agent)
            #expect(own.status == 0 && own.out.contains("\nstill frozen: cloud until 2"), "\(own)")
            let elsewhere = try await Person.alice.run("freeze", "lift", at: agent)
            #expect(elsewhere.out.hasPrefix("there was no freeze of everything"), "\(elsewhere)")
            let lifted = try await Person.alice.run("freeze", "lift", "--environment", "cloud", at: agent)
            #expect(lifted.status == 0 && lifted.out.hasPrefix("lifted: cloud until"), "\(lifted)")
            #expect(try await Person.alice.get("/v1/freeze", at: agent)["freezes"] == [])
        }
    }
}
