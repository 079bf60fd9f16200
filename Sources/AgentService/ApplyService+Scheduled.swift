import AgentModel
import AgentPolicy
import FoundationEssentials
import Logging
import Synchronization

/// Plans that wait for a change window.
extension ApplyService {
    /// How long the agent waits, after it was refused, before it tries a plan again, in seconds.
    private static let pause = 300.0

    /// Applies the approved plans whose requesters asked for that, once their change windows are open. Everything is
    /// judged again, under the requester's name and present rights. Regular work calls this.
    package func applyScheduled() async {
        guard (try? registry.checkOpen()) != nil else { return }
        let now = ports.now()
        let plans = (try? await audited.read { $0.plans(PlanFilter(state: .approved, isLive: true)) }) ?? []
        let waiting = plans.filter { $0.request.applyAt == .window && $0.operationID == nil && !workflow.isPast($0) }
        tried.withLock { tried in tried = tried.filter { entry in waiting.contains { $0.id == entry.key } } }
        for plan in waiting
        where tried.withLock({ $0[plan.id] }).map({ $0.addingTimeInterval(Self.pause) <= now }) ?? true {
            guard runner.leases.leads(plan.request.environment) != nil,
                let settings = try? access.managedEnvironment(plan.request.environment).settings,
                access.currentRules.decide(plan, in: settings, at: now).window == nil,
                (try? freezes.checkNotFrozen(plan.request.environment)) != nil
            else { continue }
            tried.withLock { $0[plan.id] = now }
            await applyScheduled(plan)
        }
    }

    private func applyScheduled(_ plan: Plan) async {
        let principal = access.currentRules.directory.principal(of: plan.requester) ?? .nobody
        let context = Context(caller: plan.requester, principal: principal, requestID: "")
        do throws(ServiceError) {
            _ = try await audited.recordingRefusals(of: context) {
                (subject: inout RefusedSubject) async throws(ServiceError) -> Beginning in
                subject.plan = plan
                try access.check(.change, in: plan.request.environment, context)
                return try await judgeAndClaim(plan, ApplyRequest(planID: plan.id), nil, context)
            }
        } catch {
            ports.log.warning(
                "a plan that waited for its change window was not applied",
                metadata: ["plan_id": "\(plan.id)", "code": "\(error.code.rawValue)", "detail": "\(error.detail)"])
        }
    }
}

extension Decision {
    /// Throws while a change window is closed that `glass` does not pass.
    func checkWindow(of plan: RecordID, passing glass: BreakGlass? = nil, at now: Date) throws(ServiceError) {
        guard let window, !Set(window.rules).isSubset(of: glass?.windows ?? []) else { return }
        let next = window.opensAt.map { "opens at \($0.rfc3339)" } ?? "does not open within 400 days"
        var error = ServiceError(
            .windowClosed,
            "\(window.phrase) is closed and \(next); nothing was done. Apply the plan then, or plan with apply_at: "
                + "\"window\", and the agent applies it when it opens.", planID: plan)
        error.retryAfter = window.opensAt.map { $0.seconds(after: now) }
        throw error
    }
}

extension ClosedWindow {
    /// `the change window of rule nights`
    var phrase: String {
        "the change window of rule\(rules.count == 1 ? "" : "s") \(rules.joined(separator: ", "))"
    }
}

extension Date {
    /// The seconds from `now` until then, 1 at least.
    func seconds(after now: Date) -> Int { Int(min(1e15, max(1, timeIntervalSince(now).rounded(.up)))) }
}
