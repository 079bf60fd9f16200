import AgentAudit
package import AgentModel
import Logging
import StrictJSON
import Synchronization

/// Keeps the audit log and the store in step: every decision is recorded first and stored second.
///
/// Owns the watermark, which knows the records whose transitions are not stored yet.
final class AuditedStore: Sendable {
    let ports: Ports
    let watermark = AuditWatermark()
    /// Why this agent, of several on one state, must not decide anything.
    let unfitness: Mutex<ServiceError?>

    static let unknown = ServiceError(.storeUnavailable, "the other agents on this state were not looked at yet")

    init(_ ports: Ports) {
        self.ports = ports
        unfitness = Mutex(ports.leases == nil ? nil : Self.unknown)
    }

    /// Writes a record; throws if the log cannot be written.
    @discardableResult
    func record(_ event: AuditEvent, _ durability: AuditDurability = .now) async throws(ServiceError) -> AuditHead {
        let head: AuditHead
        do throws(AuditError) { head = try await append(event, durability) } catch { throw Self.unavailable(error) }
        if durability == .now { watermark.settled() }
        return head
    }

    private func append(_ event: AuditEvent, _ durability: AuditDurability) async throws(AuditError) -> AuditHead {
        do throws(AuditError) {
            let head = try await ports.audit.append(event, durability)
            ports.wrote(event.principal, event.size)
            ports.observed(.recorded(event.kind))
            return head
        } catch {
            ports.observed(.unrecorded)
            ports.log.error(
                "audit log refused a record",
                metadata: event.logged(["error": "\(error)", "kind": "\(event.kind.rawValue)"]))
            throw error
        }
    }

    private static func unavailable(_ error: AuditError) -> ServiceError {
        ServiceError(.auditUnavailable, "the audit log cannot be written: \(error)")
    }

    /// Reads from the store; throws if the store does not work.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreReader) -> Value
    ) async throws(ServiceError) -> Value {
        do throws(StoreError) { return try await ports.store.read(body) } catch { throw Self.unavailable(error) }
    }

    /// Writes to the store, together with how far the audit log is settled; throws if the store does not work.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(ServiceError) -> Value {
        do throws(StoreError) { return try await store(body) } catch { throw Self.unavailable(error) }
    }

    private func store<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(StoreError) -> Value {
        let mark = watermark.mark(ports.audit.end)
        return try await ports.store.write { records in
            records.put(mark)
            return body(records)
        }
    }

    private static func unavailable(_ error: StoreError) -> ServiceError {
        ServiceError(.storeUnavailable, "the state store does not work: \(error.detail)")
    }

    /// Writes a record, and then stores its transition: audited first, stored second.
    ///
    /// Returns `nil` if `body` does, which means there is nothing to do any more, or if `recorded` returns false.
    /// `recorded` is called between the two. If the transition is not stored, a `void` record says so; if that cannot
    /// be written either, ``voidOrphans()`` writes it later. If nobody knows whether it is stored, the next start looks.
    func commit<Value: Sendable>(
        _ event: AuditEvent, recorded: () -> Bool = { true },
        _ body: @escaping @Sendable (any StoreTransaction) -> Value?
    ) async throws(ServiceError) -> Value? {
        let ticket = watermark.open(behind: ports.audit.head)
        let head: AuditHead
        do throws(AuditError) { head = try await append(event, .now) } catch {
            // A failed write leaves nothing open. After a failed sync the record may or may not be there.
            if error.mayBeWritten { watermark.abandon(ticket, event) } else { watermark.close(ticket) }
            throw Self.unavailable(error)
        }
        let failure: ServiceError?
        do throws(StoreError) {
            if recorded(), let value = try await store(body) {
                watermark.close(ticket)
                return value
            }
            failure = nil
        } catch {
            failure = Self.unavailable(error)
            // The record stays open, so that the next start looks whether its transition is stored.
            if error.mayBeStored { throw Self.unavailable(error) }
        }
        await close(ticket, void: event, head)
        if let failure { throw failure }
        return nil
    }

    /// Closes the record at `head`, whose transition is not stored and will not be.
    func close(_ ticket: UInt64, void event: AuditEvent, _ head: AuditHead) async {
        if await void(event, head) { watermark.close(ticket) } else { watermark.abandon(ticket, event) }
    }

    /// Records that the record at `head` has no transition. False if it cannot be recorded now.
    func void(_ event: AuditEvent, _ head: AuditHead) async -> Bool {
        do throws(ServiceError) {
            try await record(AuditEvent(voiding: event, head.seq, atOnce: true))
            return true
        } catch {
            ports.log.error(
                "an audit record has no transition in the store yet", metadata: event.logged(["seq": "\(head.seq)"]))
            return false
        }
    }

    // MARK: Refusals

    /// Runs `body`, and records its refusal, if it throws one, before the caller sees it. The record has what `body`
    /// learned about its subject.
    ///
    /// If the log itself fails, the error says that: no refusal goes out without a record. If space is so short that
    /// only records that end or stop something are written, the error is the shortage.
    func recordingRefusals<Value: Sendable>(
        of context: Context, about request: ActionRequest? = nil,
        _ body: (inout RefusedSubject) async throws(ServiceError) -> Value
    ) async throws(ServiceError) -> Value {
        var subject = RefusedSubject(request: request)
        do throws(ServiceError) { return try await body(&subject) } catch {
            ports.observed(.refused(error.code))
            guard error.code != .auditUnavailable else { throw error }
            try checkSpace()
            try await record(refusal: error, context, subject)
            throw error
        }
    }

    /// The same, for a body that learns nothing more about its subject.
    func recordingRefusals<Value: Sendable>(
        of context: Context, about request: ActionRequest? = nil, _ body: () async throws(ServiceError) -> Value
    ) async throws(ServiceError) -> Value {
        try await recordingRefusals(of: context, about: request) {
            (_: inout RefusedSubject) async throws(ServiceError) in try await body()
        }
    }

    /// Records that something was refused. `state` is the plan's state after that. The plan's own record has its
    /// request and its decision.
    @discardableResult
    func record(
        refusal error: ServiceError, _ context: Context, _ subject: RefusedSubject, leaving state: PlanState? = nil
    ) async throws(ServiceError) -> (event: AuditEvent, head: AuditHead) {
        let (shown, plan) = (subject.request ?? subject.plan?.request, subject.plan)
        let event = AuditEvent(
            .refuse, context, environment: shown?.environment ?? subject.environment, plan: plan?.id,
            operation: error.operationID ?? subject.operationID,
            request: plan == nil ? shown?.auditForm : nil,
            result: error.auditForm(leaving: state, emergency: subject.emergency))
        return (event, try await record(event))
    }

    // MARK: Records that are written apart from their transitions

    /// Notes a coming record whose transition is stored elsewhere. Pass the result to ``close(_:)``.
    func open() -> UInt64 { watermark.open(behind: ports.audit.head) }

    /// Notes that the transition of that record is stored.
    func close(_ ticket: UInt64) { watermark.close(ticket) }

    /// Notes that the record may be written, and has no transition. ``voidOrphans()`` looks.
    func abandon(_ ticket: UInt64, _ event: AuditEvent) { watermark.abandon(ticket, event) }

    /// Stores where the audit log ends.
    func noteHead() async throws(ServiceError) { try await write { _ in } }

    func records(behind seq: UInt64) async throws(ServiceError) -> [AuditRecord] {
        do throws(AuditError) { return try await ports.audit.records(after: seq, limit: .max) } catch {
            throw ServiceError(.auditUnavailable, "the audit log cannot be read: \(error)")
        }
    }

    /// Whether this agent delivers notifications, of several on one state.
    private let delivering: Mutex<@Sendable () -> Bool> = Mutex({ true })
    func delivers() -> Bool { delivering.withLock { $0 }() }
    func deliver(where isRight: @escaping @Sendable () -> Bool) { delivering.withLock { $0 = isRight } }

    /// Whether clock and configuration are those of the other agents on the state, as far as that is known.
    var isFit: Bool { unfitness.withLock { $0 == nil } }

    /// Throws if they are not.
    func checkFitness() throws(ServiceError) { if let unfitness = unfitness.withLock({ $0 }) { throw unfitness } }

    /// Throws if there is only room for what ends or stops something, or if nothing else may be decided here.
    func checkSpace() throws(ServiceError) {
        try checkFitness()
        if let shortage = ports.shortage() { throw shortage }
    }
}

