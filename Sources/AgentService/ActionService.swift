package import AgentAudit
package import AgentModel
package import AgentPolicy
package import FoundationEssentials
package import Logging
import StrictJSON
import Synchronization

/// What the service reaches the world through.
package struct Ports: Sendable {
    package var audit: any AuditSink
    package var store: any PlanStore
    package var log: Logger
    package var now: @Sendable () -> Date
    /// Time that passes whatever the clock on the wall says.
    package var uptime: @Sendable () -> ContinuousClock.Instant
    package var newID: @Sendable (RecordID.Kind) -> RecordID
    /// The freeze that a file stands for, at the time given; `nil` while there is none.
    package var frozenByFile: @Sendable (Date) -> Freeze?
    /// What is running out where the audit log or the state is written, as whoever asks for anything new is to hear it.
    package var shortage: @Sendable () -> ServiceError?
    /// Told how much has been written for a principal, in bytes and roughly.
    package var wrote: @Sendable (_ principal: String, _ bytes: Int) -> Void
    /// Told of each point of a change's way as it is passed. Does nothing but where a test stops the process there.
    package var reached: @Sendable (Milestone) -> Void

    package init(
        audit: any AuditSink, store: any PlanStore, log: Logger, now: @escaping @Sendable () -> Date = { Date() },
        uptime: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
        frozenByFile: @escaping @Sendable (Date) -> Freeze? = { _ in nil },
        shortage: @escaping @Sendable () -> ServiceError? = { nil },
        wrote: @escaping @Sendable (_ principal: String, _ bytes: Int) -> Void = { _, _ in },
        reached: @escaping @Sendable (Milestone) -> Void = { _ in },
        newID: @escaping @Sendable (RecordID.Kind) -> RecordID = { kind in
            var random = SystemRandomNumberGenerator()
            return RecordID(kind, using: &random)
        }
    ) {
        self.audit = audit
        self.store = store
        self.log = log
        self.now = now
        self.uptime = uptime
        self.frozenByFile = frozenByFile
        self.shortage = shortage
        self.wrote = wrote
        self.reached = reached
        self.newID = newID
    }
}

/// What the operator can change while the agent runs: who may do what, and what policy asks for.
package struct Rules: Sendable {
    package var directory: Directory
    package var policy: Policy

    package init(directory: Directory = .shared, policy: Policy = Policy()) {
        self.directory = directory
        self.policy = policy
    }
}

/// Who asks, what they may do, and under which request id.
package struct Context: Sendable {
    package let caller: Caller
    /// Who that was, and what they might do, when the request came in.
    package let principal: Principal
    package let requestID: String

    package init(caller: Caller, principal: Principal, requestID: String) {
        self.caller = caller
        self.principal = principal
        self.requestID = requestID
    }

    /// The agent itself, for what happens without anybody asking.
    static let agent = Context(
        caller: Caller(principal: "proxmox-agent", label: nil), principal: .nobody, requestID: "")
}

