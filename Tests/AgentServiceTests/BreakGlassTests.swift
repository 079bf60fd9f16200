import AgentAudit
import AgentModel
import AgentPolicy
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Testing

@testable import AgentService

/// In an emergency named people pass a window, a limit or a freeze. It leaves traces until somebody else has looked.
@Suite(.timeLimit(.minutes(1)))
struct BreakGlassTests {
    private static let fire = Principal(id: "fire", roles: [.operator, .emergency])
    private static let late = """
        {"id": "nights", "match": {"actions": ["start_vm"]},
         "effect": {"windows": {"zone": "UTC", "open": [{"from": "2090-01-01T00:00", "to": "2090-01-01T01:00"}]}}}
        """
    private static let none = """
        {"id": "none", "effect": {"limits": [{"count": "operations", "most": 0, "per": "1h"}]}}
        """

    private static func world(
        _ rules: String..., people: [Principal] = TestPrincipals.all + [fire],
        change: @escaping FakeHypervisor.Change = { _ in .done(.null) }
    ) throws -> TestService {
        let policy = try Policy(text: "{\"rules\": [\(rules.joined(separator: ","))]}")
        return try TestService(team: Rules(directory: Directory(people), policy: policy), change: change)
    }

    @discardableResult
    private func apply(
        _ plan: Plan, _ world: TestService, by principal: Principal = fire,
        because reason: String? = "the site is down",
        wait: Duration? = .seconds(60)
    ) async throws(ServiceError) -> AgentModel.Operation {
        let wanted = ApplyRequest(planID: plan.id, emergency: reason)
        let outcome = try await world.service.applies.apply(wanted, .by(principal), wait: wait)
        guard case .operation(let operation) = outcome.kind else { throw ServiceError(.internalError, "no operation") }
        return operation
    }

    private func code(
        _ plan: Plan, _ world: TestService, by principal: Principal = fire, because reason: String? = "the site is down"
    ) async -> ErrorCode? {
        do throws(ServiceError) { try await apply(plan, world, by: principal, because: reason) } catch {
            return error.code
        }
        return nil
    }

    private func freeze(_ world: TestService, _ environment: String? = nil) async throws -> Freeze {
        let request = FreezeRequest(environment: environment, reason: "hands off")
        return try await world.service.freezes.freeze(request, .by(TestPrincipals.alice))
    }

    private func start(_ world: TestService, _ principal: Principal = fire) async throws -> Plan {
        try await world.plan(.startVM, "vm/102", as: .by(principal))
    }

    private func reviews(_ world: TestService, isOpen: Bool? = nil) async throws -> [Review] {
        try await world.store.read { $0.reviews(ReviewFilter(isOpen: isOpen)) }
    }

    // MARK: Passing

    @Test func `it passes a window, a limit and a freeze, and says so everywhere`() async throws {
        let world = try Self.world(Self.late, Self.none)
        let plan = try await start(world)
        let freezes = [try await freeze(world), try await freeze(world, "home")]
        #expect(await code(plan, world, because: nil) == .frozen)
        let operation = try await apply(plan, world)
        #expect(operation.state == .succeeded && world.pve.changes.count == 1)
        let glass = try #require(operation.breakGlass)
        #expect(glass.reason == "the site is down" && glass.windows == ["nights"] && glass.limitRules == ["none"])
        #expect(Set(glass.freezes) == Set(freezes.compactMap(\.id)))
        #expect(try await world.store.read { $0.plan(plan.id)?.breakGlass } == glass)
        let review = try #require(try await reviews(world).first)
        #expect(review.glass == glass && review.verdict == nil && review.operationID == operation.id)
        #expect(review.requester.actor == "fire" && review.action == .startVM)

        let kinds = world.audit.kinds
        let (broken, intent) = (kinds.firstIndex(of: .breakGlass), kinds.firstIndex(of: .applyIntent))
        #expect(try #require(broken) < #require(intent), "it is recorded before anything is sent")
        #expect(kinds.count { $0 == .breakGlass } == 1)
    }