/// What a refused request was about, as far as that is known by then.
struct RefusedSubject: Sendable {
    var request: ActionRequest?
    var plan: Plan?
    var environment: EnvironmentName?
    var operationID: RecordID?
    /// The reason for which the request should have passed what stood in its way.
    var emergency: String?
}

extension AuditEvent {
    /// An event that the context's caller asked for.
    init(
        _ kind: AuditKind, _ context: Context, environment: EnvironmentName? = nil, plan: RecordID? = nil,
        operation: RecordID? = nil, request: JSON? = nil, decision: JSON? = nil, result: JSON? = nil
    ) {
        self.init(
            kind: kind, actor: context.caller.actor, principal: context.caller.principal, label: context.caller.label,
            requestID: context.requestID, trace: context.trace, environment: environment?.description,
            planID: plan?.description, operationID: operation?.description, request: request, decision: decision,
            result: result)
    }
}

extension AuditEvent {
    /// What a log line about this event says, with the ids of its request.
    fileprivate func logged(_ metadata: Logger.Metadata) -> Logger.Metadata {
        var metadata = metadata
        metadata["request_id"] = requestID.map { "\($0)" }
        metadata["trace_id"] = trace.map { "\($0.traceID)" }
        return metadata
    }

    /// The approximate size of its record in bytes.
    fileprivate var size: Int { [request, decision, result].reduce(512) { $0 + ($1?.size ?? 0) } }
}

extension JSON {
    /// Its approximate size in bytes when written out.
    var size: Int {
        switch self {
        case .string(let text): text.utf8.count + 2
        case .array(let elements): elements.reduce(2) { $0 + $1.size + 1 }
        case .object(let object): object.members.reduce(2) { $0 + $1.key.utf8.count + $1.value.size + 4 }
        case .null, .bool, .integer, .number: 8
        }
    }
}

extension Plan {
    /// The approximate size in the store in bytes.
    package var size: Int {
        let preview = preview
        let calls = preview.calls.reduce(0) { $0 + $1.shownPath.utf8.count + JSON.object($1.shownParameters).size + 64 }
        let changes = preview.changes.reduce(0) { $0 + $1.key.utf8.count + $1.from.size + $1.to.size + 32 }
        let checks = preview.checks.reduce(0) { $0 + $1.id.utf8.count + $1.detail.utf8.count + 32 }
        let subjects = preview.reach.subjects.reduce(0) { $0 + $1.name.utf8.count + 64 }
        let texts = [
            JSON.object(request.params), .object(preview.observed.shown), .object(preview.undo?.params ?? [:]),
        ]
        return texts.reduce(512 + (request.reason?.utf8.count ?? 0)) { $0 + $1.size } + calls + changes + checks
            + subjects
    }
}
