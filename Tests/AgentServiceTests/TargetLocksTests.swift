import AgentTestSupport
import Synchronization
import Testing

@testable import AgentService

@Suite(.timeLimit(.minutes(1)))
struct TargetLocksTests {
    /// Counts who is inside, name by name, and who has left.
    private final class Room: Sendable {
        private let state = Mutex((inside: [String: Int](), left: 0))

        var left: Int { state.withLock { $0.left } }

        /// Whether nobody else is inside under any of the names.
        func enter(_ names: Set<String>) -> Bool {
            state.withLock { state in
                for name in names { state.inside[name, default: 0] += 1 }
                return names.allSatisfy { state.inside[$0] == 1 }
            }
        }

        func leave(_ names: Set<String>) {
            state.withLock { state in
                for name in names { state.inside[name, default: 0] -= 1 }
                state.left += 1
            }
        }
    }

    @Test func `free locks are held at once, taken ones are waited for in order`() async {
        let locks = TargetLocks()
        let first = locks.enter(["a"])
        let second = locks.enter(["a"])
        let third = locks.enter(["a"])
        let other = locks.enter(["b"])
        #expect([first, second, third, other].map(\.ahead) == [0, 1, 2, 0])
        #expect(await locks.wait(for: first))
        locks.leave(first)
        #expect(await locks.wait(for: second))
        locks.leave(second)
        #expect(await locks.wait(for: third))
        locks.leave(third)
        #expect(locks.enter(["a"]).ahead == 0)
    }

    @Test func `whoever waits for two is not overtaken on either`() async {
        let locks = TargetLocks()
        let a = locks.enter(["a"])
        let both = locks.enter(["a", "b"])
        let b = locks.enter(["b"])
        #expect(b.ahead > 0, "b is free, but promised")
        locks.leave(a)
        #expect(await locks.wait(for: both))
        locks.leave(both)
        #expect(await locks.wait(for: b))
    }

    @Test func `who may pass the holder shares its locks before all who wait, and keeps them from the others`() async {
        let locks = TargetLocks()
        let slot = TargetLocks.Slot(name: "home", limit: 1)
        let holder = locks.enter(["a"], slot: slot)
        let waiter = locks.enter(["a"], slot: slot)
        let passing = locks.enter(["a"], slot: slot, passing: holder)
        #expect(passing.ahead == 0)
        #expect(locks.enter(["a"], passing: waiter).ahead > 0, "only past who holds them alone")
        locks.leave(holder)
        #expect(locks.position(of: waiter) == 1, "it waits for the one that passed as well")
        locks.leave(passing)
        #expect(await locks.wait(for: waiter))
        #expect(locks.enter(["b"], slot: slot).ahead > 0, "the slot of the one that passed was never its own")
    }

    @Test func `a place given up is a place gained by those behind`() async {
        let locks = TargetLocks()
        let a = locks.enter(["a"])
        let both = locks.enter(["a", "b"])
        let b = locks.enter(["b"])
        async let answer = locks.wait(for: both)
        #expect(locks.withdraw(both))
        #expect(await !answer)
        #expect(await locks.wait(for: b))
        #expect(!locks.withdraw(both), "only once")
        #expect(!locks.withdraw(a), "what is held is left, not withdrawn")
        locks.leave(a)
        locks.leave(b)
        #expect(locks.enter(["a", "b"]).ahead == 0)
    }

    @Test func `a lock granted before anybody waited for it can be left all the same`() async {
        let locks = TargetLocks()
        let first = locks.enter(["a"])
        let second = locks.enter(["a"])
        locks.leave(first)
        #expect(!locks.withdraw(second), "it is held by now")
        locks.leave(second)
        #expect(locks.enter(["a"]).ahead == 0)
    }

    @Test func `many tasks on few names never meet, and all get through`() async {
        let locks = TargetLocks()
        let names = ["a", "b", "c", "d"]
        let room = Room()
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<1000 {
                group.addTask {
                    let wanted: Set = [names[number % 4], names[(number / 4) % 4]]
                    let ticket = locks.enter(wanted)
                    if number.isMultiple(of: 17), ticket.ahead > 0, locks.withdraw(ticket) {
                        return room.leave([])
                    }
                    #expect(await locks.wait(for: ticket))
                    #expect(room.enter(wanted))
                    await Task.yield()
                    room.leave(wanted)
                    locks.leave(ticket)
                }
            }
        }
        #expect(room.left == 1000)
        #expect(locks.enter(Set(names)).ahead == 0)
    }
}
