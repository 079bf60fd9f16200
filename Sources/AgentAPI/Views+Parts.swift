package import AgentModel
import FoundationEssentials
import Signatures
import StrictJSON

/// The parts of plans and operations.
extension Views {
    /// With defaults filled in and secrets redacted.
    package static let request = View<ActionRequest>(
        "Request", "A request as it was understood, with secrets hidden.",
        [
            .always("environment", Schema(TextForm.environment)) { .string($0.environment.description) },
            .always("action", .text) { .string($0.action.rawValue) },
            .always("target", .text) { .string($0.target.description) },
            .always("params", .object) { .object($0.params) },
            .always("dry_run", .boolean) { .bool($0.dryRun) },
            .maybe("reason", .text) { $0.reason.map { .string($0) } },
            .maybe("expires_at", .time) { $0.expiresAt.map { .string($0.rfc3339) } },
            .maybe("approval_ticket", .text) { $0.approvalTicket.map { .string($0) } },
            .maybe("apply_at", .words(ApplyTime.self), "when the agent applies it by itself") {
                $0.applyAt.map { .string($0.rawValue) }
            },
            .maybe("approved_by", .text) { $0.approvedBy.map { .string($0) } },
        ])

    /// A request that is ready for planning.
    package static let followUp = View<FollowUp>(
        "FollowUp", "A request that is ready for planning.",
        [
            .always("environment", Schema(TextForm.environment)) { .string($0.environment.description) },
            .always("action", .text) { .string($0.action) },
            .always("target", .text) { .string($0.target) },
            .always("params", .object) { .object($0.params) },
        ])

    package static let decision = View<Decision>(
        "Decision", "What policy says of a request.",
        [
            .always("allowed", .boolean) { .bool($0.allowed) },
            .always("risk_level", .words(Risk.self)) { .string($0.risk.rawValue) },
            .always("requires_approval", .boolean) { .bool($0.requiresApproval) },
            .always("reason", .text) { .string($0.reason) },
            .always("rules", .list(.text), "every rule that took part") { JSON($0.rules) },
            .maybe("assurance", .words(["signed", "hardware"]), "how rules ask approvals to be signed") {
                $0.assurance.map { .string($0.rawValue) }
            },
            .maybe("window", closedWindow.schema, "the change windows that are closed now") {
                $0.window.map { closedWindow($0) }
            },
            .always("subjects", .list(judged.schema), "what was judged") { .array($0.subjects.map { judged($0) }) },
        ])

    package static let preview = View<Preview>(
        "Preview", "What an action would do, by what PVE shows now.",
        [
            .always("subjects", .list(subject.schema), "everything that it would touch") {
                .array($0.reach.subjects.map { subject($0) })
            },
            .always("calls", .list(call.schema), "the calls that it would send, in order") {
                .array($0.calls.map { call($0) })
            },
            .always("observed", .object, "the state that it is based on") { .object($0.observed.shown) },
            .always("changes", .list(change.schema)) { .array($0.changes.map { change($0) }) },
            .always("noop", .boolean, "it would change nothing") { .bool($0.noop) },
            .always("irreversible", .boolean, "it cannot be taken back") { .bool($0.irreversible) },
            .always("undo", followUp.schema.orNull, "the request that takes it back") {
                $0.undo.map { followUp($0) } ?? .null
            },
            .always("undo_leaves", .list(gap.schema), "what the undo does not restore") {
                .array($0.undoLeaves.map { gap($0) })
            },
            .always("checks", .list(check.schema)) { .array($0.checks.map { check($0) }) },
        ])

    static let change = View<Change>(
        "Change", "A setting that would change.",
        [
            .always("key", .text) { .string($0.key) },
            .always("from", .any) { $0.from },
            .always("to", .any) { $0.to },
        ])

    static let check = View<Check>(
        "Check", "What was looked at before the change. A `block` forbids it.",
        [
            .always("id", .text) { .string($0.id) },
            .always("level", .words(Check.Level.self)) { .string($0.level.rawValue) },
            .always("detail", .text) { .string($0.detail) },
        ])

    static let requirement = View<Requirement>(
        "Requirement", "The approvals that a plan needs.",
        [
            .always("approvals", .integer()) { JSON($0.approvals) },
            .always("assurance", .words(Assurance.self)) { .string($0.assurance.rawValue) },
            .maybe("clauses", .list(clause.schema), "who must be among the approvers, rule by rule") {
                $0.clauses.isEmpty ? nil : .array($0.clauses.map { clause($0) })
            },
        ])

    static let closedWindow = View<ClosedWindow>(
        "ClosedWindow", "Change windows of policy rules that are closed.",
        [
            .always("rules", .list(.text)) { JSON($0.rules) },
            .always("opens_at", Schema.time.orNull, "when all are open; null if not within 400 days") {
                $0.opensAt.map { .string($0.rfc3339) } ?? .null
            },
        ])

    static let clause = View<ApprovalClause>(
        "ApprovalClause", "A rule's condition on who approves.",
        [
            .always("rule", .text) { .string($0.rule) },
            .always("approvals", .integer(), "how many of these") { JSON($0.approvals) },
            .always("phrase", .text, "the condition in words") { .string($0.phrase) },
            .maybe("principals", .list(.text)) { $0.principals.isEmpty ? nil : JSON($0.principals.sorted()) },
            .maybe("roles", .list(.words(Role.self))) {
                $0.roles.isEmpty ? nil : JSON($0.roles.map(\.rawValue).sorted())
            },
            .maybe("groups", .list(.text)) { $0.groups.isEmpty ? nil : JSON($0.groups.sorted()) },
            .always("other_group", .boolean, "the approver shares no group with the requester") {
                .bool($0.isFromOtherGroup)
            },
        ])

