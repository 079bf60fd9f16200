package import AgentModel
internal import FoundationEssentials
package import StrictJSON

// Samples that have something in every field: for what has to keep, or to show, all of it.

extension JSON {
    /// A value whose every level, kind of number and awkward text has to survive.
    package static var whole: JSON {
        [
            "null": .null,
            "list": [
                1, .number(1), .number(-0.0), .number(1e300), .number(0.1), true, "\u{0}\u{1F600}e\u{301}\u{2028}\\\"",
            ],
            "large": .integer(.max), "small": .integer(.min), "empty": [:], "z": [], "a": ["b": [["c": .null]]],
        ]
    }
}

extension FollowUp {
    fileprivate static let whole = FollowUp(
        environment: .sample, action: "configure_vm", target: "vm/7", params: ["a": .whole])
}

extension Approval {
    package static func whole(_ approver: String) -> Approval {
        Approval(
            approver: approver, assurance: .verified, at: .sample.addingTimeInterval(0.001), reason: "fine\n",
            ticket: "CHG-1")
    }
}

extension Plan {
    package static func whole(secret: String) throws -> Plan {
        let sample = Plan.sample(try .sample(.startVM, "vm/101"), requester: .labelled("alice"))
        let request = ActionRequest(
            environment: sample.request.environment, action: sample.request.action, target: sample.request.target,
            params: ["a": .whole, "cipassword": "<redacted>"],
            secrets: [
                JSONPath([.key("cipassword")]): Secret(secret),
                JSONPath([.key("x"), .index(2)]): Secret("\0é" + secret),
            ], dryRun: true,
            notes: .init(
                reason: "why", expiresAt: .sample.addingTimeInterval(60.007), approvalTicket: "T-1",
                applyAt: .window, approvedBy: "carol"))
        var preview = Preview(
            calls: [
                Call(
                    .post, ["nodes", "pve1", "a/b"],
                    [
                        ("text", .text("")), ("one", .secret(Secret(secret))), ("digest", .observedDigest),
                        ("list", .list(["", "é"])), ("none", .list([])),
                    ], tasks: ["qmstart", "hastart"], taskID: "101", expectedDrift: ["status"]),
                Call(.delete, [], [("two", .secret(Secret(secret + "2"))), ("three", .secret(Secret("")))]),
            ], observed: Observed(shown: ["x": .whole], compared: ["x", "y"]),
            changes: [Change("memory", from: .null, to: .whole)], noop: true, irreversible: true, undo: .whole,
            checks: [Check("guest", .warn, "so so"), Check("b", .block, ""), Check("c", .ok, "é")],
            reach: Reach(
                subjects: [
                    Subject(
                        .target, "vm/101", aliases: ["pool/a", "é"], tags: ["web"], guestNames: ["old", "new"],
                        node: NodeName("pve1")), Subject(.source, "vm/7"),
                ],
                liveEscalations: ["touches-firewall"], losses: ["tag/web", "pool/a"], gains: ["name/new"],
                destroyedBytes: .max, backups: ["vm/101": .sample]))
        let clause = ApprovalClause(
            rule: "a", approvals: 2, principals: ["dora"], roles: [.approver], groups: ["leads"], isFromOtherGroup: true
        )
        preview.digest = "abc"
        preview.undoLeaves = [UndoGap("unused0", "stays"), UndoGap("", "é")]
        return Plan(
            id: sample.id, request: request, requestHash: "r", planHash: "p",
            requester: Caller(principal: "bot", label: "label", isShared: false), environmentIdentity: "i",
            policyVersion: "v",
            decision: Decision(
                allowed: true, risk: .high, requiresApproval: true, reason: "because", rules: ["a", "b"], approvals: 3,
                assurance: .signed, clauses: [clause],
                window: ClosedWindow(rules: ["nights"], opensAt: .sample.addingTimeInterval(7)),
                subjects: [
                    JudgedSubject(
                        Subject(
                            .target, "vm/101", aliases: ["pool/a", "é"], tags: ["web"], guestNames: ["db", "db2"],
                            node: NodeName("pve1")), rules: ["rule:a"]), JudgedSubject(.member, "vm/7"),
                ]),
            preview: preview, requires: Requirement(approvals: 3, assurance: .verified, clauses: [clause]),
            createdAt: .sample.addingTimeInterval(-0.5), expiresAt: .sample.addingTimeInterval(0.999),
            standing: .init(
                state: .awaitingApproval, approvals: [.whole("dora"), .whole("emil")], rejection: nil,
                withdrawn: [.whole("fred")], operationID: .sample(9, .operation), breakGlass: .whole, endedAt: nil))
    }
}

extension Operation {
    package static func whole(of plan: Plan) -> Operation {
        guard let upid = UPID("UPID:pve1:0000A1B2:01234567:6543ABCD:qmstart:101:root@pam!x:") else {
            preconditionFailure("this is a UPID")
        }
        var full = Operation(
            id: .sample(2, .operation), plan: plan, approvals: [.whole("dora")], createdAt: .sample)
        _ = full.move(to: .running, at: .sample.addingTimeInterval(0.123))
        full.steps = [Step(sentAt: .sample, upid: upid, state: .done), Step(sentAt: .sample.addingTimeInterval(9.009))]
        full.hasWarnings = true
        full.knownTasks = [upid]
        full.code = "upstream_refused"
        full.partial = PartialOutcome(code: "plan_stale", detail: "é", undo: .whole, undoLeaves: [UndoGap("a", "é")])
        full.keptLog = ["one", ""]
        full.message = "no\u{0} \u{202E}"
        full.data = .whole
        full.logTail = ["", "two\n"]
        full.moved = [
            StateDrift(field: "status", planned: "stopped", found: .whole),
            StateDrift(field: "x", planned: 1, found: .number(1)),
        ]
        full.upstream = PVERejection(status: 500, reason: "é", errors: ["b": "2", "a": "1"])
        full.cancelRequestedBy = "mallory"
        full.queuePosition = 7
        (full.executor, full.isStopAsked) = ("anna", true)
        full.trace = TraceContext(traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        full.breakGlass = BreakGlass(reason: "no", at: .sample, windows: ["", "é"])
        return full
    }
}

extension BreakGlass {
    fileprivate static let whole = BreakGlass(
        reason: "é", at: .sample.addingTimeInterval(3), windows: ["nights"],
        limits: [LimitCounter(rule: "a", index: 1, counted: .guests, scope: .tag, key: "é")],
        freezes: [.sample(4, .freeze)])
}