    @Test(arguments: ["window", "limit", "freeze"])
    func `what it passes alone is named alone`(obstacle: String) async throws {
        let world = try Self.world(obstacle == "window" ? Self.late : obstacle == "limit" ? Self.none : "")
        let plan = try await start(world)
        let id = obstacle == "freeze" ? try await freeze(world).id : nil
        let glass = try #require(try await apply(plan, world).breakGlass)
        #expect(glass.windows == (obstacle == "window" ? ["nights"] : []))
        #expect(glass.limitRules == (obstacle == "limit" ? ["none"] : []))
        #expect(glass.freezes == [id].compactMap { $0 })
    }

    @Test func `where nothing is in the way it is a change like any other`() async throws {
        let world = try Self.world()
        let operation = try await apply(try await start(world), world)
        #expect(operation.state == .succeeded && operation.breakGlass == nil)
        #expect(try await reviews(world).isEmpty)
        #expect(!world.audit.kinds.contains(.breakGlass))
    }

    @Test func `what it takes of a limit counts for everybody`() async throws {
        let world = try Self.world(
            #"{"id": "one", "effect": {"limits": [{"count": "operations", "most": 1, "per": "1h"}]}}"#)
        world.pve.put("vm/103", status: "stopped")
        try await apply(try await start(world), world, because: nil)
        let second = try await world.plan(.startVM, "vm/103", as: .by(Self.fire))
        #expect(await code(second, world, because: nil) == .limitReached)
        #expect(try await apply(second, world).breakGlass?.limitRules == ["one"])
        let counter = LimitCounter(rule: "one", index: 0, counted: .operations, scope: .all, key: "")
        #expect(try await world.store.read { $0.limitUses(of: counter, since: nil).count } == 2)
    }

    @Test func `one full limit of a rule passes no other of it`() async throws {
        let (entered, gate) = (Gate(), Gate())
        let world = try Self.world(
            #"{"id": "both", "effect": {"limits": [{"count": "operations", "most": 2, "per": "1h"},"#
                + #"{"count": "concurrent", "most": 1}]}}"#
        ) { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        world.pve.put("vm/103", status: "stopped")
        let plans = [try await start(world), try await world.plan(.startVM, "vm/103", as: .by(Self.fire))]
        try await apply(plans[0], world, because: nil, wait: .zero)
        await entered.wait()
        let passed = try await apply(plans[1], world, wait: .zero).breakGlass?.limits
        #expect(passed?.map(\.counted) == [.concurrent])
        gate.open()
    }

    // MARK: Not passing

    @Test(arguments: ["pi-agent", "chief"])
    func `without the role nothing is passed, whether something is in the way or not`(id: String) async throws {
        for rule in [Self.late, ""] {
            let world = try Self.world(rule)
            let principal = try #require(TestPrincipals.all.first { $0.id == id })
            let plan = try await start(world, principal)
            #expect(await code(plan, world, by: principal) == .forbidden)
            #expect(world.pve.changes.isEmpty && world.audit.kinds.last == .refuse)
            #expect(world.audit.events.last?.result?["break_glass"] == "the site is down")
            #expect(try await world.state(of: plan) == .approved)
            #expect(try await reviews(world).isEmpty)
        }
    }

    @Test func `the one shared token cannot pass anything: nobody could review it`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let refused = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.applies.apply(
                ApplyRequest(planID: plan.id, emergency: "now"), TestService.alice, wait: nil)
        }
        #expect(refused?.code == .forbidden && world.pve.changes.isEmpty)
    }

