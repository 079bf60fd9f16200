import AgentAudit
import AgentModel
import AgentService
import AgentTestSupport
import StrictJSON
import Testing

/// How plans are carried out: once, in order, and only after the log has taken the intent.
@Suite(.timeLimit(.minutes(1)))
struct ApplyTests {
    @Test func `the log tells of the intent before PVE hears of it, and of the outcome after`() async throws {
        let order = Order()
        let world = try TestService { _ in
            order.note("change")
            return .done("done")
        }
        world.audit.refuse { event, _ in
            order.note(event.kind.rawValue)
            return false
        }
        let plan = try await world.plan(.stopVM, "vm/101")
        let operation = try await world.apply(plan, approvedBy: "bob")
        #expect(operation.state == .succeeded)
        #expect(operation.data == "done")
        #expect(order.all == ["plan", "approve", "apply_intent", "change", "apply"])
        #expect(try await world.state(of: plan) == .applied)
    }

    @Test(arguments: [
        ("hastart", Action.startVM, "vm/102", "running"), ("hastop", .stopVM, "vm/101", "stopped"),
    ])
    func `what HA was asked for is done when the guest is there`(
        type: String, action: Action, target: String, status: String
    ) async throws {
        let upid = try #require(UPID(TestService.upid.replacing("qmstart", with: type)))
        let world = try TestService { _ in .task(upid) }
        let plan = try await world.plan(action, target)
        let running = try await world.apply(plan, approvedBy: "bob", wait: nil)
        #expect(running.state == .running, "PVE's task has ended OK, and that says nothing yet")
        world.pve.put(target, status: status)
        let ended = try await world.service.operations.operation(running.id, TestService.alice, wait: .seconds(30))
        #expect(ended.state == .succeeded)
    }

    @Test func `what HA does not get done in its time is unknown`() async throws {
        var limits = Limits()
        limits.highAvailabilitySeconds = 0
        let upid = try #require(UPID(TestService.upid.replacing("qmstart", with: "hastart")))
        let world = try TestService(limits: limits) { _ in .task(upid) }
        let operation = try await world.apply(try await world.plan(.startVM, "vm/102"))
        #expect(operation.state == .unknown)
    }

    @Test(arguments: 1...4)
    func `when the log refuses the first, second, third … record, nothing happens unrecorded`(number: Int) async throws
    {
        let world = try TestService()
        world.audit.refuse { _, asked in asked == number }
        var refused: ErrorCode?
        do throws(ServiceError) {
            let plan = try await world.plan(.stopVM, "vm/101")
            let operation = try await world.apply(plan, approvedBy: "bob")
            #expect(operation.state == .succeeded)
        } catch {
            refused = error.code
        }
        let asked = world.audit.asked
        switch number {
        case 1: #expect(asked.prefix(1) == [.plan])
        case 2: #expect(asked.prefix(2) == [.plan, .approve])
        case 3: #expect(asked.prefix(3) == [.plan, .approve, .applyIntent])
        default: #expect(asked == [.plan, .approve, .applyIntent, .apply, .apply], "an outcome is tried again")
        }
        #expect(refused == (number < 4 ? .auditUnavailable : nil))
        #expect(world.pve.changes.count == (number < 4 ? 0 : 1))
        let plans = try await world.store.read { $0.plans(PlanFilter()) }
        switch number {
        case 1: #expect(plans.isEmpty, "a plan that is not recorded is not stored")
        case 2: #expect(plans.map(\.state) == [.awaitingApproval])
        case 3:
            #expect(plans.map(\.state) == [.approved], "nothing was done; it can be applied again")
            #expect(plans.allSatisfy { $0.operationID == nil })
        default: #expect(plans.map(\.state) == [.applied])
        }
    }

