import AgentPolicy
import FoundationEssentials
import Testing

struct ChangeScheduleTests {
    private static func period(_ from: String, _ to: String, _ reason: String? = nil) throws -> ChangeSchedule.Period {
        let bounds = (try #require(LocalTime(parsing: from)), try #require(LocalTime(parsing: to)))
        return try #require(ChangeSchedule.Period(from: bounds.0, to: bounds.1, reason: reason))
    }

    private static func schedule(
        _ zone: String = "Europe/Berlin", weekly: [String] = [], open: [ChangeSchedule.Period] = [],
        closed: [ChangeSchedule.Period] = []
    ) throws -> ChangeSchedule {
        ChangeSchedule(
            zone: try SampleZone.named(zone), weekly: try weekly.map(WeeklyWindow.sample), open: open, closed: closed)
    }

    // MARK: Windows of every week

    /// A window, a span in UTC, and when it is open in the span.
    static let windows: [(String, String, String, [String])] = [
        // A usual night, at the end of the week too: Friday's window lasts until Saturday, Sunday has none.
        (
            "Europe/Berlin", "mon-fri 22:00-06:00", "2026-07-02/2026-07-07",
            [
                "07-02T00:00 07-02T04:00", "07-02T20:00 07-03T04:00", "07-03T20:00 07-04T04:00",
                "07-06T20:00 07-07T00:00",
            ]
        ),
        ("Asia/Kolkata", "wed 00:00-24:00", "2026-06-29/2026-07-06", ["06-30T18:30 07-01T18:30"]),
        ("UTC", "sat-sun 00:00-24:00", "2026-06-29/2026-07-08", ["07-04T00:00 07-06T00:00"]),
        ("UTC", "sun 23:59-00:00", "2026-06-29/2026-07-08", ["07-05T23:59 07-06T00:00"]),
        // Over the changes of a year, an hour shorter and an hour longer.
        ("Europe/Berlin", "sat 22:00-06:00", "2026-03-27/2026-03-31", ["03-28T21:00 03-29T04:00"]),
        ("Europe/Berlin", "sat 22:00-06:00", "2026-10-23/2026-10-27", ["10-24T20:00 10-25T05:00"]),
        ("America/St_Johns", "sat 22:00-06:00", "2026-03-06/2026-03-10", ["03-08T01:30 03-08T08:30"]),
        ("America/St_Johns", "sat 22:00-06:00", "2026-10-30/2026-11-03", ["11-01T00:30 11-01T09:30"]),
        // A boundary that the clock skips is the jump; a window that it skips does not open.
        ("Europe/Berlin", "sun 01:00-02:30", "2026-03-28/2026-03-31", ["03-29T00:00 03-29T01:00"]),
        ("Europe/Berlin", "sun 02:30-04:00", "2026-03-28/2026-03-31", ["03-29T01:00 03-29T02:00"]),
        ("Europe/Berlin", "sun 02:15-02:45", "2026-03-28/2026-03-31", []),
        ("America/St_Johns", "sun 01:00-02:30", "2026-03-07/2026-03-10", ["03-08T04:30 03-08T05:30"]),
        ("America/St_Johns", "sun 02:30-04:00", "2026-03-07/2026-03-10", ["03-08T05:30 03-08T06:30"]),
        ("America/St_Johns", "sun 02:00-03:00", "2026-03-07/2026-03-10", []),
        ("Australia/Lord_Howe", "sun 02:15-03:00", "2026-10-03/2026-10-06", ["10-03T15:30 10-03T16:00"]),
        ("America/Nuuk", "sat 23:00-24:00", "2026-03-27/2026-03-31", []),
        ("Pacific/Apia", "thu 22:00-06:00", "2011-12-29/2012-01-02", ["12-30T08:00 12-30T10:00"]),
        ("Pacific/Apia", "fri 08:00-12:00", "2011-12-29/2012-01-02", []),
        // One that it shows twice is the first of the two.
        ("Europe/Berlin", "sun 01:00-02:30", "2026-10-24/2026-10-27", ["10-24T23:00 10-25T00:30"]),
        ("Europe/Berlin", "sun 02:30-04:00", "2026-10-24/2026-10-27", ["10-25T00:30 10-25T03:00"]),
        ("Europe/Berlin", "sun 02:15-02:45", "2026-10-24/2026-10-27", ["10-25T00:15 10-25T00:45"]),
        ("America/St_Johns", "sun 00:00-01:30", "2026-10-31/2026-11-03", ["11-01T02:30 11-01T04:00"]),
        ("America/St_Johns", "sun 01:30-03:00", "2026-10-31/2026-11-03", ["11-01T04:00 11-01T06:30"]),
        ("Australia/Lord_Howe", "sun 01:45-02:15", "2026-04-04/2026-04-07", ["04-04T14:45 04-04T15:45"]),
        ("America/Nuuk", "sat 23:00-24:00", "2026-10-23/2026-10-27", ["10-25T00:00 10-25T02:00"]),
    ]

    @Test(arguments: windows)
    func `a weekly window follows the clock`(zone: String, window: String, span: String, open: [String]) throws {
        let schedule = try Self.schedule(zone, weekly: [window])
        let days = span.split(separator: "/").map(String.init)
        let ranges = try open.map { text in
            let ends = try text.split(separator: " ").map { try utc("\(span.prefix(5))\($0):00") }
            return ends[0]..<ends[1]
        }
        let start = try utc("\(days[0])T00:00:00")
        #expect(schedule.intervals(from: start, to: try utc("\(days[1])T00:00:00")) == ranges)
        for range in ranges where range.lowerBound > start {
            #expect(!schedule.isOpen(at: range.lowerBound - 0.5))
            #expect(schedule.isOpen(at: range.lowerBound))
            #expect(schedule.isOpen(at: range.upperBound - 0.5))
            #expect(schedule.nextOpening(after: range.lowerBound - 1800) == range.lowerBound)
            #expect(schedule.closing(after: range.lowerBound) == range.upperBound || days[1] == "2026-07-07")
        }
        if ranges.isEmpty { #expect(try #require(schedule.nextOpening(after: start)) > start + 5 * 86_400) }
    }

    /// St John's changed its clocks one minute after midnight until 2011: at 00:01 on Sunday to 23:01 on Saturday.
    @Test func `a window that has begun goes on when the clock goes back to the day before`() throws {
        let zone = try SampleZone.made("NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01")
        let sunday = ChangeSchedule(zone: zone, weekly: [try WeeklyWindow.sample("sun 00:00-06:00")])
        let saturday = ChangeSchedule(zone: zone, weekly: [try WeeklyWindow.sample("sat 20:00-24:00")])
        let again = try utc("2010-11-07T03:00:00")
        #expect(zone.localTime(at: again)?.description == "2010-11-06T23:30")
        #expect(sunday.isOpen(at: again))
        #expect(!saturday.isOpen(at: again))
        #expect(sunday.intervals(from: again, to: again + 86_400) == [again..<(try utc("2010-11-07T09:30:00"))])
        #expect(saturday.closing(after: try utc("2010-11-07T02:29:00")) == (try utc("2010-11-07T02:30:00")))
    }

    // MARK: Dated openings and closings

    @Test func `a dated opening opens, and a dated closing wins over everything`() throws {
        let schedule = try Self.schedule(
            weekly: ["mon-fri 22:00-06:00"],
            open: [
                Self.period("2026-12-24T08:00", "2026-12-24T12:00"),
                Self.period("2026-12-23T20:00", "2026-12-23T22:30"),
            ],
            closed: [Self.period("2026-12-24T10:00", "2027-01-02T00:00", "holidays")])
        let ranges = schedule.intervals(from: try utc("2026-12-23T12:00:00"), to: try utc("2027-01-05T12:00:00"))
        let expected = [
            ("2026-12-23T19:00:00", "2026-12-24T05:00:00"), ("2026-12-24T07:00:00", "2026-12-24T09:00:00"),
            ("2027-01-01T23:00:00", "2027-01-02T05:00:00"), ("2027-01-04T21:00:00", "2027-01-05T05:00:00"),
        ]
        #expect(ranges == (try expected.map { try utc($0)..<utc($1) }))
        // Friday's window would have opened at 21:00 in UTC.
        let closed = try utc("2026-12-24T09:00:00")
        #expect(schedule.nextOpening(after: closed) == (try utc("2027-01-01T23:00:00")))
        #expect(schedule.closedReason(at: closed) == "holidays")
        #expect(schedule.closedReason(at: closed - 1) == nil)
        #expect(schedule.closedReason(at: try utc("2027-01-01T22:59:59")) == "holidays")
        #expect(schedule.closedReason(at: try utc("2027-01-01T23:00:00")) == nil)
        #expect(schedule.closing(after: closed) == nil)
    }

    @Test func `the next opening lies behind a closing of two weeks`() throws {
        let schedule = try Self.schedule(
            weekly: ["sun 02:00-04:00"], closed: [Self.period("2026-10-12T00:00", "2026-10-26T00:00")])
        let before = try utc("2026-10-11T02:00:00")
        #expect(schedule.nextOpening(after: before) == (try utc("2026-11-01T01:00:00")))
        #expect(schedule.nextOpening(after: before - 1) == before - 1)
        #expect(schedule.closing(after: before - 1) == before)
        #expect(schedule.closedReason(at: before + 5 * 86_400) == nil)
    }

    @Test func `a closing cuts a window at both ends, and into two`() throws {
        let closings = [
            ("2026-07-01T21:00", "2026-07-01T23:00"), ("2026-07-02T01:00", "2026-07-02T02:00"),
            ("2026-07-02T01:30", "2026-07-02T02:30"), ("2026-07-02T05:59", "2026-07-02T24:00"),
        ]
        let schedule = try Self.schedule(
            "UTC", weekly: ["wed 22:00-06:00"], closed: closings.map { try Self.period($0, $1) })
        let expected = [
            ("2026-07-01T23:00:00", "2026-07-02T01:00:00"), ("2026-07-02T02:30:00", "2026-07-02T05:59:00"),
        ]
        let found = schedule.intervals(from: try utc("2026-07-01T00:00:00"), to: try utc("2026-07-04T00:00:00"))
        #expect(found == (try expected.map { try utc($0)..<utc($1) }))
    }

    @Test(arguments: [("2026-03-29T02:15", "2026-03-29T02:45", 0), ("2026-10-25T02:15", "2026-10-25T03:15", 7200.0)])
    func `dated times skip and repeat as the clock does`(from: String, to: String, length: Double) throws {
        let period = try Self.period(from, to)
        let opened = try Self.schedule(open: [period])
        let closed = try Self.schedule(weekly: ["mon-sun 00:00-24:00"], closed: [period])
        let (start, end) = (try utc("2026-03-01T00:00:00"), try utc("2026-11-01T00:00:00"))
        let ranges = opened.intervals(from: start, to: end)
        #expect(ranges.map { $0.upperBound.timeIntervalSince($0.lowerBound) } == (length > 0 ? [length] : []))
        #expect(closed.intervals(from: start, to: end).count == ranges.count + 1)
        #expect(closed.closing(after: start) == ranges.first?.lowerBound)
    }

    // MARK: Bounds

    @Test func `what is more than 400 days away is not found`() throws {
        let start = try utc("2026-01-01T00:00:00")
        let never = try Self.schedule("UTC")
        #expect(never.nextOpening(after: start) == nil)
        #expect(never.closing(after: start) == nil)
        let always = try Self.schedule("UTC", weekly: ["mon-sun 00:00-24:00"])
        #expect(always.nextOpening(after: start) == start)
        #expect(always.closing(after: start) == nil)
        // 400 days later it is the 5th of February 2027.
        let open = try Self.schedule("UTC", open: [Self.period("2027-02-05T00:00", "2030-01-01T00:00")])
        #expect(open.nextOpening(after: start) == nil)
        #expect(open.nextOpening(after: start + 1) == start + 400 * 86_400)
        let closed = try Self.schedule(
            "UTC", weekly: ["mon-sun 00:00-24:00"], closed: [Self.period("2027-02-04T23:59", "2030-01-01T00:00")])
        #expect(closed.closing(after: start) == start + 400 * 86_400 - 60)
        #expect(closed.closing(after: start - 86_400) == nil)
    }

    @Test func `a moment within a second counts as that second`() throws {
        let schedule = try Self.schedule("UTC", weekly: ["thu 08:00-09:00"])
        let opening = try utc("2026-01-01T08:00:00")
        let within = opening + 0.25
        #expect(schedule.nextOpening(after: within) == within)
        #expect(schedule.nextOpening(after: opening - 0.25) == opening)
        #expect(schedule.intervals(from: within, to: within + 0.5) == [within..<within + 0.5])
        #expect(schedule.intervals(from: within, to: within) == [])
        #expect(schedule.intervals(from: opening - 60, to: opening) == [])
        #expect(schedule.intervals(from: opening + 3600, to: opening + 7200) == [])
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity, 1e300, -1e300, 1e11, -1e11])
    func `outside the known years it is closed, and nothing traps`(seconds: Double) throws {
        let date = Date(timeIntervalSince1970: seconds)
        let schedule = try Self.schedule(weekly: ["mon-sun 00:00-24:00"])
        #expect(!schedule.isOpen(at: date))
        #expect(schedule.closing(after: date) == nil)
        #expect(schedule.closedReason(at: date) == nil)
        #expect(schedule.nextOpening(after: date) == nil)
        #expect(schedule.intervals(from: date, to: date) == [])
    }

    @Test func `a span without bounds has the known years, and no more than the most intervals`() throws {
        let always = try Self.schedule("UTC", weekly: ["mon-sun 00:00-24:00"])
        let all = always.intervals(from: .distantPast, to: .distantFuture)
        #expect(all == [(try utc("1970-01-01T00:00:00"))..<(try utc("2200-01-01T00:00:00"))])
        let daily = try Self.schedule("UTC", weekly: ["mon-sun 00:00-01:00"])
        let many = daily.intervals(from: .distantPast, to: .distantFuture)
        #expect(many.count == ChangeSchedule.mostIntervals)
        #expect(many.last?.lowerBound == Date(timeIntervalSince1970: 9999 * 86_400))
    }

    // MARK: Agreement

    @Test(
        arguments: ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "America/Nuuk"], [1, 2, 3] as [UInt64])
    func `intervals, openings and closings agree with each moment`(zone: String, seed: UInt64) throws {
        var random = Seeded(state: seed)
        let start = try utc("2026-02-20T00:00:00")
        let newYear = try #require(LocalTime(parsing: "2026-01-01T00:00"))
        func periods(_ count: Int) throws -> [ChangeSchedule.Period] {
            try (0..<count).map { _ in
                let day = try #require(newYear.adding(days: Int.random(in: 40...330, using: &random))).dayNumber
                let minute = 15 * Int.random(in: 0...95, using: &random)
                let from = try #require(LocalTime(dayNumber: day, minuteOfDay: minute))
                let to = try #require(from.adding(days: Int.random(in: 1...4, using: &random)))
                return try #require(ChangeSchedule.Period(from: from, to: to))
            }
        }
        let weekly = (0..<3).compactMap { _ in
            WeeklyWindow(
                days: Set(Weekday.allCases.filter { _ in Bool.random(using: &random) }),
                from: 15 * Int.random(in: 0...95, using: &random), to: 15 * Int.random(in: 0...96, using: &random))
        }
        let schedule = ChangeSchedule(
            zone: try SampleZone.named(zone), weekly: weekly, open: try periods(5), closed: try periods(10))

        let ranges = schedule.intervals(from: start, to: start + 271 * 86_400)
        #expect(ranges.count > 10)
        for range in ranges.dropLast() {
            #expect(schedule.isOpen(at: range.lowerBound))
            #expect(schedule.isOpen(at: range.upperBound - 1))
            #expect(!schedule.isOpen(at: range.upperBound))
            #expect(schedule.closing(after: range.lowerBound) == range.upperBound)
        }
        for (one, next) in zip(ranges, ranges.dropFirst()) {
            #expect(one.upperBound < next.lowerBound)
            #expect(!schedule.isOpen(at: next.lowerBound - 1))
            #expect(schedule.nextOpening(after: one.upperBound) == next.lowerBound)
            #expect(schedule.closing(after: one.upperBound) == nil)
        }
        for step in 0..<270 * 4 {
            let date = start + Double(step * 21_650)
            #expect(schedule.isOpen(at: date) == ranges.contains { $0.contains(date) }, "\(date)")
        }
    }

