package import AgentModel
package import AgentService
internal import FoundationEssentials

/// What every ``LeaseStore`` has to keep, checked on each implementation alike. It must have no rows.
package struct LeaseStoreConformance {
    package struct Violation: Error, CustomStringConvertible {
        package let description: String
    }

    private let store: any LeaseStore
    private let jump: (EnvironmentName, _ seconds: Int) async throws -> Void
    private let silence: (_ agent: String, _ seconds: Int) async throws -> Void
    private let home: EnvironmentName

    /// `jump` makes the environment's lease valid until that many seconds from now, as a clock that jumps would;
    /// `silence` makes the agent's last report that old.
    package init(
        _ store: any LeaseStore, jump: @escaping (EnvironmentName, _ seconds: Int) async throws -> Void,
        silence: @escaping (_ agent: String, _ seconds: Int) async throws -> Void
    ) throws {
        self.store = store
        self.jump = jump
        self.silence = silence
        guard let home = EnvironmentName("home") else { throw Violation(description: "no name") }
        self.home = home
    }

    /// Throws the first promise that is broken.
    package func check() async throws {
        try await checkRows()
        try await checkRace()
        try await checkRenewal()
        try await checkLoss()
        try await checkRelease()
        try await checkHonour()
        try await checkClocks()
        try await checkReports()
        try await checkDraining()
        try await checkForgetting()
    }

    private func require(_ condition: Bool, _ promise: String) throws {
        guard condition else { throw Violation(description: promise) }
    }

    private var row: LeaseRow {
        get async throws {
            guard let row = try await store.leases().first(where: { $0.environment == home }) else {
                throw Violation(description: "the row is there")
            }
            return row
        }
    }

    private func acquire(_ holder: String) async throws -> AcquiredLease? {
        try await store.acquire(home, holder: holder, agent: "agent \(holder)")
    }

    private func acquired(_ holder: String) async throws -> AcquiredLease {
        guard let acquired = try await acquire(holder) else {
            throw Violation(description: "what is to be had is acquired")
        }
        return acquired
    }

    // MARK: Leases

    private func checkRows() async throws {
        try require(try await acquire("early") == nil, "what has no row is not acquired")
        try require(try await store.leases().isEmpty, "there are no rows at first")
        guard let work = EnvironmentName("work") else { throw Violation(description: "no name") }
        try await store.prepare([work, home])
        let free = [home, work].map { name in
            LeaseRow(
                environment: name, holder: nil, agent: nil, epoch: 0, renewals: 0, freezes: 0, honoured: 0,
                isToBeHad: true)
        }
        try require(try await store.leases() == free, "rows begin free, and come by name")
        _ = try await store.acquire(work, holder: "w", agent: "it's w")
        try await store.prepare([home, work])
        let kept = try await store.leases().last
        try require(
            kept?.holder == "w" && kept?.agent == "it's w" && kept?.isToBeHad == false, "rows that are there stay")
    }

    private func checkRace() async throws {
        let (store, home) = (store, home)
        let winners = try await withThrowingTaskGroup(of: AcquiredLease?.self) { group in
            for number in 0..<8 {
                group.addTask {
                    try await store.acquire(home, holder: "\(number)", agent: "agent \(number)")
                }
            }
            return try await group.reduce(into: [AcquiredLease]()) { if let lease = $1 { $0.append(lease) } }
        }
        try require(winners.count == 1, "of several at once one acquires")
        let (first, row) = (winners[0], try await row)
        try require(
            first.lease.epoch == 1 && first.wasFree && first.renewals == 0 && first.freezes == 0,
            "an acquisition has the row as it was")
        try require(
            row.holder == first.lease.holder && row.agent == "agent \(first.lease.holder)" && row.epoch == 1
                && row.renewals == 1 && !row.isToBeHad, "the row has its new holder")
        try require(try await acquire(first.lease.holder) == nil, "nobody acquires what somebody has, not its holder")
        try await store.release(first.lease)
    }

    private func checkRenewal() async throws {
        let lease = try await acquired("a").lease
        let before = try await row
        try require(try await store.renew(lease) == 0, "a renewal returns the freezes")
        let after = try await row
        try require(after.renewals > before.renewals && after.epoch == before.epoch, "a renewal is seen by all")
        try await jump(home, -60)
        try require(try await row.isToBeHad, "what is over is to be had")
        try require(try await store.renew(lease) == 0, "what nobody took is renewed after its end")
        try require(try await row.isToBeHad == false, "and is valid again")
        try await store.release(lease)
    }

    private func checkLoss() async throws {
        let old = try await acquired("a").lease
        try await jump(home, -1)
        let before = try await row
        let new = try await acquired("b")
        try require(
            new.lease.epoch == old.epoch + 1 && !new.wasFree && new.renewals == before.renewals,
            "what is over is acquired, with what was seen of it last")
        let row = try await row
        try require(row.renewals > before.renewals, "an acquisition is seen by all")
        try require(try await store.renew(old) == nil, "what is lost is not renewed")
        try await store.honour(old, freezes: 9)
        try await store.release(old)
        try require(try await self.row == row, "an old holder changes nothing")
        try await jump(home, -1)
        let again = try await acquired("a")
        try require(try await store.renew(old) == nil, "an old lease of the same holder is lost too")
        try await store.release(again.lease)
    }

    private func checkRelease() async throws {
        let lease = try await acquired("a").lease
        let before = try await row
        try await store.release(lease)
        let after = try await row
        try require(
            after.holder == nil && after.agent == nil && after.isToBeHad && after.renewals > before.renewals,
            "what is given back is free at once, and that is seen")
        try require(try await store.renew(lease) == nil, "what was given back is not renewed")
        let next = try await acquired("b")
        try require(next.wasFree && next.lease.epoch == lease.epoch + 1, "it is acquired as what nobody had")
        try await store.release(next.lease)
    }

    private func checkHonour() async throws {
        let lease = try await acquired("a").lease
        for (freezes, kept) in [(3, 3), (2, 3), (5, 5)] as [(Int64, Int64)] {
            try await store.honour(lease, freezes: freezes)
            try require(try await row.honoured == kept, "the most that was honoured is kept")
        }
        let other = Lease(environment: home, holder: "b", epoch: lease.epoch)
        try await store.honour(other, freezes: 9)
        try require(try await row.honoured == 5, "only the holder honours")
        try await store.release(lease)
        let next = try await acquired("a").lease
        try require(try await row.honoured == 0, "a new holder honours nothing yet")
        try await store.release(next)
    }

    private func checkClocks() async throws {
        let lease = try await acquired("a").lease
        try await jump(home, 86_400)
        try require(try await acquire("b") == nil, "what is valid for a day is not acquired")
        try require(try await store.renew(lease) != nil, "and is renewed")
        try await jump(home, -86_400)
        try require(try await acquire("b")?.wasFree == false, "what has been over for a day is acquired")
        try require(try await store.renew(lease) == nil, "and is lost")
    }

    // MARK: Agents

    private func agent(_ name: String, process: String = "p", version: String = "1") -> AgentRow {
        AgentRow(
            name: name, process: process, version: version, startedAt: .sample, configuration: "hash of \(version)")
    }

    private func found(_ name: String) async throws -> AgentRow? {
        try await store.agents().first { $0.name == name }
    }

    private func checkReports() async throws {
        try require(try await store.agents().isEmpty, "there are no agents before the first report")
        let time = try await store.report(agent("b"))
        try require(abs(time.timeIntervalSinceNow) < 3600, "a report returns the time")
        _ = try await store.report(agent("a"))
        try require(try await store.agents().map(\.name) == ["a", "b"], "agents come by name")
        guard var row = try await found("a") else { throw Violation(description: "an agent is found") }
        try require(row.age >= 0 && row.age < 60, "a report is new")
        row.age = 0
        try require(row == agent("a"), "what an agent says comes back")
        try await silence("a", 90)
        let age = try await found("a")?.age ?? 0
        try require(age >= 90 && age < 150, "a report gets older")
        _ = try await store.report(agent("a", process: "q", version: "2"))
        guard var newer = try await found("a") else { throw Violation(description: "an agent is found") }
        try require(newer.age < 60, "the newest report counts")
        newer.age = 0
        try require(newer == agent("a", process: "q", version: "2"), "a new process says what is true of it")
    }

    private func checkDraining() async throws {
        try require(try await store.drain("nobody", true) == false, "nobody is not drained")
        try require(try await store.drain("b", true), "an agent is drained")
        try require(try await found("b")?.isDraining == true, "and learns of it")
        try require(try await found("a")?.isDraining == false, "alone")
        _ = try await store.report(agent("b"))
        try require(try await found("b")?.isDraining == true, "a report of the same process leaves it so")
        try require(try await store.drain("b", false), "it is ended")
        try require(try await found("b")?.isDraining == false, "and that is so at once")
        _ = try await store.drain("b", true)
        _ = try await store.report(agent("b", process: "next"))
        try require(try await found("b")?.isDraining == false, "the next start ends it")
    }

    private func checkForgetting() async throws {
        try require(try await store.forget("nobody") == false, "nobody is not forgotten")
        try require(try await store.forget("b") == false, "an agent that lives is not forgotten")
        try await silence("b", 61)
        try require(try await store.forget("b"), "one that is gone is")
        try require(try await store.agents().map(\.name) == ["a"], "alone")
    }
}
