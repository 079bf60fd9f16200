import AgentModel
import AgentService
import AgentTestSupport
import Logging
import StrictJSON
import Testing

/// The service beside a planning engine that knows nothing of PVE: what it does with what the port says.
struct PlanningPortTests {
    private static let call = Call(.post, ["somewhere"], tasks: ["stir"])

    private let planning = FakePlanningEngine()

    init() {
        planning.preview = Preview(
            calls: [Self.call], observed: Observed(shown: ["soup": "cold"], compared: ["soup"]),
            changes: [Change("soup", from: "cold", to: "stirred")])
    }

    private func service(_ pve: FakeHypervisor) throws -> ControlPlane {
        let settings = EnvironmentSettings(
            name: try #require(EnvironmentName("home")), baseURL: "https://pve.lan:8006", tokenID: "agent@pve!home",
            trust: "system")
        return ControlPlane(
            managedEnvironments: [ManagedEnvironment(settings: settings, hypervisor: pve, planning: planning)],
            ports: Ports(
                audit: FlakyAuditSink(), store: FlakyPlanStore(),
                log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }), key: .sample)
    }

    private func plan(_ service: ControlPlane) async throws -> Plan {
        try await service.workflow.plan(.request(.startVM, "vm/101"), TestService.alice)
    }

    /// Applies the plan at `service`; answers how the operation ended, or why it was refused.
    private func apply(_ plan: Plan, _ service: ControlPlane) async -> Result<AgentModel.Operation, ServiceError> {
        do throws(ServiceError) {
            let request = ApplyRequest(planID: plan.id)
            let outcome = try await service.applies.apply(request, TestService.alice, wait: .seconds(30))
            guard case .operation(let operation) = outcome.kind else {
                return .failure(ServiceError(.internalError, "the plan changes nothing"))
            }
            return .success(operation)
        } catch {
            return .failure(error)
        }
    }

    private func refusal(_ plan: Plan, _ service: ControlPlane) async -> ServiceError? {
        if case .failure(let error) = await apply(plan, service) { error } else { nil }
    }

    @Test func `the calls of the preview are sent, and nothing else is`() async throws {
        let pve = FakeHypervisor()
        let service = try service(pve)
        let plan = try await plan(service)
        #expect(plan.preview.changes.map(\.key) == ["soup"])
        #expect(try await apply(plan, service).get().state == .succeeded)
        #expect(pve.changes.map(\.path) == [Self.call.path])
        #expect(planning.asked == ["preview", "look again", "candidate tasks"])
    }

    @Test func `a block of the preview denies the plan`() async throws {
        planning.preview.checks = [Check("salt", .block, "there is no salt")]
        let plan = try await plan(try service(FakeHypervisor()))
        #expect(plan.state == .denied)
        #expect(plan.decision.rules.contains("check:salt"))
    }

    @Test func `what moved between plan and apply stops the change`() async throws {
        let pve = FakeHypervisor()
        let service = try service(pve)
        let plan = try await plan(service)
        planning.preview.observed.shown["soup"] = "gone"
        let error = await refusal(plan, service)
        #expect(error?.code == .planStale)
        #expect(error?.moved == [StateDrift(field: "soup", planned: "cold", found: "gone")])
        #expect(pve.changes.isEmpty)
    }

    @Test func `an engine that cannot look stops the change`() async throws {
        let pve = FakeHypervisor()
        let service = try service(pve)
        let plan = try await plan(service)
        planning.failure = .timeout(sent: false)
        #expect(await refusal(plan, service)?.code == .upstreamTimeout)
        #expect(pve.changes.isEmpty)
    }

    @Test func `a failed call ends with what the engine found of it`() async throws {
        let service = try service(
            FakeHypervisor { _ throws(HypervisorError) in
                throw .refused(PVERejection(status: 500, reason: "no spoon", errors: [:]))
            })
        planning.aftermath = .left(
            [StateDrift(field: "soup", planned: "cold", found: "warm")], isAll: false, undo: nil)
        let ended = try await apply(try await plan(service), service).get()
        #expect(ended.state == .failed)
        #expect(ended.partial?.left.map(\.field) == ["soup"])
    }
}
