import AgentModel
import StrictJSON

/// The schemas of bodies and of answers that hold more than one view.
enum Envelopes {
    static let health = Component(
        "Health", Schema.object(["ok": .boolean]))

    static let ready = Component(
        "Readiness",
        Schema.object(
            [
                "ok": .boolean,
                "missing": .list(.object(["code": .text, "detail": .text], optional: ["detail"])),
                "warnings": .list(
                    .object(
                        ["code": .text, "detail": .text, "errors": .list(.text)], optional: ["detail", "errors"])
                ).described("what is wrong although the agent works"),
                "environments": .list(Views.environment.schema),
            ], optional: ["missing", "warnings", "environments"]))

    static let environments = Component(
        "EnvironmentList", Schema.object(["environments": .list(Views.environment.schema)]))
    static let actions = Component(
        "ActionList", Schema.object(["actions": .list(Views.action.schema)]))

    // MARK: Reads

    private static let status = Schema.words(["ok", "partial", "failed"])

    /// One environment of several.
    private static let part = Schema.object(
        [
            "name": Schema(TextForm.environment), "status": .words(["ok", "failed"]), "fetched_at": .time,
            "count": .integer(), "error": .object(["code": .text, "detail": .text]),
        ], optional: ["error"])

    static let read = Component(
        "ReadResult",
        Schema.object([
            "request": Views.request.schema, "plan": Views.unstored.schema,
            "result": .object(["status": status, "message": .text, "data": .any]),
        ]))

    static let inventory = Component(
        "Inventory",
        Schema.object(
            [
                "request": .object, "plan": Views.unstored.schema,
                "result": .object(
                    [
                        "status": status, "message": .text, "environments": .list(part),
                        "matched": Schema.integer().described("how many guests match, on all pages"),
                        "next": Schema.text.orNull.described("the next page's `after`; null on the last"),
                        "data": .list(.object(["environment": Schema(TextForm.environment)])),
                    ], optional: ["environments", "matched", "next"]),
            ], optional: ["plan"]))

    /// A task's id. PVE's own rules are stricter.
    static let upid = Schema.pattern("^\(UPID.expression)$")

    // MARK: Plans and operations

    static let plans = Component(
        "PlanPage", page("plans", Views.summary.schema))
    static let operations = Component(
        "OperationPage", page("operations", Views.operation.schema))

    private static func page(_ name: String, _ row: Schema) -> Schema {
        .object([name: .list(row), "next": Schema.text.orNull.described("the next page's `before`; null on the last")])
    }

    static let applied = Component(
        "ApplyResult",
        Schema.object(
            [
                "request": Views.request.schema, "decision": Views.decision.schema, "plan_id": .id(.plan),
                "result": .object(
                    [
                        "status": .words(
                            ["ok", "partial", "failed", "planned"]
                                + OperationState.allCases.map(\.rawValue).filter { $0 != "failed" }),
                        "message": .text, "data": .any,
                    ]),
                "operation": Views.operation.schema,
            ], optional: ["plan_id", "operation"]))

    static let log = Component(
        "OperationLog", Schema.object(["start": .integer(), "total": .integer(), "lines": .list(.text)]))

    static let decision = Component(
        "PlanDecision",
        Schema.object(
            [
                "decision": .words(["approve", "reject"]),
                "plan_hash": Schema.hash.described("the `plan_hash` of the plan that was looked at"),
                "reason": Schema(TextForm.text(4096)), "ticket": Schema(TextForm.text(256)),
                "signature": signature.schema,
            ], optional: ["reason", "ticket", "signature"], isOpen: false))

    /// As `ApprovalSignature` of Signatures reads it.
    static let signature = Component(
        "ApprovalSignature",
        // One object instead of two: generated clients trip over a choice here.
        Schema.object(
            [
                "ssh": Schema.text.described("what `ssh-keygen -Y sign` wrote"),
                "passkey": .object(
                    [
                        "credential_id": base64URL, "client_data": base64URL, "authenticator_data": base64URL,
                        "signature": base64URL,
                    ], isOpen: false),
            ], optional: ["ssh", "passkey"], isOpen: false
        ).described(
            "a signature of the approval's text, by one of the approver's `approval_keys`: `ssh` or `passkey`"))

