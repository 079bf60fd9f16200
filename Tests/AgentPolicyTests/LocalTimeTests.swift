import AgentPolicy
import Testing

struct LocalTimeTests {
    @Test(arguments: [
        ("1970-01-01T00:00", 0, Weekday.thu, 0), ("2000-02-29T12:34", 11_016, .tue, 754),
        ("2026-12-24T24:00", 20_811, .thu, 1440), ("2199-12-31T23:59", 84_005, .tue, 1439),
    ]) func `a local time is read, and written the same`(text: String, day: Int, weekday: Weekday, minute: Int) throws {
        let local = try #require(LocalTime(parsing: text))
        #expect(local.description == text)
        #expect(local.dayNumber == day)
        #expect(local.weekday == weekday)
        #expect(local.minuteOfDay == minute)
        #expect(local.minutes == day * 1440 + minute)
        #expect(LocalTime(dayNumber: day, minuteOfDay: minute) == local)
    }

    @Test(arguments: [
        "", "2026-12-24", "2026-12-24T", "2026-12-24T0:00", "2026-12-24T00:00:00", "2026-12-24T00:00Z",
        "2026-12-24 00:00",
        "2026-12-24t00:00", "2026-1-24T00:00", "26-12-24T00:00", "2026-13-01T00:00", "2026-00-01T00:00",
        "2026-02-29T00:00", "2100-02-29T00:00", "2026-04-31T00:00", "2026-01-00T00:00", "2026-01-01T24:01",
        "2026-01-01T25:00", "2026-01-01T12:60", "1969-12-31T00:00", "2200-01-01T00:00", "+026-01-01T00:00",
        "2026-01-01T-1:00", "２026-01-01T00:00", " 2026-01-01T00:00", "2026-01-01T00:00T",
    ]) func `a text of another form, or a date that does not exist, is no local time`(text: String) {
        #expect(LocalTime(parsing: text) == nil)
    }

    @Test func `days are counted over leap years, and end with the known years`() throws {
        var local = try #require(LocalTime(parsing: "1970-01-01T08:00"))
        var days = 1
        while let next = local.adding(days: 1) {
            #expect(next.dayNumber == local.dayNumber + 1)
            #expect(next.weekday.index == (local.weekday.index + 1) % 7)
            local = next
            days += 1
        }
        #expect(local.description == "2199-12-31T08:00")
        // 230 years, of which 56 are leap years: every fourth from 1972 to 2196, without 2100.
        #expect(days == 230 * 365 + 56)
        #expect(local.adding(days: 1 - days)?.description == "1970-01-01T08:00")
        #expect(local.adding(days: .max) == nil)
        #expect(local.adding(days: .min) == nil)
        #expect(LocalTime(year: .max, month: 1, day: 1, minuteOfDay: 0) == nil)
        #expect(LocalTime(dayNumber: 0, minuteOfDay: 1441) == nil)
    }
}
