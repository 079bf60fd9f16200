import AgentAudit
import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import StrictJSON
import Synchronization
import Testing

/// Whatever is asked for in whatever order, by whomever, and however often the process ends: states move as the table
/// says, PVE sees each plan's call once at most, and never one that was not allowed.
@Suite(.timeLimit(.minutes(2)))
struct SequenceTests {
    private enum Command: CaseIterable {
        case plan, planGuarded, approve, reject, apply, applyAgain, cancel, pass, freeze, unfreeze, revoke, restore
        case touch, restart, expire, denyAll, allowAll, breakLog, mendLog
    }

    /// Asks for two approvals on vm/101.
    private static let guarded: PolicyRule = {
        var scope = PolicyRule.Scope()
        scope.targets = TargetPattern("vm/101").map { [$0] }
        return PolicyRule(id: "two", effect: .requireApproval, approvals: 2, scope: scope)
    }()

    private final class Answers: Sendable {
        private let generator: Mutex<RandomJSON.Generator>
        init(seed: UInt64) { generator = Mutex(RandomJSON.Generator(seed: seed)) }
        func number(_ range: Range<Int>) -> Int { generator.withLock { Int.random(in: range, using: &$0) } }
    }

    @Test(arguments: 1...60)
    func `no order of commands leads out of the table or to a second call`(seed: Int) async throws {
        let answers = Answers(seed: UInt64(seed))
        let upid = try #require(UPID(TestService.upid.replacing("qmstart", with: "qmsnapshot")))
        var world = try TestService(team: TestPrincipals.rules([Self.guarded])) { _ throws(HypervisorError) in
            switch answers.number(0..<6) {
            case 0: throw .refused(PVERejection(status: 500, reason: "no"))
            case 1: throw .timeout(sent: true)
            case 2: throw .unreachable("gone")
            case 3: return .done(.null)
            default: return .task(upid)
            }
        }
        let random = Answers(seed: UInt64(seed) &* 7919)
        var plans: [Plan] = []
        var states: [RecordID: PlanState] = [:]
        for step in 0..<60 {
            guard let command = Command.allCases.dropFirst(random.number(0..<Command.allCases.count)).first else {
                break
            }
            let plan = plans.isEmpty ? nil : plans[random.number(0..<plans.count)]
            try await run(command, plan, step, random, &world, &plans)
            try await check(world, plans, &states, "seed \(seed), step \(step), \(command)")
        }
    }

    private func run(
        _ command: Command, _ plan: Plan?, _ step: Int, _ random: Answers, _ world: inout TestService,
        _ plans: inout [Plan]
    ) async throws {
        let approver = [TestPrincipals.alice, TestPrincipals.bob, TestPrincipals.chief][random.number(0..<3)]
        switch command {
        case .plan, .planGuarded:
            let target = command == .plan ? "vm/102" : "vm/101"
            let params: JSON = ["snapname": .string("s\(step)")]
            if let made = try? await world.plan(.snapshotVM, target, params, as: .by(TestPrincipals.agent)) {
                plans.append(made)
            }
        case .approve: if let plan { _ = await world.code(plan, by: approver) }
        case .reject: if let plan { _ = await world.code(plan, .reject, by: approver) }
        case .apply: if let plan { _ = await world.applyCode(plan) }
        case .applyAgain:
            guard let plan else { return }
            let twice = world
            async let first = twice.applyCode(plan)
            async let second = twice.applyCode(plan)
            _ = await (first, second)
        case .cancel:
            if let plan { _ = try? await world.service.workflow.cancelPlan(plan.id, .by(TestPrincipals.agent)) }
        case .pass: world.clock.move(by: Double(random.number(1..<2000)))
        case .freeze: _ = try? await world.service.freezes.freeze(FreezeRequest(reason: "test"), .by(approver))
        case .unfreeze: _ = try? await world.service.freezes.unfreeze(FreezeChoice(), .by(approver))
        case .revoke: world.service.access.replace(TestPrincipals.rules([Self.guarded], without: approver))
        case .restore, .allowAll: world.service.access.replace(TestPrincipals.rules([Self.guarded]))
        case .touch: world.pve.put("vm/102", status: "stopped", digest: "d\(step)")
        case .restart:
            await world.service.drain(within: .zero)
            world.audit.refuse { _, _ in false }
            world = try await world.restarted()
        case .expire: try? await world.service.workflow.expireDue()
        case .denyAll:
            world.service.access.replace(TestPrincipals.rules([Self.guarded, PolicyRule(id: "no", effect: .deny)]))
        case .breakLog: world.audit.refuse { event, _ in event.kind != .apply }
        case .mendLog: world.audit.refuse { _, _ in false }
        }
    }

    private func check(
        _ world: TestService, _ plans: [Plan], _ states: inout [RecordID: PlanState], _ place: String
    ) async throws {
        let calls = world.pve.changes.compactMap { $0["snapname"] }
        for plan in plans {
            let stored = try #require(try await world.store.read { $0.plan(plan.id) }, "\(place): \(plan.id) is lost")
            let before = states[plan.id] ?? plan.state
            #expect(Self.leads(from: before, to: stored.state), "\(place): \(before) to \(stored.state)")
            states[plan.id] = stored.state
            #expect(stored.planHash == plan.planHash && stored.requestHash == plan.requestHash, "\(place)")

            let sent = calls.count { $0 == plan.request.params["snapname"]?.string }
            #expect(sent <= 1, "\(place): sent \(sent) times")
            let intents = world.audit.events.filter { $0.planID == plan.id.description && $0.kind == .applyIntent }
            if sent > 0 {
                #expect([.applying, .applied, .failed, .unknown].contains(stored.state), "\(place): \(stored.state)")
                #expect(intents.last?.result?["approvals"]?.array?.count ?? -1 >= plan.requires.approvals, "\(place)")
            }
            let outcomes = world.audit.events.count { $0.planID == plan.id.description && $0.kind == .apply }
            if stored.state == .applied { #expect(sent == 1 && outcomes >= 1, "\(place)") }
        }
    }

    /// Whether the table has a way; one command may take several steps of it.
    private static func leads(from: PlanState, to: PlanState) -> Bool {
        var reached: Set<PlanState> = [from]
        while true {
            let next = reached.reduce(into: reached) { $0.formUnion($1.successors) }
            if next == reached { return reached.contains(to) }
            reached = next
        }
    }
}
