import Testing

@testable import ProxmoxVE

/// How much of lists may be in memory, when nobody knows how large the next one is.
@Suite(.timeLimit(.minutes(1)))
struct LargeReadsTests {
    private static let budget = LargeReads.budget

    /// What the next read of the list is taken to cost.
    private func cost(_ reads: LargeReads, _ list: String) async throws -> Int {
        let cost = try #require(await reads.enter(list))
        reads.leave(cost, of: list, found: nil)
        return cost
    }

    @Test func `a list is taken to be as large as it was, whatever others are`() async throws {
        let reads = LargeReads()
        let first = try #require(await reads.enter("/a"))
        #expect(first == Self.budget / 2, "nobody knows yet")
        reads.hold(300_000)
        reads.leave(first, of: "/a", found: 300_000)
        #expect(try await cost(reads, "/a") == 300_000)
        #expect(try await cost(reads, "/b") == Self.budget / 2)
    }

    @Test(arguments: [(0, 64 << 10), (5, 64 << 10), (100 << 20, budget)])
    func `no list is free, and none too large to be read at all`(found: Int, expected: Int) async throws {
        let reads = LargeReads()
        reads.leave(try #require(await reads.enter("/a")), of: "/a", found: found)
        #expect(try await cost(reads, "/a") == expected)
    }

    @Test func `a failure says little about the next one`() async throws {
        let reads = LargeReads()
        reads.leave(try #require(await reads.enter("/a")), of: "/a", found: nil)
        #expect(try await cost(reads, "/a") == Self.budget / 4, "it may be large all the same")
        reads.leave(try #require(await reads.enter("/a")), of: "/a", found: 300_000)
        reads.leave(try #require(await reads.enter("/a")), of: "/a", found: nil)
        #expect(try await cost(reads, "/a") == 300_000, "what was known stays known")
    }

    @Test func `who leaves at the head of the queue lets those behind it in`() async throws {
        let reads = LargeReads()
        for (list, size) in [("/large", Self.budget), ("/small", 1)] {
            reads.leave(try #require(await reads.enter(list)), of: list, found: size)
        }
        let held = try #require(await reads.enter("/new"))
        let head = Task { await reads.enter("/large") }
        while reads.waiting < 1 {
            try Task.checkCancellation()
            await Task.yield()
        }
        let behind = Task { await reads.enter("/small") }
        while reads.waiting < 2 {
            try Task.checkCancellation()
            await Task.yield()
        }
        head.cancel()
        #expect(await head.value == nil)
        #expect(await behind.value == 64 << 10, "there was room for it all the time")
        #expect(reads.waiting == 0)
        reads.leave(held, of: "/new", found: nil)
    }
}