/// Plans, decides, applies, follows and records: the one way to a hypervisor.
package final class ActionService: Sendable {
    /// In the order of the configuration.
    package let managedEnvironments: [ManagedEnvironment]
    package let limits: Limits
    let ports: Ports
    let digest: PlanDigest
    /// One mutation per guest or object at a time.
    let targetLocks = TargetLocks()
    /// One change of state per plan at a time.
    let planLocks = TargetLocks()
    let hub = OperationHub()
    let reads: SharedReads
    let runs = Mutex(Runs())
    let watermark = AuditWatermark()
    let deadlines = Deadlines()
    let freezes = Freezes()
    let leaving = ChangesLeaving()
    /// Requests with an `Idempotency-Key` that have no answer yet.
    let keysInProgress = Mutex<Set<IdempotencyKey>>([])
    let keyUses = IdempotencyUsage()
    private let rules: Mutex<Rules>

    struct Runs {
        var tasks: [RecordID: Task<Void, Never>] = [:]
        var tickets: [RecordID: TargetLocks.Ticket] = [:]
        /// Who asked PVE to stop the task of an operation that runs.
        var stops: [RecordID: String] = [:]
        /// The stops that overrule shutdowns under way, by those shutdowns.
        var overruled: [RecordID: RecordID] = [:]
        /// Searches for what calls may have started whose outcome is unknown.
        var searches: [RecordID: Task<Void, Never>] = [:]
        var draining = false
        /// Outcomes that cannot be written at present.
        var stuck = 0
    }

    /// `key` is the installation's: hashes and sealed secrets are good under the same one only.
    package init(
        managedEnvironments: [ManagedEnvironment], ports: Ports, rules: Rules = Rules(), key: InstallationKey,
        limits: Limits = Limits()
    ) {
        self.managedEnvironments = managedEnvironments
        self.ports = ports
        self.limits = limits
        self.rules = Mutex(rules)
        digest = PlanDigest(key: key)
        reads = SharedReads(sharing: limits.shareReads)
    }

    /// Who may do what, as things stand now.
    var currentRules: Rules { rules.withLock { $0 } }

    /// Puts other rules in force, from the next question on: the configuration was read again.
    package func replace(_ new: Rules) { rules.withLock { $0 = new } }

    /// Writes a record, or says that the log cannot be written.
    @discardableResult
    func record(
        _ event: AuditEvent, _ durability: AuditDurability = .now
    ) async throws(ServiceError) -> AuditHead {
        do throws(AuditError) {
            let head = try await ports.audit.append(event, durability)
            ports.wrote(event.principal, event.size)
            return head
        } catch {
            ports.log.error(
                "audit log refused a record", metadata: ["error": "\(error)", "kind": "\(event.kind.rawValue)"])
            var failure = ServiceError(.auditUnavailable, "the audit log cannot be written: \(error)")
            failure.mayBeRecorded = error.mayBeWritten
            throw failure
        }
    }

    /// Looks into the store, or says that it does not work.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreReader) -> Value
    ) async throws(ServiceError) -> Value {
        do throws(StoreError) { return try await ports.store.read(body) } catch { throw Self.unavailable(error) }
    }

    /// Writes to the store, and with it how far the audit log is settled; or says that the store does not work.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StoreTransaction) -> Value
    ) async throws(ServiceError) -> Value {
        let mark = watermark.mark(ports.audit.head)
        do throws(StoreError) {
            return try await ports.store.write { records in
                records.put(mark)
                return body(records)
            }
        } catch {
            throw Self.unavailable(error)
        }
    }

    private static func unavailable(_ error: StoreError) -> ServiceError {
        ServiceError(.storeUnavailable, "the store of plans does not work: \(error.detail)")
    }

    /// Writes a record, and then the transition that it tells of: audited first, stored second.
    ///
    /// `body` answers `nil` when there is nothing to do any more, and then so does this; `recorded` is asked in between,
    /// and its no has the same effect. Where the transition does not
    /// come about, a `void` record says so; where not even that can be written, ``voidOrphans()`` does it later.
    func commit<Value: Sendable>(
        _ event: AuditEvent, recorded: () -> Bool = { true },
        _ body: @escaping @Sendable (any StoreTransaction) -> Value?
    ) async throws(ServiceError) -> Value? {
        let ticket = watermark.open(behind: ports.audit.head)
        let head: AuditHead
        do throws(ServiceError) { head = try await record(event) } catch {
            // A record that was not written leaves nothing open; of one that could not be synced nobody knows yet.
            if error.mayBeRecorded { watermark.abandon(ticket, event) } else { watermark.close(ticket) }
            throw error
        }
        let failure: ServiceError?
        do throws(ServiceError) {
            if recorded(), let value = try await write(body) {
                watermark.close(ticket)
                return value
            }
            failure = nil
        } catch {
            failure = error
        }
        var void = event
        void.kind = .void
        void.request = nil
        void.decision = nil
        void.result = ["status": "not_done", "kind": .string(event.kind.rawValue), "voids": JSON(Int(head.seq))]
        do throws(ServiceError) {
            try await record(void)
            watermark.close(ticket)
        } catch {
            watermark.abandon(ticket, event)
            ports.log.error("a record stands without its transition for now", metadata: ["seq": "\(head.seq)"])
        }
        if let failure { throw failure }
        return nil
    }

    /// Records that a request was turned away, unless that is recorded already; answers the error to throw. `state` is
    /// where the refusal leaves the plan. What a plan asks for and how it was judged stand in the record of the plan.
    ///
    /// When the log itself is what fails, or there is so little space that only what stops things may still be recorded,
    /// the answer is that: no refusal goes out that is not recorded.
    package func refuse(
        _ error: ServiceError, _ context: Context, request: ActionRequest? = nil, plan: Plan? = nil,
        state: PlanState? = nil
    ) async -> ServiceError {
        if state == nil {
            guard !error.isRecorded, error.code != .auditUnavailable else { return error }
            do throws(ServiceError) { try checkSpace() } catch { return error }
        }
        var result: JSONObject = ["status": "refused", "code": .string(error.code.rawValue)]
        result["state"] = state.map { .string($0.rawValue) }
        if !error.issues.isEmpty { result["pointers"] = JSON(error.issues.map(\.path.pointer)) }
        if !error.moved.isEmpty { result["moved"] = JSON(error.moved.map(\.field)) }
        let shown = request ?? plan?.request
        let event = event(
            .refuse, context, environment: shown?.environment, plan: plan?.id, operation: error.operationID,
            request: plan == nil ? shown?.json : nil, result: .object(result))
        var recorded = error
        do throws(ServiceError) { try await record(event) } catch { return error }
        recorded.isRecorded = true
        return recorded
    }

    func event(
        _ kind: AuditKind, _ context: Context, environment: EnvironmentName? = nil, plan: RecordID? = nil,
        operation: RecordID? = nil, request: JSON? = nil, decision: JSON? = nil, result: JSON? = nil
    ) -> AuditEvent {
        AuditEvent(
            kind: kind, actor: context.caller.actor, principal: context.caller.principal, label: context.caller.label,
            requestID: context.requestID, environment: environment?.description, planID: plan?.description,
            operationID: operation?.description, request: request, decision: decision, result: result)
    }

    /// What keeps the agent from its work: each with the code that requests would get.
    package func missing(isAuthConfigured: Bool) async -> [ServiceError] {
        var missing: [ServiceError] = []
        if !isAuthConfigured {
            let detail = "no token is configured: run proxmox-agent init, or list principals"
            missing.append(ServiceError(.authNotConfigured, detail))
        }
        do throws(ServiceError) { try checkOpen() } catch { missing.append(error) }
        do throws(ServiceError) { try await read { _ in } } catch { missing.append(error) }
        do throws(ServiceError) { try checkSpace() } catch { missing.append(error) }
        return missing
    }

    /// Whether there is room for more than what ends or stops something. A refusal for the lack of it is not recorded.
    func checkSpace() throws(ServiceError) {
        guard var shortage = ports.shortage() else { return }
        shortage.isRecorded = true
        throw shortage
    }

    /// Whether mutations can start: the audit log takes records and the service is not stopping.
    package func checkOpen() throws(ServiceError) {
        if runs.withLock({ $0.draining }) {
            throw ServiceError(.shuttingDown, "the agent is stopping; ask again when it is back")
        }
        if let fault = ports.audit.fault {
            throw ServiceError(.auditUnavailable, "the audit log cannot be written: \(fault)")
        }
        if runs.withLock({ $0.stuck }) > 0 {
            throw ServiceError(.storeUnavailable, "the outcome of an operation cannot be written; nothing new starts")
        }
    }
}

extension AuditEvent {
    /// About how many bytes its record has.
    fileprivate var size: Int { [request, decision, result].reduce(512) { $0 + ($1?.size ?? 0) } }
}

extension JSON {
    /// About how many bytes it has when it is written out.
    var size: Int {
        switch self {
        case .string(let text): text.utf8.count + 2
        case .array(let elements): elements.reduce(2) { $0 + $1.size + 1 }
        case .object(let object): object.members.reduce(2) { $0 + $1.key.utf8.count + $1.value.size + 4 }
        case .null, .bool, .integer, .number: 8
        }
    }
}