    @Test func `it passes no denial, no missing approval, no freeze by a file and no shortage`() async throws {
        let world = try Self.world()
        let plan = try await start(world)
        let guarded = try await world.plan(.stopVM, "vm/101", as: .by(Self.fire))
        #expect(await code(guarded, world) == .approvalRequired)
        world.clock.setFreezeFile(true)
        #expect(await code(plan, world) == .frozen)
        world.clock.setFreezeFile(false)
        world.clock.setShort(true)
        #expect(await code(plan, world) == .storeUnavailable)
        world.clock.setShort(false)
        let denial = try Policy(text: #"{"rules": [{"id": "no", "effect": "deny", "match": {"vmids": [102]}}]}"#)
        world.service.access.replace(Rules(directory: world.rules.directory, policy: denial))
        #expect(await code(plan, world) == .policyDenied)
        #expect(world.pve.changes.isEmpty)
        #expect(try await reviews(world).isEmpty)
    }

    @Test func `it is for changes alone`() async throws {
        let world = try Self.world()
        let dry = try await world.plan(.startVM, "vm/102", dryRun: true, as: .by(Self.fire))
        #expect(await code(dry, world) == .invalidRequest)
    }

    /// Two operations on one guest: the first holds it, the second broke the glass and waits.
    private func waiting(
        _ body: (TestService, AgentModel.Operation) async throws -> Void
    ) async throws -> (AgentModel.Operation, TestService) {
        let (entered, gate) = (Gate(), Gate())
        let world = try Self.world { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        let plans = [try await start(world), try await start(world)]
        try await apply(plans[0], world, because: nil, wait: .zero)
        await entered.wait()
        _ = try await freeze(world)
        let queued = try await apply(plans[1], world, wait: nil)
        #expect(queued.state == .queued && queued.breakGlass != nil)
        try await body(world, queued)
        gate.open()
        let end = try await world.service.operations.operation(queued.id, .by(Self.fire), wait: .seconds(30))
        return (end, world)
    }

    @Test func `a freeze that is set afterwards stops it, and what was frozen before does not`() async throws {
        let (passed, _) = try await waiting { _, _ in }
        #expect(passed.state != .failed || passed.code != ErrorCode.frozen.rawValue, "\(passed.message)")
        let (stopped, world) = try await waiting { world, _ in _ = try await freeze(world, "home") }
        #expect(stopped.state == .failed && stopped.code == ErrorCode.frozen.rawValue)
        #expect(world.pve.changes.count == 1)
        // Nothing was sent, yet somebody tried: the review stays.
        #expect(try await reviews(world, isOpen: true).count == 1)
        let plan = try await world.store.read { $0.plan(stopped.planID) }
        #expect(plan?.state == .approved && plan?.breakGlass == nil, "the next apply is one like any other")
    }

    @Test func `who lost the role while the operation waited passes nothing`() async throws {
        let (end, world) = try await waiting { world, _ in
            let people = TestPrincipals.all + [Principal(id: "fire", roles: [.operator])]
            world.service.access.replace(Rules(directory: Directory(people), policy: world.rules.policy))
        }
        #expect(end.state == .failed && end.code == ErrorCode.forbidden.rawValue)
        #expect(world.pve.changes.count == 1)
    }

    // MARK: Reviewing

    private func close(
        _ operation: RecordID, _ world: TestService, by principal: Principal, isJustified: Bool = true
    ) async -> ErrorCode? {
        do throws(ServiceError) {
            _ = try await world.service.reviews.close(
                operation, isJustified: isJustified, comment: "saw it", .by(principal))
        } catch { return error.code }
        return nil
    }

    @Test func `somebody else closes the review, once`() async throws {
        let double = Principal(id: "fire", roles: [.operator, .emergency, .approver])
        let world = try Self.world(Self.late, people: TestPrincipals.all + [double])
        let operation = try await apply(try await start(world, double), world, by: double).id
        #expect(await close(.sample(77, .operation), world, by: TestPrincipals.alice) == .notFound)
        #expect(await close(operation, world, by: double) == .forbidden, "nobody reviews what they did")
        #expect(world.audit.events.last?.operationID == "\(operation)")
        let nobody = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.reviews.close(operation, isJustified: true, comment: "ok", TestService.alice)
        }
        #expect(nobody?.code == .forbidden, "who has the shared token, nobody knows")
        #expect(await close(operation, world, by: TestPrincipals.agent) == .forbidden)
        #expect(await close(operation, world, by: TestPrincipals.stranger) == .notFound, "it is not theirs to see")
        #expect(try await reviews(world, isOpen: true).count == 1)
        #expect(await close(operation, world, by: TestPrincipals.alice, isJustified: false) == nil)
        let verdict = try #require(try await reviews(world).first?.verdict)
        #expect(verdict.by == "alice" && !verdict.isJustified && verdict.comment == "saw it")
        #expect(world.audit.kinds.last == .review)
        #expect(await close(operation, world, by: TestPrincipals.bob) == .notFound)
        #expect(try await reviews(world, isOpen: true).isEmpty)
    }

    @Test func `of many who close it at once one does`() async throws {
        let world = try Self.world(Self.late)
        let operation = try await apply(try await start(world), world).id
        let codes = await withTaskGroup(of: ErrorCode?.self) { group in
            for number in 0..<20 {
                group.addTask {
                    await close(operation, world, by: number % 2 == 0 ? TestPrincipals.alice : TestPrincipals.bob)
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(codes.count { $0 == nil } == 1 && codes.count { $0 == .notFound } == 19)
    }

    @Test func `what nobody has reviewed is kept, and forgotten like everything else afterwards`() async throws {
        let world = try Self.world(Self.late)
        let plan = try await start(world)
        let operation = try await apply(plan, world).id
        world.clock.move(by: Double(world.limits.retentionSeconds) + 1)
        try await world.service.workflow.prune()
        #expect(try await world.store.read { $0.operation(operation)?.breakGlass?.windows } == ["nights"])
        #expect(try await world.state(of: plan) == .applied)
        #expect(await close(operation, world, by: TestPrincipals.alice) == nil)
        try await world.service.workflow.prune()
        #expect(try await world.store.read { $0.operation(operation) } == nil)
        #expect(try await reviews(world).count == 1)
        world.clock.move(by: Double(world.limits.retentionSeconds) + 1)
        try await world.service.workflow.prune()
        #expect(try await reviews(world).isEmpty)
    }

    @Test(arguments: [true, false], [true, false])
    func `an older or a new state beside the log has the reviews again`(isNew: Bool, isClosed: Bool) async throws {
        let world = try Self.world(Self.late)
        let plan = try await start(world)
        var backup = try await world.backup()
        if isNew { backup = TestService.Backup(plans: [], operations: [], freezes: [], mark: nil) }
        let operation = try await apply(plan, world).id
        if isClosed { #expect(await close(operation, world, by: TestPrincipals.alice) == nil) }
        let before = try await reviews(world)
        let next = try await world.restored(backup, isMarked: !isNew)
        #expect(try await reviews(next).map(\.operationID) == [operation])
        #expect(try await reviews(next).first?.glass.windows == ["nights"])
        #expect(try await reviews(next).first?.verdict?.by == before.first?.verdict?.by)
        #expect(world.pve.changes.count == 1)
        let rebuilt = try await next.store.read { $0.operation(operation) }
        #expect(rebuilt?.breakGlass?.windows == (isNew ? nil : ["nights"]))
        if !isNew { #expect(try await next.store.read { $0.plan(plan.id)?.breakGlass } == rebuilt?.breakGlass) }
        if !isClosed { #expect(await close(operation, next, by: TestPrincipals.bob) == nil) }
    }

    // MARK: Telling

    @Test func `everybody who is told is told at once, and where to look`() async throws {
        let world = try Self.world(Self.late)
        let sender = TestSender()
        try await world.service.notices.serve([NoticeSubscription(target: "a")], through: sender)
        let operation = try await apply(try await start(world), world)
        let notice = try #require(try await sender.delivered(1, to: "a").first).notice
        #expect(notice.event == .breakGlass && notice.isUrgent && notice.operationID == operation.id)
        #expect(
            notice.title == "Emergency: start_vm vm/102 on home passed the change window of rule nights")
        let reason = Notice.Fact("Reason", "the site is down", .caller)
        #expect(notice.facts.contains(reason) && notice.facts.contains(Notice.Fact("Broken by", "fire")))
        await world.service.notices.stop()
    }
}