    // MARK: Texts

    @Test func `a schedule describes itself in one line`() throws {
        #expect(try Self.schedule(weekly: ["mon-fri 22:00-06:00"]).description == "mon-fri 22:00-06:00 (Europe/Berlin)")
        #expect(try Self.schedule("UTC").description == "never (UTC)")
        let schedule = try Self.schedule(
            "UTC", weekly: ["sat-mon 00:00-24:00", "wed 08:00-09:30", "mon,wed-fri 12:00-13:00"],
            open: [Self.period("2026-12-01T08:00", "2026-12-01T24:00")],
            closed: [Self.period("2026-12-24T00:00", "2027-01-02T00:00", "Weihnachten – frei")])
        #expect(
            schedule.description == """
                mon,sat-sun 00:00-24:00, mon,wed-fri 12:00-13:00, wed 08:00-09:30 (UTC); \
                open 2026-12-01T08:00 to 2026-12-01T24:00; closed 2026-12-24T00:00 to 2027-01-02T00:00
                """)
        #expect(try schedule.weekly.map { try WeeklyWindow.sample($0.description) } == schedule.weekly)
    }

    @Test func `schedules are equal whatever the order of their parts`() throws {
        let periods = [
            try Self.period("2026-12-01T08:00", "2026-12-01T12:00"),
            try Self.period("2026-12-01T08:00", "2027-01-01T00:00"),
        ]
        let windows = ["mon 08:00-09:00", "mon,tue 08:00-09:00", "sun 08:00-09:00", "mon 07:00-09:00"]
        let one = try Self.schedule(weekly: windows, open: periods, closed: periods)
        let other = try Self.schedule(weekly: windows.reversed(), open: periods.reversed(), closed: periods.reversed())
        #expect(one == other)
        #expect(one.hashValue == other.hashValue)
        #expect(one.description == other.description)
        #expect(one != (try Self.schedule("UTC", weekly: windows, open: periods, closed: periods)))
    }
}