    @Test func `a refusal that cannot be recorded is answered as a failure of the log`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.stopVM, "vm/101")
        world.audit.refuse { event, _ in event.kind == .refuse }
        let error = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(error?.code == .auditUnavailable)
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `a plan is applied once, however many ask`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let codes = await withTaskGroup(of: ErrorCode?.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    do throws(ServiceError) {
                        try await world.apply(plan)
                        return nil
                    } catch {
                        return error.code
                    }
                }
            }
            return await group.reduce(into: [ErrorCode?]()) { $0.append($1) }
        }
        #expect(codes.count { $0 == nil } == 1)
        #expect(codes.count { $0 == .planConsumed } == 49)
        #expect(world.pve.changes.count == 1)
    }

    @Test func `changes of one guest take turns, those of another do not wait`() async throws {
        let gate = Gate()
        let order = Order()
        let world = try TestService { call in
            order.note(call.shownPath)
            if call.path.contains("101") { await gate.wait() }
            return .done(.null)
        }
        let plans = [
            try await world.plan(.startVM, "vm/101", ["timeout": 1]),
            try await world.plan(.startVM, "vm/101", ["timeout": 2]),
        ]
        let other = try await world.plan(.startVM, "vm/102")
        let running = try await world.apply(plans[0], wait: .zero)
        let queued = try await world.apply(plans[1], wait: nil)
        #expect(queued.state == .queued)
        #expect(queued.queuePosition == 1)
        #expect(try await world.apply(other).state == .succeeded)
        gate.open()
        #expect(
            try await world.service.operations.operation(running.id, TestService.alice, wait: .seconds(60)).state
                == .succeeded)
        #expect(
            try await world.service.operations.operation(queued.id, TestService.alice, wait: .seconds(60)).state
                == .succeeded)
        #expect(
            world.pve.changes.filter { $0.path.contains("101") }.map { $0["timeout"] } == ["1", "2"])
    }

    @Test func `a plan whose operation waits past its time is consumed, and then expires`() async throws {
        let entered = Gate()
        let gate = Gate()
        let world = try TestService { _ in
            entered.open()
            await gate.wait()
            return .done(.null)
        }
        let plans = [try await world.plan(.startVM, "vm/101"), try await world.plan(.startVM, "vm/101")]
        let running = try await world.apply(plans[0], wait: .zero)
        let queued = try await world.apply(plans[1], wait: nil)
        await entered.wait()
        world.clock.move(by: 3601)
        let error = await world.refusal { () async throws(ServiceError) in try await world.apply(plans[1]) }
        #expect(error?.code == .planConsumed)
        #expect(error?.operationID == queued.id)
        gate.open()
        #expect(
            try await world.service.operations.operation(running.id, TestService.alice, wait: .seconds(30)).state
                == .succeeded)
        let ended = try await world.service.operations.operation(queued.id, TestService.alice, wait: .seconds(30))
        #expect(ended.state == .failed)
        #expect(ended.code == ErrorCode.planExpired.rawValue)
        #expect(try await world.state(of: plans[1]) == .expired)
        #expect(world.pve.changes.count == 1)
    }

    @Test func `what moved since the plan was made makes it stale`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.stopVM, "vm/101")
        world.pve.put("vm/101", status: "stopped", digest: "d2")
        let error = await world.refusal { () async throws(ServiceError) in
            try await world.apply(plan, approvedBy: "bob")
        }
        #expect(error?.code == .planStale)
        #expect(error?.moved.map(\.field) == ["status", "digest"])
        #expect(error?.moved.map(\.planned) == ["running", "d1"])
        #expect(error?.moved.map(\.found) == ["stopped", "d2"])
        #expect(try await world.state(of: plan) == .stale)
        #expect(world.pve.changes.isEmpty)
        let again = await world.refusal { () async throws(ServiceError) in
            try await world.apply(plan, approvedBy: "bob")
        }
        #expect(again?.code == .planStale)
    }

    @Test func `a guest that is gone makes a plan stale, and no plan of its own`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        world.pve.remove("vm/102")
        let error = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(error?.code == .planStale)
        let denied = try await world.plan(.startVM, "vm/102")
        #expect(denied.state == .denied)
        #expect(denied.decision.rules.contains("check:guest-exists"))
        let applied = await world.refusal { () async throws(ServiceError) in try await world.apply(denied) }
        #expect(applied?.code == .policyDenied)
        #expect(world.pve.changes.isEmpty)
    }

    struct Failure: Sendable, CustomTestStringConvertible {
        let error: HypervisorError
        let state: OperationState
        let code: ErrorCode
        var testDescription: String { "\(error)" }
    }

    @Test(arguments: [
        Failure(error: .refused(PVERejection(status: 500, reason: "no")), state: .failed, code: .upstreamRefused),
        Failure(error: .refused(PVERejection(status: 403, reason: "no")), state: .failed, code: .upstreamRefused),
        Failure(
            error: .refused(PVERejection(status: 595, reason: "gone")), state: .unknown, code: .upstreamUnreachable),
        Failure(
            error: .refused(PVERejection(status: 502, reason: "gone")), state: .unknown, code: .upstreamUnreachable),
        Failure(error: .unreachable("refused"), state: .failed, code: .upstreamUnreachable),
        Failure(error: .timeout(sent: false), state: .failed, code: .upstreamTimeout),
        Failure(error: .timeout(sent: true), state: .unknown, code: .upstreamTimeout),
        Failure(error: .invalid("HTML", mayHaveExecuted: true), state: .unknown, code: .upstreamInvalid),
        Failure(error: .invalid("HTML", mayHaveExecuted: false), state: .failed, code: .upstreamInvalid),
    ])
    func `what PVE did not clearly refuse is unknown, and never sent again`(given: Failure) async throws {
        let world = try TestService { _ throws(HypervisorError) in throw given.error }
        let plan = try await world.plan(.startVM, "vm/102")
        var code: ErrorCode?
        do throws(ServiceError) { try await world.apply(plan) } catch { code = error.code }
        #expect(code == (given.state == .unknown ? nil : given.code), "an unknown outcome is no refusal")
        let operation = try #require(
            try await world.service.operations.list(OperationFilter(plan: plan.id), TestService.alice).rows.first)
        #expect(operation.state == given.state)
        #expect(operation.code == (given.state == .unknown ? operation.code : given.code.rawValue))
        #expect(try await world.state(of: plan) == given.state.planState)
        let again = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(again?.code == .planConsumed)
        #expect(again?.operationID == operation.id)
        #expect(world.pve.changes.count == 1)
        #expect(world.audit.kinds.filter { $0 != .refuse } == [.plan, .applyIntent, .apply])
    }

    @Test(arguments: [
        (TaskExit.ok, OperationState.succeeded), (.warnings(2), .succeededWithWarnings), (.failed("no space"), .failed),
    ])
    func `an operation ends as PVE's task does`(exit: TaskExit, state: OperationState) async throws {
        let upid = try #require(UPID(TestService.upid))
        let world = try TestService { _ in .task(upid) }
        world.pve.taskStatus = .stopped(exit)
        world.pve.taskLog = (1...30).map { "line \($0)" }
        let operation = try await world.apply(try await world.plan(.startVM, "vm/102"))
        #expect(operation.state == state)
        #expect(operation.upid == upid)
        #expect(operation.logTail == (exit == .ok ? [] : (11...30).map { "line \($0)" }))
    }

    @Test(arguments: [true, false])
    func `an unknown outcome is settled by hand, once`(succeeded: Bool) async throws {
        let world = try TestService { _ throws(HypervisorError) in throw .timeout(sent: true) }
        let plan = try await world.plan(.startVM, "vm/102")
        let id = try await world.apply(plan).id
        let settled = try await world.service.operations.resolve(
            id, succeeded: succeeded, reason: "looked", TestService.alice)
        #expect(settled.state == (succeeded ? .succeeded : .failed))
        #expect(try await world.state(of: plan) == (succeeded ? .applied : .failed))
        let again = await world.refusal { () async throws(ServiceError) in
            _ = try await world.service.operations.resolve(id, succeeded: succeeded, reason: "again", TestService.alice)
        }
        #expect(again?.code == .invalidRequest)
    }

    @Test func `what PVE repeats of a secret reaches neither caller nor log`() async throws {
        let world = try TestService { _ throws(HypervisorError) in
            throw .refused(
                PVERejection(status: 400, reason: "login with hunter2 failed", errors: ["password": "hunter2 is weak"]))
        }
        let plan = try await world.plan(
            .storageEdit, "storage/nas",
            ["endpoint": "/storage/nas", "method": "PUT", "params": ["password": "hunter2"]])
        let error = await world.refusal { () async throws(ServiceError) in
            try await world.apply(plan, approvedBy: "bob")
        }
        #expect(error?.code == .upstreamRefused)
        #expect(error.map { "\($0)" }?.contains("hunter2") == false)
        let shown = world.audit.events.map { "\($0)" }.joined()
        #expect(shown.contains("<redacted>"))
        #expect(!shown.contains("hunter2"))
    }

    @Test func `what PVE tells of a secret that is to go is not shown`() async throws {
        let world = try TestService()
        world.pve.put(["storage": "nas", "password": "s3cr3t-w0rd", "content": "iso"], at: "storage", "nas")
        let params: JSON = [
            "endpoint": "/storage/nas", "method": "PUT", "params": ["delete": "password,content", "password": "new"],
        ]
        let plan = try await world.plan(.storageEdit, "storage/nas", params)
        #expect(plan.preview.changes.map(\.key) == ["password", "content", "password"])
        #expect(plan.preview.changes.map(\.from) == [.null, "iso", .null])
        #expect(!"\(plan.preview)".contains("s3cr3t"))
    }

    @Test func `a read-only environment changes nothing`() async throws {
        let world = try TestService(readOnly: true)
        let plan = try await world.plan(.startVM, "vm/102")
        #expect(plan.state == .denied)
        let error = await world.refusal { () async throws(ServiceError) in try await world.apply(plan) }
        #expect(error?.code == .policyDenied)
        #expect(world.pve.changes.isEmpty)
    }

    @Test func `only who asked for a plan applies it`() async throws {
        let world = try TestService()
        let plan = try await world.plan(.startVM, "vm/102")
        let error = await world.refusal { () async throws(ServiceError) in
            try await world.apply(
                plan, as: Context(caller: .labelled("mallory"), principal: .shared, requestID: "req_9"))
        }
        #expect(error?.code == .forbidden)
        #expect(world.pve.changes.isEmpty)
    }
}
