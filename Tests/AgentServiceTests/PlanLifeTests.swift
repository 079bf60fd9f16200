import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

/// How plans live, end and are forgotten.
@Suite(.timeLimit(.minutes(1)))
struct PlanLifeTests {
    @Test func `a plan can be applied until its time, and not after`() async throws {
        let world = try TestService()
        let early = try await world.plan(.startVM, "vm/102")
        let late = try await world.plan(.startVM, "vm/102")
        #expect(early.expiresAt == early.createdAt.addingTimeInterval(3600))
        world.clock.move(by: 3599)
        try await world.apply(early)
        world.clock.move(by: 1)
        let error = await world.refusal { () async throws(ServiceError) in try await world.apply(late) }
        #expect(error?.code == .planExpired)
        #expect(try await world.state(of: late) == .expired)
        #expect(world.pve.changes.count == 1)
        #expect(world.audit.kinds.count { $0 == .expire } == 1)
        #expect(try await world.service.workflow.plan(late.id, TestService.alice).state == .expired)
        #expect(world.audit.kinds.count { $0 == .expire } == 1, "it expires once")
    }

    @Test func `a clock that jumps back neither ends a plan nor revives one`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let gone = try await world.plan(.startVM, "vm/102", expiresAt: world.clock.now.addingTimeInterval(60).rfc3339)
        world.clock.move(by: 61)
        #expect(try await world.service.workflow.plan(gone.id, TestService.alice).state == .expired)
        world.clock.jump(by: -86_400)
        #expect(try await world.service.workflow.plan(gone.id, TestService.alice).state == .expired)
        let late = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(late?.code == .planExpired, "a plan of the future is none")
        let later = try await world.plan(.startVM, "vm/101")
        #expect(
            try await world.service.workflow.plans(PlanFilter(), TestService.alice).rows.map(\.plan.id) == [
                later.id, gone.id, plan.id,
            ])
        let operation = try await world.apply(later)
        #expect(operation.state == .succeeded)
    }

    @Test func `a plan ends in its time, whatever happens to the clock on the wall`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        world.clock.jump(by: -59)
        world.clock.pass(3601)
        let late = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(late?.code == .planExpired)
        #expect(try await world.service.workflow.plan(plan.id, TestService.alice).state == .expired)
        #expect(world.pve.changes.isEmpty)
    }

    @Test(arguments: [(.stopVM, 3600), (.deleteVM, 900), (.startVM, 3600)] as [(Action, Double)])
    func `an expiry of one's own is sooner, never later`(action: Action, seconds: Double) async throws {
        let world = try TestService()
        let now = world.clock.now
        let sooner = try await world.plan(action, "vm/102", expiresAt: now.addingTimeInterval(seconds).rfc3339)
        #expect(abs(sooner.expiresAt.timeIntervalSince(now) - seconds) < 0.002)
        for wrong in [seconds + 1, 0, -1] {
            let error = await world.refusal { () async throws(ServiceError) in
                _ = try await world.plan(action, "vm/102", expiresAt: now.addingTimeInterval(wrong).rfc3339)
            }
            #expect(error?.code == .invalidRequest)
            #expect(error?.issues.map(\.path.pointer) == ["/expires_at"])
        }
    }

    @Test func `one principal's live plans are capped, those of others and dry runs apart`() async throws {
        var limits = Limits()
        limits.livePlans = 3
        let world = try TestService(limits: limits)
        var plans: [Plan] = []
        for _ in 0..<3 { plans.append(try await world.plan(.startVM, "vm/102")) }
        let error = await world.refusal { () async throws(ServiceError) in _ = try await world.plan(.startVM, "vm/102")
        }
        #expect(error?.code == .rateLimited)
        _ = try await world.plan(
            .startVM, "vm/102",
            as: Context(
                caller: Caller(principal: "bob", label: nil, isShared: true), principal: .shared, requestID: "req_2"))
        for _ in 0..<10 { _ = try await world.plan(.startVM, "vm/102", dryRun: true) }
        let dry = try await world.store.read { $0.plans(PlanFilter()).count { $0.request.dryRun } }
        #expect(dry <= 4, "the oldest dry runs make room by themselves")

        _ = try await world.service.workflow.cancelPlan(plans[0].id, TestService.alice)
        _ = try await world.plan(.startVM, "vm/102")
        world.clock.move(by: 3600)
        _ = try await world.plan(.startVM, "vm/102")
    }

    @Test func `the cap holds for requests that come at once`() async throws {
        var limits = Limits()
        limits.livePlans = 3
        let world = try TestService(limits: limits)
        let codes = await withTaskGroup(of: ErrorCode?.self) { group in
            for _ in 0..<40 {
                group.addTask {
                    do throws(ServiceError) {
                        _ = try await world.plan(.startVM, "vm/102")
                        return nil
                    } catch {
                        return error.code
                    }
                }
            }
            return await group.reduce(into: [ErrorCode?]()) { $0.append($1) }
        }
        #expect(codes.count { $0 == nil } == 3)
        #expect(codes.count { $0 == .rateLimited } == 37)
    }

    @Test func `ended plans and operations are kept for a while, and not without end`() async throws {
        var limits = Limits()
        limits.retentionSeconds = 600
        limits.endedKept = 5
        let world = try TestService(limits: limits)
        var first: [Plan] = []
        for _ in 0..<4 {
            let plan = try await world.plan(.startVM, "vm/102")
            try await world.apply(plan)
            first.append(plan)
        }
        let live = try await world.plan(.startVM, "vm/102")
        world.clock.move(by: 601)
        try await world.service.workflow.prune()
        for plan in first { #expect(try await world.state(of: plan) == nil) }
        #expect(try await world.service.operations.list(OperationFilter(), TestService.alice).rows.isEmpty)
        #expect(try await world.state(of: live) == .approved)

        for _ in 0..<9 {
            let plan = try await world.plan(.startVM, "vm/102")
            try await world.apply(plan)
        }
        try await world.service.workflow.prune()
        let (plans, operations) = try await world.store.read { records in
            (records.plans(PlanFilter(state: .applied)).count, records.operations(OperationFilter()).count)
        }
        #expect(plans == 5)
        #expect(operations == 5)
    }

    @Test func `a cancelled plan stays cancelled`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        #expect(try await world.service.workflow.cancelPlan(plan.id, TestService.alice).state == .cancelled)
        let again = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.workflow.cancelPlan(plan.id, TestService.alice)
        }
        #expect(again?.code == .planCancelled)
        let applied = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(applied?.code == .planCancelled)
        #expect(world.pve.changes.isEmpty)
        #expect(world.audit.kinds == [.plan, .cancel, .refuse, .refuse])
    }
}