    private static let base64URL = Schema.pattern("^[A-Za-z0-9_-]+$")

    static let approvalText = Component(
        "ApprovalText",
        Schema.object([
            "text": Schema.text.described("what an approver signs, to the last newline"),
            "challenge": base64URL.described("the SHA-256 of the text: the challenge of a passkey"),
        ]))

    static let resolve = Component(
        "Resolution",
        Schema.object(
            [
                "outcome": .words(["succeeded", "failed"]), "reason": note.described("why you know"),
            ], isOpen: false))

    /// A reason that must be given.
    private static let note: Schema = {
        var schema = Schema(TextForm.text(4096))
        schema.json["minLength"] = 1
        // No control characters, and one that is no blank.
        let any = #"[^\u0000-\u0008\u000b-\u001f\u007f]*"#
        schema.json["pattern"] = .string("^\(any)" + #"[^\s\u0000-\u001f\u007f]"# + "\(any)$")
        return schema
    }()

    // MARK: Emergencies, freezes and the audit log

    static let reviews = Component("ReviewPage", page("reviews", Views.review.schema))
    static let reviewClose = Component(
        "ReviewRequest",
        Schema.object(
            ["verdict": .words(["justified", "unjustified"]), "comment": note.described("what you found")],
            isOpen: false))

    static let agents = Component(
        "AgentList",
        Schema.object([
            "shared": Schema.boolean.described("whether several agents can share the state"),
            "agents": .list(
                .object([
                    "name": Schema(TextForm.environment), "version": .text, "started_at": .time,
                    "seen_seconds": Schema.integer().described("how long ago it was last heard of"),
                    "state": Schema.words(["working", "draining", "differs", "unable", "gone"]).described(
                        "`differs`: its configuration is not that of the agent which has run the longest; "
                            + "`unable`: it cannot write, or its clock is wrong"),
                    "this": Schema.boolean.described("whether it is the one that answers"),
                    "environments": Schema.list(Schema(TextForm.environment)).described(
                        "where it carries out operations, of those that the caller sees"),
                ])),
        ]))
    static let forgotten = Component(
        "ForgottenAgent", Schema.object(["name": Schema(TextForm.environment), "forgotten": .boolean]))
    static let drained = Component(
        "DrainedAgent", Schema.object(["name": Schema(TextForm.environment), "draining": .boolean]))

    static let freezes = Component(
        "FreezeList", Schema.object(["freezes": .list(Views.freeze.schema)]))
    static let lifted = Component(
        "LiftedFreeze",
        Schema.object([
            "lifted": Views.freeze.schema.orNull, "freezes": .list(Views.freeze.schema),
        ]))

    static let freeze = Component(
        "FreezeRequest",
        Schema.object(
            [
                "environment": Schema(TextForm.environment), "reason": note.described("why nothing may change"),
                "ttl": Schema.integer(1...2_592_000).described("seconds until it ends by itself"),
            ], optional: ["environment", "ttl"], isOpen: false))

    static let notifications = Component(
        "NotificationPage", page("notifications", Views.notification.schema))
    static let notificationTest = Component(
        "NotificationTest",
        Schema.object(["target": Schema.text.described("the destination's id in the configuration")], isOpen: false))
    static let notificationTested = Component(
        "NotificationTestResult",
        Schema.object(
            ["target": .text, "delivered": .boolean, "error": Schema.text.described("why it was not delivered")],
            optional: ["error"]))

    static let audit = Component(
        "AuditPage",
        Schema.object(
            [
                "records": .list(
                    .object(["v": .integer(), "seq": .integer(), "ts": .text, "kind": .text, "hash": .hash])),
                "numbers": .list(.integer()).described(
                    "of each record its number, which `after` goes by: its `seq`, or its place among those of all agents on a state"
                ),
                "next": Schema.integer().orNull.described("the next page's `after`; null at the end"),
                "newest": Schema.integer().described("the number of the newest record of all"),
                "oldest": Schema.integer().described("the number of the oldest one; only of several agents"),
            ], optional: ["oldest"]))

    static let auditHead = Component(
        "AuditHead",
        Schema.object(
            ["seq": .integer(), "hash": .hash, "agent": .text.described("whose log it is; only of several agents")],
            optional: ["agent"]))

    // MARK: Requests of actions

    static let planRequest = Schema.named("PlanRequest")
    static let applyRequest = Schema.named("ApplyRequest")

    /// All of them, in the order of the document.
    static let all: [Component] = [
        health, ready, environments, actions, read, inventory, plans, operations, applied, log, decision, signature,
        approvalText, resolve, reviews, reviewClose, agents, drained, forgotten, freezes, lifted, freeze, notifications,
        notificationTest,
        notificationTested, audit,
        auditHead, policy, windows, limits, rpcAnswer, sessions, signIn, challenge, signInCode,
    ]

    // MARK: The Model Context Protocol

    private static let number = Schema(["type": "integer"])
    private static let rpcID: Schema = .anyOf([.text, number])

    /// A message of JSON-RPC 2.0. What `params` hold depends on the method; the protocol's own schema has it.
    static let rpcMessage = Schema.object(
        ["jsonrpc": .words(["2.0"]), "id": rpcID, "method": .text, "params": .object], optional: ["id", "params"])

    static let rpcAnswer = Component(
        "MCPResponse",
        Schema.object(
            [
                "jsonrpc": .words(["2.0"]), "id": rpcID, "result": .object,
                "error": .object(["code": number, "message": .text, "data": .any], optional: ["data"]),
            ], optional: ["id", "result", "error"]))

    /// The components that request bodies are made of: one for each action, and their union.
    static let requests: [(name: String, schema: Schema)] = {
        let actions = ActionCatalog.all.map { (name: name(of: $0.action), schema: request($0)) }
        let references = actions.map { JSON.object(Schema.named($0.name).json) }
        let mapping = zip(ActionCatalog.all, actions).reduce(into: JSONObject()) {
            $0.append($1.0.action.rawValue, .string("#/components/schemas/\($1.1.name)"))
        }
        let union = Schema([
            "description": "What to plan. `action` decides which parameters there are.", "oneOf": .array(references),
            "discriminator": ["propertyName": "action", "mapping": .object(mapping)],
        ])
        let byID = Schema.object(
            ["plan_id": .id(.plan), "approved_by": approver, "break_glass": emergency],
            optional: ["approved_by", "break_glass"], isOpen: false)
        return actions + [
            ("PlanRequest", union), ("ApplyPlanRequest", byID.described("Applies a plan.")),
            (
                "ApplyRequest",
                Schema.anyOf([.named("ApplyPlanRequest"), planRequest]).described(
                    "A plan by its id, or the whole request of a read, of a dry run, or of a change that was planned.")
            ),
        ]
    }()

    private static let emergency = note.described(
        "why the change shall pass a closed change window, a full limit or a freeze: for the role emergency")

    private static let approver = Schema(TextForm.label).described("who approved it; only with the one shared token")

    /// `migrate_vm` is `MigrateVmRequest`.
    private static func name(of action: Action) -> String {
        action.rawValue.split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined() + "Request"
    }

    private static func request(_ entry: ActionDefinition) -> Schema {
        let parameters = Views.parameters(entry)
        let isRequired = entry.parameters.contains(where: \.required)
        var schema = Schema.object(
            [
                "environment": Schema(TextForm.environment), "action": .constant(entry.action.rawValue),
                "target": .pattern("^(\(entry.targets.map(\.expression).joined(separator: "|")))$"),
                "params": parameters, "dry_run": .boolean, "reason": Schema(TextForm.text(4096)),
                "expires_at": .time, "approval_ticket": Schema(TextForm.text(256)),
                "apply_at": .words(ApplyTime.self), "approved_by": approver,
            ],
            optional: Set(
                ["dry_run", "reason", "expires_at", "approval_ticket", "apply_at", "approved_by"]
                    + (isRequired ? [] : ["params"])),
            isOpen: false
        ).described("\(entry.summary). Risk \(entry.risk.rawValue): \(entry.reason).")
        let target = entry.targets.first?.example ?? ""
        schema.json["examples"] = .array(
            (entry.examples.isEmpty ? [[:]] : Array(entry.examples.prefix(2))).map { params in
                [
                    "environment": "home", "action": .string(entry.action.rawValue), "target": .string(target),
                    "params": params.isEmpty ? nil : .object(params),
                ]
            })
        return schema
    }
}
