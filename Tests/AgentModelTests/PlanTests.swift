import AgentModel
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

struct PlanTests {
    private func plan(approvals: Int) throws -> Plan { .sample(try .sample(.stopVM, "vm/101"), approvals: approvals) }

    private func approval(_ name: String) -> Approval { Approval(approver: name, assurance: .declared, at: .sample) }

    @Test(arguments: [
        (true, 0, PlanState.approved), (true, 1, .awaitingApproval), (false, 0, .denied), (false, 1, .denied),
    ])
    func `a plan is born approved, waiting or denied`(allowed: Bool, approvals: Int, state: PlanState) throws {
        let plan = Plan.sample(try .sample(.stopVM, "vm/101"), allowed: allowed, approvals: approvals)
        #expect(plan.state == state)
        #expect((plan.endedAt != nil) == (state == .denied))
    }

    @Test func `the last approval needed approves, and each person counts once`() throws {
        var plan = try plan(approvals: 2)
        expectDone(plan.approve(approval("alice")))
        #expect(plan.state == .awaitingApproval)
        let twice = plan.approve(approval("alice"))
        #expect(!twice)
        #expect(plan.approvals.count == 1)
        expectDone(plan.approve(approval("bob")))
        #expect(plan.state == .approved)
        let late = plan.approve(approval("carol"))
        #expect(!late)
        #expect(plan.approvals.map(\.approver) == ["alice", "bob"])
    }

    @Test func `an ended plan takes no approval`() throws {
        var plan = try plan(approvals: 1)
        expectDone(plan.move(to: .cancelled, at: .sample))
        let approved = plan.approve(approval("alice"))
        #expect(!approved)
        #expect(plan.approvals.isEmpty)
    }

    @Test func `an operation claims a plan and can free it again`() throws {
        var plan = try plan(approvals: 0)
        #expect(plan.operationID == nil)
        plan.claim(by: .sample(7, .operation))
        #expect(plan.operationID == .sample(7, .operation))
        plan.release()
        #expect(plan.operationID == nil)
    }

    @Test func `what moved is told field by field, and only of what is compared`() {
        let before = Observed(
            shown: ["node": "a", "status": "running", "tags": ["x"]], compared: ["node", "status", "lock"])
        #expect(before.moved(to: before) == [])
        #expect(before.moved(to: Observed(shown: ["node": "a", "status": "running", "tags": []])) == [])
        let moved = before.moved(to: Observed(shown: ["node": "b", "lock": "backup"]))
        #expect(moved.map(\.field) == ["node", "status", "lock"])
        #expect(moved.map(\.planned) == ["a", "running", .null])
        #expect(moved.map(\.found) == ["b", .null, "backup"])
    }

    @Test(arguments: [
        (502, true), (504, true), (595, true), (599, true), (500, false), (503, false), (594, false), (600, false),
        (400, false),
    ])
    func `a gateway's error leaves open what happened`(status: Int, isGateway: Bool) {
        #expect(PVERejection(status: status, reason: "").isFromGateway == isGateway)
    }
}

struct TimeTests {
    @Test(arguments: [
        "2026-11-22T21:14:03.122Z", "1970-01-01T00:00:00.000Z", "2000-02-29T23:59:59.999Z", "2026-11-22T21:14:03.001Z",
        "2026-11-22T21:14:03.500Z", "2038-01-19T03:14:08.007Z",
    ])
    func `times are written as they were read, to the millisecond`(text: String) throws {
        #expect(try #require(Date(rfc3339: text)).rfc3339 == text)
    }

    @Test func `every millisecond survives`() throws {
        for millisecond in 0..<1000 {
            let digits = String("00\(millisecond)".suffix(3))
            let text = "2026-11-22T21:14:03.\(digits)Z"
            #expect(try #require(Date(rfc3339: text)).rfc3339 == text)
        }
    }

    @Test(arguments: [
        ("2026-11-22T21:14:03Z", "2026-11-22T21:14:03.000Z"), ("2026-11-22T22:14:03+01:00", "2026-11-22T21:14:03.000Z"),
        ("2026-11-22T21:14:03.5Z", "2026-11-22T21:14:03.500Z"),
        ("2026-11-22T16:14:03.25-05:00", "2026-11-22T21:14:03.250Z"),
    ])
    func `other forms of RFC 3339 are read too`(text: String, normal: String) throws {
        #expect(try #require(Date(rfc3339: text)).rfc3339 == normal)
    }

    @Test(arguments: [
        "", "tomorrow", "2026-11-22", "2026-11-22T21:14:03", "2026-13-22T21:14:03Z", "2026-11-22 21:14", "1795382043",
        "2026-11-22T25:14:03Z", "2026-11-22T21:14:03Zx", "x2026-11-22T21:14:03Z", "2026-02-30T00:00:00Z",
        "2026-11-22t21:14:03z", "2026-11-22T21:14:60Z", "2026-11-22T21:14:03.Z", "2026-11-22T21:14:03.1234567890Z",
        "2026-11-22T21:14:03+0100", "2026-11-22T21:14:03+24:00", "2026-11-22T21:14:03+01:60", "2026-11-22T21:14:03 Z",
        "+2026-11-22T21:14:03Z", "2026-11-22T21:14:0３Z", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01",
    ])
    func `what is no RFC 3339 time is refused`(text: String) {
        #expect(Date(rfc3339: text) == nil)
    }
}
