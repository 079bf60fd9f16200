import Testing

@testable import MicroHTTPD

struct RepeatedLinesTests {
    private static let minute: UInt64 = 60_000_000_000

    @Test func `a line is told once a minute, and then how often it came`() {
        var lines = RepeatedLines()
        func isNew(_ line: String, _ time: UInt64) -> Bool { lines.isNew(line, at: time) }
        func due(_ time: UInt64) -> [String] { lines.due(at: time) }
        #expect(isNew("a", 0))
        #expect(isNew("b", 1))
        #expect(!isNew("a", 2))
        #expect(!isNew("a", 3))
        #expect(due(Self.minute - 1) == [])
        #expect(due(Self.minute + 1) == ["a (2 times more)"])
        #expect(!isNew("a", Self.minute + 2), "told just now")
        #expect(isNew("b", Self.minute + 2), "did not come again")
        #expect(due(2 * Self.minute + 1) == ["a (1 times more)"])
        #expect(due(3 * Self.minute + 1) == [])
        #expect(isNew("a", 3 * Self.minute + 1))
    }

    @Test func `lines that are all different do not fill the memory`() {
        var lines = RepeatedLines()
        var told = 0
        for number in 0..<10_000 where lines.isNew("line \(number)", at: 0) { told += 1 }
        #expect(told == 65)
        let due = lines.due(at: Self.minute)
        #expect(due == ["further lines (9935 times more)"])
    }
}
