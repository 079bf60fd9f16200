package import AgentModel
import StrictJSON

/// The façade of the service: the only surface for the API. Each part behind it owns the state that it changes.
package final class ControlPlane: Sendable {
    package let access: AccessControl
    package let workflow: PlanWorkflow
    package let approvals: ApprovalGate
    package let applies: ApplyService
    package let operations: OperationService
    package let freezes: FreezeService
    package let reloads: ReloadService
    package let reviews: ReviewService
    package let reads: ReadService
    package let events: EventFeed
    package let notices: NoticeService
    package let idempotency: IdempotencyService
    package let passkeys: PasskeyCounters
    package let signIns: SignInStore
    package let checkpoints: CheckpointService
    package let leases: LeaseService
    /// What this installation is called.
    package let installation: Installation
    let audited: AuditedStore
    private let registry: OperationRegistry
    private let recovery: Recovery

    /// `key` is the installation's. Hashes and sealed secrets are valid only under the same key.
    package init(
        managedEnvironments: [ManagedEnvironment], ports: Ports, rules: Rules = Rules(), key: InstallationKey,
        limits: Limits = Limits(), noticeLimits: NoticeLimits = NoticeLimits()
    ) {
        let digest = PlanDigest(key: key)
        access = AccessControl(managedEnvironments, rules)
        audited = AuditedStore(ports)
        installation = ports.installation
        checkpoints = CheckpointService(audited)
        let log = LogFeed(audited)
        let history = ports.leases == nil ? nil : SharedHistory(audited, log, limits)
        events = EventFeed(log, history, access)
        notices = NoticeService(audited, access, log, noticeLimits)
        registry = OperationRegistry(ports, limits)
        let keeper = LeaseKeeper(isShared: ports.leases != nil, uptime: ports.uptime)
        freezes = FreezeService(audited, access, keeper)
        reloads = ReloadService(audited)
        reviews = ReviewService(audited, access)
        idempotency = IdempotencyService(audited, access, limits, digest)
        workflow = PlanWorkflow(audited, access, idempotency, limits, digest)
        reads = ReadService(audited, access, workflow, events, limits)
        passkeys = PasskeyCounters(audited)
        signIns = SignInStore(audited)
        approvals = ApprovalGate(audited, access, workflow, passkeys)
        let outcomes = OutcomeRecorder(audited, access, freezes, workflow, registry, keeper)
        operations = OperationService(audited, access, workflow, registry, outcomes)
        let follower = TaskFollower(audited, access, registry, events, limits)
        let lost = LostCallFinder(workflow, outcomes, follower, registry, keeper)
        let runner = OperationRunner(workflow, approvals, freezes, registry, outcomes, follower, lost, keeper)
        applies = ApplyService(workflow, approvals, freezes, reads, runner, operations, digest)
        recovery = Recovery(workflow, runner)
        leases = LeaseService(runner, operations, recovery, events)
    }

    /// Runs `body`, and records its refusal if it throws one.
    package func recordingRefusals<Value: Sendable>(
        of context: Context, _ body: () async throws(ServiceError) -> Value
    ) async throws(ServiceError) -> Value {
        try await audited.recordingRefusals(of: context, body)
    }

    /// The environment of that name, if the caller has the right there. An unknown name is recorded as a refusal.
    package func environment(
        named text: String, _ right: Right, _ context: Context
    ) async throws(ServiceError) -> EnvironmentName {
        do throws(ServiceError) {
            return try access.managedEnvironment(named: text, right, context).settings.name
        } catch {
            guard error.code == .unknownEnvironment else { throw error }
            return try await recordingRefusals(of: context) { () throws(ServiceError) in throw error }
        }
    }

    /// The largest page of a list, in bytes.
    package static let pageBytes = 1 << 20

    /// Settles what an earlier process left behind. Run it once, before any request is served.
    ///
    /// - Throws: if the log or the store does not work. Serve no requests then.
    package func recover() async throws(ServiceError) { try await recovery.run() }

    /// Stores where the audit log ends: the last write before exit, and the first after ``recover()``.
    package func noteHead() async throws(ServiceError) { try await audited.noteHead() }

    /// Voids the records whose transitions were not stored and that could not be voided at the time.
    package func voidOrphans() async throws(ServiceError) { try await audited.voidOrphans() }

    /// Takes no more mutations and waits for those under way. After `limit` the rest stay as they are stored, for the
    /// next start to resume.
    package func drain(within limit: Duration) async { await registry.drain(within: limit) }

    /// What keeps the agent from working, each with the code that requests would get.
    package func missing(isAuthConfigured: Bool) async -> [ServiceError] {
        var missing: [ServiceError] = []
        if !isAuthConfigured {
            let detail = "no token is configured: run proxmox-agent init, or list principals"
            missing.append(ServiceError(.authNotConfigured, detail))
        }
        do throws(ServiceError) { try checkOpen() } catch { missing.append(error) }
        do throws(ServiceError) { try await audited.read { _ in } } catch { missing.append(error) }
        do throws(ServiceError) { try audited.checkSpace() } catch { missing.append(error) }
        return missing
    }

    /// Throws unless mutations can start: the audit log takes records and the service is not stopping.
    package func checkOpen() throws(ServiceError) { try registry.checkOpen() }
}
