import AgentModel
import AgentTestSupport
import Testing

@testable import AgentService

/// Who gets the next place for requests that wait for a PVE.
@Suite(.timeLimit(.minutes(1)))
struct EnvironmentPlacesTests {
    /// Places of which `party` has all.
    private func full(
        _ count: Int, by party: String = "alice", patience: Duration = .seconds(600)
    ) async -> EnvironmentPlaces {
        let places = EnvironmentPlaces(count, patience: patience)
        for _ in 0..<count { #expect(await places.enter(party)) }
        return places
    }

    /// Lets a party wait for a place, and returns once it does.
    private func waiting(_ party: String, for places: EnvironmentPlaces) async throws -> Task<Bool, Never> {
        let before = places.queued
        let task = Task { await places.enter(party) }
        while places.queued == before {
            try Task.checkCancellation()
            await Task.yield()
        }
        return task
    }

    @Test func `who is alone may have them all, and no more`() async {
        let places = await full(4)
        #expect(await !places.enter("alice"))
        places.leave("alice")
        #expect(await places.enter("alice"))
    }

    @Test func `the next place goes to who has the fewest, then to who came first`() async throws {
        let places = EnvironmentPlaces(6, patience: .seconds(600))
        for party in ["alice", "alice", "alice", "alice", "alice", "bob"] { #expect(await places.enter(party)) }
        let bob = try await waiting("bob", for: places)
        let carol = try await waiting("carol", for: places)
        let dave = try await waiting("dave", for: places)
        #expect(await !places.enter("alice"), "she has her share")
        for (task, left) in [(carol, 2), (dave, 1), (bob, 0)] {
            places.leave("alice")
            #expect(await task.value)
            #expect(places.queued == left)
        }
        #expect(await !places.enter("bob"), "of six places and four parties he has one and more")
    }

    @Test func `nobody waits for more than an equal share`() async throws {
        let places = await full(8)
        var tasks: [Task<Bool, Never>] = []
        for _ in 0..<4 { tasks.append(try await waiting("bob", for: places)) }
        #expect(await !places.enter("bob"))
        let carol = try await waiting("carol", for: places)
        places.leave("alice")
        #expect(await tasks[0].value, "he came first")
        places.leave("alice")
        #expect(await carol.value, "and then has one already")
        for _ in 0..<3 { places.leave("alice") }
        for task in tasks { #expect(await task.value) }
    }

    @Test func `as many wait as there are places, however many parties they call themselves`() async throws {
        let places = await full(3)
        var tasks: [Task<Bool, Never>] = []
        for name in ["a", "b", "c"] { tasks.append(try await waiting(name, for: places)) }
        #expect(await !places.enter("d"))
        for _ in 0..<3 { places.leave("alice") }
        for task in tasks { #expect(await task.value) }
    }

    @Test func `who leaves the queue has no place, and keeps none from others`() async throws {
        let places = await full(2)
        let bob = try await waiting("bob", for: places)
        let carol = try await waiting("carol", for: places)
        bob.cancel()
        #expect(await !bob.value)
        places.leave("alice")
        #expect(await carol.value)
        places.leave("alice")
        #expect(await places.enter("alice"))
    }

    @Test func `nobody waits longer than is bearable`() async {
        let places = await full(1, patience: .milliseconds(10))
        #expect(await !places.enter("bob"))
        #expect(places.queued == 0)
    }
}
