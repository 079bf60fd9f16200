import AgentPolicy
import Testing

struct WeeklyWindowTests {
    @Test(arguments: [
        ("sun", "sun"), ("mon-fri", "mon tue wed thu fri"), ("mon-sun", "mon tue wed thu fri sat sun"),
        ("sat-mon", "mon sat sun"), ("sun-sat", "mon tue wed thu fri sat sun"), ("sun-mon", "mon sun"),
        ("", nil), ("mon-", nil), ("-mon", nil), ("mon-mon", nil), ("Mon", nil), ("monday", nil), ("mon-tue-wed", nil),
        ("mon–fri", nil), ("mon - fri", nil), ("mon,tue", nil), ("-", nil), ("*", nil),
    ]) func `days of the week are read`(text: String, days: String?) {
        let set = Weekday.set(parsing: text)
        #expect(set.map { set in Weekday.allCases.filter(set.contains).map(\.rawValue).joined(separator: " ") } == days)
    }

    @Test(arguments: [
        ("00:00", 0), ("06:05", 365), ("23:59", 1439), ("24:00", 1440), ("24:01", nil), ("25:00", nil), ("12:60", nil),
        ("6:00", nil), ("06:0", nil), ("0600", nil), ("06:00:00", nil), ("-1:00", nil), ("+1:00", nil), ("", nil),
        (":", nil), ("٠٦:٠٠", nil), (" 06:00", nil), ("06:00\n", nil),
    ]) func `times of day are read`(text: String, minute: Int?) {
        #expect(WeeklyWindow.minute(parsing: text) == minute)
    }

    @Test func `a window or a period that would be empty cannot be made`() throws {
        #expect(WeeklyWindow(days: [], from: 0, to: 60) == nil)
        for (from, to) in [(0, 0), (60, 60), (1440, 60), (-1, 60), (0, 1441), (0, -1), (.min, .max)] {
            #expect(WeeklyWindow(days: [.mon], from: from, to: to) == nil)
        }
        let noon = try #require(LocalTime(parsing: "2026-01-01T12:00"))
        let midnight = try #require(LocalTime(parsing: "2026-01-01T24:00"))
        let nextDay = try #require(LocalTime(parsing: "2026-01-02T00:00"))
        #expect(ChangeSchedule.Period(from: noon, to: noon) == nil)
        #expect(ChangeSchedule.Period(from: midnight, to: noon) == nil)
        #expect(ChangeSchedule.Period(from: midnight, to: nextDay) == nil)
    }

    @Test(
        arguments: [
            ([], nil), (["mon 08:00-10:00"], nil), (["mon-fri 22:00-06:00"], nil), (["mon-sun 00:00-24:00"], nil),
            (["mon 08:00-10:00", "mon 10:00-12:00"], nil), (["mon 08:00-10:00", "tue 08:00-10:00"], nil),
            (["mon 08:00-10:00", "mon 09:59-12:00"], [0, 1]), (["mon 08:00-10:00", "mon 08:00-10:00"], [0, 1]),
            (["mon-fri 22:00-06:00", "sat 06:00-08:00"], nil), (["mon-fri 22:00-06:00", "sat 05:59-08:00"], [0, 1]),
            (["mon 00:00-06:00", "sun 22:00-00:00"], nil), (["mon 00:00-06:00", "sun 22:00-00:01"], [0, 1]),
            (["wed 12:00-13:00", "mon 00:00-06:00", "tue 01:00-02:00", "sun 22:00-02:00"], [1, 3]),
            (["sun 23:00-01:00", "mon 02:00-03:00", "sun 00:00-24:00"], [0, 2]),
        ] as [([String], [Int]?)])
    func `windows that overlap are found on the clock of the week`(windows: [String], places: [Int]?) throws {
        let overlap = ChangeSchedule.overlap(in: try windows.map(WeeklyWindow.sample))
        #expect(overlap.map { [$0.0, $0.1] } == places)
    }
}