    static let approval = View<Approval>(
        "Approval", "An approval or a rejection.",
        [
            .always("approver", .text) { .string($0.approver) },
            .always("assurance", .words(Assurance.self)) { .string($0.assurance.rawValue) },
            .always("at", .time) { .string($0.at.rfc3339) },
            .maybe("reason", .text) { $0.reason.map { .string($0) } },
            .maybe("ticket", .text) { $0.ticket.map { .string($0) } },
            .maybe("signed", signed.schema) { $0.signed.map { signed($0) } },
        ])

    static let signed = View<SignedApproval>(
        "SignedApproval", "What makes an approval one that anybody can check.",
        [
            .always("text", .text, "what was signed") { .string($0.text.text) },
            .always("key", .text, "the public key, as in `approval_keys`") { .string("\($0.key)") },
            .always("signature", Envelopes.signature.schema) { $0.signature.form },
        ])

    static let subject = View<Subject>(
        "Subject", "Something that an action would touch.",
        [
            .always("role", .words(Subject.Role.self)) { .string($0.role.rawValue) },
            .always("name", .text) { .string($0.name) },
            .maybe("also", .list(.text), "other names of it") { $0.aliases.isEmpty ? nil : JSON($0.aliases) },
            .maybe("tags", .list(.text)) { $0.tags.isEmpty ? nil : JSON($0.tags.sorted()) },
        ])

    static let judged = View<JudgedSubject>(
        "JudgedSubject", "A subject, and the configured rules that matched it.",
        [
            .always("role", .words(Subject.Role.self)) { .string($0.role.rawValue) },
            .always("name", .text) { .string($0.name) },
            .maybe("rules", .list(.text)) { $0.rules.isEmpty ? nil : JSON($0.rules) },
        ])

    static let call = View<Call>(
        "Call", "A call to PVE. Secrets are shown as `<redacted>`.",
        [
            .always("method", .words(CallMethod.self)) { .string($0.method.rawValue) },
            .always("path", .text) { .string($0.shownPath) },
            .always("params", .object) { .object($0.shownParameters) },
        ])

    // MARK: How it went

    static func steps(_ operation: Operation) -> JSON {
        .array(operation.calls.indices.map { step((operation, $0)) })
    }

    /// A call of the operation, by its number.
    static let step = View<(operation: Operation, number: Int)>(
        "Step", "A call of the plan, with what became of it.",
        [
            .always("call", .object(["method": .words(CallMethod.self), "path": .text])) {
                let call = $0.operation.calls[$0.number]
                return ["method": .string(call.method.rawValue), "path": .string(call.path)]
            },
            .always("state", .words(StepState.self)) { .string($0.operation.state(ofCall: $0.number).rawValue) },
            .maybe("upid", .text) {
                let steps = $0.operation.steps
                return $0.number < steps.count ? steps[$0.number].upid.map { .string($0.description) } : nil
            },
        ])

    /// Of an operation that was carried out in part.
    static let cause = View<Operation>(
        "Cause", "Why an operation stopped after a part of it was carried out.",
        [
            .maybe("code", .text) { $0.partial?.code.map { .string($0) } },
            .always("detail", .text) { .string($0.partial?.detail ?? "") },
            .maybe("moved", .list(drift.schema)) { moved($0.moved) },
            .maybe("upstream", upstream.schema) { $0.upstream.map { upstream($0) } },
        ])

    static let progress = View<Progress>(
        "Progress", "How far PVE's task is, by its log.",
        [
            .maybe("percent", .integer(0...100), "left out if the log does not say how much there is to do") {
                $0.percent.map { JSON($0) }
            },
            .always("text", .text, "PVE's own words") { .string($0.text) },
        ])

    static let drift = View<StateDrift>(
        "StateDrift", "A field that differs from the plan.",
        [
            .always("field", .text) { .string($0.field) },
            .always("planned", .any) { $0.planned },
            .always("found", .any) { $0.found },
        ])

    /// Fields that differ from the plan; `nil` if there are none.
    static func moved(_ moved: [StateDrift]) -> JSON? { moved.isEmpty ? nil : .array(moved.map { drift($0) }) }

    /// What an undo does not restore; `nil` if it restores everything.
    static func leaves(_ gaps: [UndoGap]?) -> JSON? {
        guard let gaps, !gaps.isEmpty else { return nil }
        return .array(gaps.map { gap($0) })
    }

    static let gap = View<UndoGap>(
        "UndoGap", "Something that an undo does not restore.",
        [.always("key", .text) { .string($0.key) }, .always("detail", .text) { .string($0.detail) }])

    static let upstream = View<PVERejection>(
        "Upstream", "PVE's own refusal.",
        [
            .always("status", .integer()) { JSON($0.status) },
            .always("reason", .text) { .string($0.reason) },
            .maybe("errors", Schema(["type": "object", "additionalProperties": ["type": "string"]]), "by parameter") {
                let errors = $0.errors.sorted { $0.key < $1.key }
                return errors.isEmpty
                    ? nil : .object(errors.reduce(into: JSONObject()) { $0[$1.key] = .string($1.value) })
            },
        ])
}
