import AgentPolicy
import FoundationEssentials
import Testing

struct TimeZoneRulesTests {
    // MARK: Offsets

    /// What `TZ=zone date -d @… +%::z` says.
    static let offsets: [(String, [(String, Int)])] = [
        (
            "Europe/Berlin",
            [
                ("1970-01-01T00:00:00", 3600), ("2026-03-29T00:59:59", 3600), ("2026-03-29T01:00:00", 7200),
                ("2026-10-25T00:59:59", 7200), ("2026-10-25T01:00:00", 3600), ("2039-03-27T00:59:59", 3600),
                ("2039-03-27T01:00:00", 7200), ("2199-07-01T00:00:00", 7200), ("2199-12-01T00:00:00", 3600),
            ]
        ),
        (
            "America/St_Johns",
            [
                ("2026-03-08T05:29:59", -12600), ("2026-03-08T05:30:00", -9000), ("2026-11-01T04:29:59", -9000),
                ("2026-11-01T04:30:00", -12600), ("2100-07-01T00:00:00", -9000),
            ]
        ),
        (
            "Australia/Lord_Howe",
            [
                ("2026-04-04T14:59:59", 39600), ("2026-04-04T15:00:00", 37800), ("2026-10-03T15:29:59", 37800),
                ("2026-10-03T15:30:00", 39600), ("2150-01-01T00:00:00", 39600),
            ]
        ),
        ("Asia/Kolkata", [("1970-01-01T00:00:00", 19800), ("2199-12-31T00:00:00", 19800)]),
        ("UTC", [("1970-01-01T00:00:00", 0), ("2199-12-31T00:00:00", 0)]),
        (
            "Pacific/Apia",
            [("2011-12-30T09:59:59", -36000), ("2011-12-30T10:00:00", 50400), ("2026-06-01T00:00:00", 46800)]
        ),
        (
            "America/Nuuk",
            [
                ("2026-03-29T00:59:59", -7200), ("2026-03-29T01:00:00", -3600), ("2030-10-27T00:59:59", -3600),
                ("2030-10-27T01:00:00", -7200),
            ]
        ),
        // Morocco leaves its standard time in Ramadan: its file lists every change, and its footer none.
        (
            "Africa/Casablanca",
            [
                ("2026-02-15T01:59:59", 3600), ("2026-02-15T02:00:00", 0), ("2026-03-22T01:59:59", 0),
                ("2026-03-22T02:00:00", 3600), ("2190-01-01T00:00:00", 3600),
            ]
        ),
        ("Asia/Gaza", [("2100-01-01T00:00:00", 7200), ("2100-07-01T00:00:00", 10800)]),
        (
            "Europe/Dublin",
            [
                ("2026-01-01T00:00:00", 0), ("2026-07-01T00:00:00", 3600), ("2050-01-01T00:00:00", 0),
                ("2050-07-01T00:00:00", 3600),
            ]
        ),
        (
            "Africa/Cairo",
            [
                ("2040-04-26T21:59:59", 7200), ("2040-04-26T22:00:00", 10800), ("2040-10-25T20:59:59", 10800),
                ("2040-10-25T21:00:00", 7200),
            ]
        ),
    ]

    @Test(arguments: offsets) func `a zone has the offsets that date prints`(zone: String, rows: [(String, Int)]) throws
    {
        for file in [try SampleZone.bytes(zone), try SampleZone.madeFile(zone)] {
            let rules = try TimeZoneRules(name: zone, parsing: file)
            for (time, offset) in rows { #expect(rules.offset(at: try utc(time)) == offset, "\(time)") }
        }
    }

    static let footers: [(String, [(String, Int)])] = [
        // Day 60 without leap days is the 1st of March in every year; with them, it is the 29th of February or 1 March.
        (
            "AAA0BBB,J60/0,J61/0",
            [("2027-02-28T23:59:59", 0), ("2027-03-01T00:00:00", 3600), ("2028-02-29T12:00:00", 0)]
        ),
        (
            "AAA0BBB,59/0,60/0",
            [("2027-03-01T00:00:00", 3600), ("2028-02-29T00:00:00", 3600), ("2028-03-01T12:00:00", 0)]
        ),
        // Daylight-saving time all year, as RFC 9636 writes it.
        (
            "EST5EDT,0/0,J365/25",
            [("2026-01-01T04:59:59", -14400), ("2026-01-01T05:00:00", -14400), ("2026-07-01T00:00:00", -14400)]
        ),
        // Hours up to a week beyond the day: the 4th of April minus 167 hours, and the 1st of October plus 167 hours.
        (
            "AAA0BBB,J94/-167,J274/167",
            [
                ("2026-03-28T00:59:59", 0), ("2026-03-28T01:00:00", 3600), ("2026-10-07T21:59:59", 3600),
                ("2026-10-07T22:00:00", 0),
            ]
        ),
        // Over the new year, and by half an hour.
        (
            "<AA+1>+11:30:30<BB-2>+11:00:30,M12.5.6/24,M1.1.1/0",
            [
                ("2026-12-27T11:30:29", -41430), ("2026-12-27T11:30:30", -39630), ("2027-01-04T11:00:29", -39630),
                ("2027-01-04T11:00:30", -41430),
            ]
        ),
        // Still on in the week after its year.
        ("AAA0BBB,J200/0,J365/167", [("2027-01-06T12:00:00", 3600), ("2027-01-07T00:00:00", 0)]),
    ]

    @Test(arguments: footers) func `a footer says when clocks change`(footer: String, rows: [(String, Int)]) throws {
        let rules = try SampleZone.made(footer)
        for (time, offset) in rows { #expect(rules.offset(at: try utc(time)) == offset, "\(time)") }
    }

    @Test func `a footer goes on after the last transition, and holds for ever in a file without any`() throws {
        // On the 15th of January; south of the equator, daylight-saving time ends in April of the same year.
        let rules = try TimeZoneRules(
            name: "Test",
            parsing: SampleZone.file(
                first: 60, [(1_768_435_200, 39600)], footer: "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"))
        for (time, offset) in [
            ("1850-01-01T00:00:00", 60), ("2026-01-14T23:59:59", 60), ("2026-01-15T00:00:00", 39600),
            ("2026-04-04T15:00:00", 37800), ("2026-10-03T15:30:00", 39600),
        ] { #expect(rules.offset(at: try utc(time)) == offset, "\(time)") }
        let fixed = try TimeZoneRules(name: "Test", parsing: SampleZone.file(first: 60, footer: "IST-5:30"))
        #expect(fixed.offset(at: .distantPast) == 19800)
        #expect(fixed.offset(at: .distantFuture) == 19800)
    }

    @Test func `a file of version 1 keeps its last offset, and version 2 ignores the first block`() throws {
        let changes = [(1000, 3600), (2000, -7200)]
        let old = SampleZone.block("\0", size: 4, first: 60, changes)
        let rules = try TimeZoneRules(name: "Old", parsing: old)
        let seconds = [-5.0, 999.9, 1000, 1999, 2000, 1e12]
        #expect(
            seconds.map { rules.offset(at: Date(timeIntervalSince1970: $0)) } == [60, 60, 3600, 3600, -7200, -7200])

        let both = SampleZone.block("3", size: 4, first: 60, changes) + SampleZone.block("3", size: 8, first: 5, [])
        let new = try TimeZoneRules(name: "New", parsing: both + Array("\n\nand more of a later version".utf8))
        #expect(new.offset(at: Date(timeIntervalSince1970: 1500)) == 5)
        #expect(try TimeZoneRules(name: "New", parsing: both + Array("\n\n".utf8)) == new)
        #expect(new != rules)
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity, 1e300, -1e300, 9.3e15, -9.3e15])
    func `no date traps`(seconds: Double) throws {
        let rules = try SampleZone.named("Europe/Berlin")
        let date = Date(timeIntervalSince1970: seconds)
        #expect(abs(rules.offset(at: date)) <= 7200)
        #expect(rules.localTime(at: date) == nil)
    }

    // MARK: Local times

    /// Usual times, the jumps over 02:30 in March and over a whole day, and times that clocks show twice.
    static let instants = [
        ("UTC", "2026-03-29T02:30", "2026-03-29T02:30:00"), ("UTC", "2026-03-29T24:00", "2026-03-30T00:00:00"),
        ("Europe/Berlin", "2026-07-01T12:00", "2026-07-01T10:00:00"),
        ("Europe/Berlin", "2026-03-29T01:59", "2026-03-29T00:59:00"),
        ("Europe/Berlin", "2026-03-29T02:00", "2026-03-29T01:00:00"),
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:00:00"),
        ("Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00:00"),
        ("Europe/Berlin", "2026-03-29T03:01", "2026-03-29T01:01:00"),
        ("Europe/Berlin", "2026-10-25T02:00", "2026-10-25T00:00:00"),
        ("Europe/Berlin", "2026-10-25T02:59", "2026-10-25T00:59:00"),
        ("Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00:00"),
        ("Europe/Berlin", "2199-12-31T24:00", "2199-12-31T23:00:00"),
        ("America/St_Johns", "2026-03-08T02:30", "2026-03-08T05:30:00"),
        ("America/St_Johns", "2026-03-08T03:00", "2026-03-08T05:30:00"),
        ("America/St_Johns", "2026-11-01T01:00", "2026-11-01T03:30:00"),
        ("America/St_Johns", "2026-11-01T01:30", "2026-11-01T04:00:00"),
        ("America/St_Johns", "2026-11-01T02:00", "2026-11-01T05:30:00"),
        ("Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04T14:45:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30:00"),
        ("Asia/Kolkata", "1970-01-01T00:00", "1969-12-31T18:30:00"),
        ("Pacific/Apia", "2011-12-29T23:59", "2011-12-30T09:59:00"),
        ("Pacific/Apia", "2011-12-30T00:00", "2011-12-30T10:00:00"),
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00:00"),
        ("Pacific/Apia", "2011-12-31T00:00", "2011-12-30T10:00:00"),
        ("Pacific/Apia", "2011-12-31T00:01", "2011-12-30T10:01:00"),
        ("America/Nuuk", "2026-03-28T23:30", "2026-03-29T01:00:00"),
        ("America/Nuuk", "2026-10-24T23:30", "2026-10-25T00:30:00"),
        ("America/Nuuk", "2026-10-25T00:00", "2026-10-25T02:00:00"),
    ]

    @Test(arguments: instants)
    func `a local time is its first instant, or the jump over it`(zone: String, local: String, instant: String) throws {
        let rules = try SampleZone.named(zone)
        #expect(rules.instant(of: try #require(LocalTime(parsing: local))) == (try utc(instant)))
    }

    @Test(arguments: ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "America/Nuuk", "Africa/Cairo"])
    func `an earlier local time is never a later instant, and shows itself unless it is skipped`(zone: String) throws {
        let rules = try SampleZone.named(zone)
        var last = Date.distantPast
        var skipped = 0
        let newYear = try #require(LocalTime(parsing: "2026-01-01T00:00")).dayNumber
        for day in newYear..<newYear + 365 {
            for minute in stride(from: 0, to: 1440, by: 30) {
                let local = try #require(LocalTime(dayNumber: day, minuteOfDay: minute))
                let instant = rules.instant(of: local)
                #expect(instant >= last)
                if rules.localTime(at: instant) != local { skipped += 1 }
                last = instant
            }
        }
        #expect(skipped == (zone == "Australia/Lord_Howe" ? 1 : 2))
    }

    // MARK: Malformed files

    /// Bytes that are replaced in a good file, and why it is refused then. Its first block has 44 bytes of header, 6
    /// for a type and 4 for a name, so the second header begins at 54, its counts at 74 and its data at 98.
    static let malformed: [(TimeZoneRules.Invalid, Int, [UInt8])] = [
        (.notTZif, 0, [0]), (.notTZif, 54, [0]), (.version(0x31), 4, [0x31]), (.version(0), 58, [0]),
        // Counts: of UT and standard-time indicators, leap seconds, transitions, types and characters.
        (.truncated, 20, huge), (.truncated, 32, huge), (.truncated, 74, huge), (.truncated, 82, huge),
        (.truncated, 86, huge), (.truncated, 90, huge), (.truncated, 94, huge), (.truncated, 86, [0x7F, 0xFF]),
        (.counts, 74, [0, 0, 0, 1]), (.counts, 78, [0, 0, 0, 1]), (.leapSeconds, 82, [0, 0, 0, 1]),
        (.counts, 90, [0, 0, 0, 0]), (.counts, 94, [0, 0, 0, 0]),
        (.transitions, 98, SampleZone.number(2000, size: 8)), (.transitions, 98, SampleZone.number(2001, size: 8)),
        (.transitions, 114, [3]), (.localTimeType, 116, SampleZone.number(93_600, size: 4)),
        (.localTimeType, 116, SampleZone.number(Int(Int32.min), size: 4)), (.localTimeType, 120, [2]),
        (.localTimeType, 121, [4]), (.footer, 138, [0x20]),
    ]
    private static let huge: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF]

    @Test(arguments: malformed)
    func `a malformed file is refused for what is wrong`(cause: TimeZoneRules.Invalid, at place: Int, by: [UInt8]) {
        var bytes = SampleZone.file(first: 60, [(1000, 3600), (2000, 7200)], footer: "CET-1CEST,M3.5.0,M10.5.0/3")
        bytes.replaceSubrange(place..<place + by.count, with: by)
        #expect(throws: cause) { try TimeZoneRules(name: "Test", parsing: bytes) }
    }

    @Test func `a file is refused that is empty, of another kind, or too large`() {
        #expect(throws: TimeZoneRules.Invalid.truncated) { try TimeZoneRules(name: "Test", parsing: []) }
        #expect(throws: TimeZoneRules.Invalid.notTZif) {
            try TimeZoneRules(name: "Test", parsing: Array("no time zone".utf8))
        }
        let large = SampleZone.file(footer: "UTC0") + [UInt8](repeating: 0, count: TimeZoneRules.largestFile)
        #expect(throws: TimeZoneRules.Invalid.tooLarge) { try TimeZoneRules(name: "Test", parsing: large) }
    }

    @Test(arguments: ["Europe/Berlin", "Pacific/Apia", "Asia/Kolkata"])
    func `a file that ends too early is refused, wherever it ends`(zone: String) throws {
        let bytes = try SampleZone.bytes(zone)
        for length in bytes.indices {
            #expect(throws: TimeZoneRules.Invalid.truncated, "\(length)") {
                try TimeZoneRules(name: zone, parsing: Array(bytes.prefix(length)))
            }
        }
        let old = SampleZone.block("\0", size: 4, first: 60, [(1000, 3600)])
        for length in old.indices {
            #expect(throws: TimeZoneRules.Invalid.truncated) {
                try TimeZoneRules(name: zone, parsing: Array(old.prefix(length)))
            }
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func `no bytes trap`(seed: UInt64) throws {
        var random = Seeded(state: seed)
        let good = [try SampleZone.bytes("Europe/Berlin"), SampleZone.file([(1, 2)], footer: "AAA0BBB,M3.5.0,M10.5.0")]
        let local = try #require(LocalTime(parsing: "2026-03-29T02:30"))
        var read = 0
        for round in 0..<1000 {
            var bytes = good[round % 2]
            if round % 10 == 0 {
                bytes = Array("TZif2".utf8) + (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) }
            }
            for _ in 0...round % 4 {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                bytes[place] = UInt8.random(in: 0...255, using: &random)
            }
            guard let rules = try? TimeZoneRules(name: "Test", parsing: bytes) else { continue }
            read += 1
            #expect(abs(rules.offset(at: rules.instant(of: local))) < 26 * 3600)
        }
        #expect(read > 0)
    }

    @Test(arguments: [
        "CET", "-1", "CE-1", "CET-1CE", "CET-1CEST", "CET-1CEST,", "CET-1CEST,M3.5.0", "CET-1CEST,M3.5.0,",
        "CET-1CEST,M3.5.0,M10.5.0/", "CET-1CEST,M3.5.0,M10.5.0/3 ", "CET-1CEST,M3.5.0,M10.5.0,M1.1.1",
        "CET-1CEST,M0.5.0,M10.5.0", "CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M3.0.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,M3.5,M10.5.0", "CET-1CEST,J0,J10",
        "CET-1CEST,J366,J10", "CET-1CEST,366,10", "CET-1CEST,M3.5.0/168,M10.5.0", "CET-1CEST,M3.5.0/-168,M10.5.0",
        "CET-1CEST,M3.5.0/2:60,M10.5.0", "CET-1CEST,M3.5.0/2:30:60,M10.5.0", "CET-1CEST,M3.5.0/2:,M10.5.0",
        "CET-25", "CET-1:60", "CET--1", "CET+-1", "CET-001", "<CET-1", "<>-1", "<+1>-1", "<+0 3>-3", "C3T-1",
        ":Europe/Berlin", "CET-1CEST,J1/0,J99999999999999999999", "CET-99999999999999999999", "CÖT-1", "\0",
    ]) func `a malformed footer is refused`(footer: String) {
        #expect(throws: TimeZoneRules.Invalid.footer) { try SampleZone.made(footer) }
    }

    @Test(arguments: [
        ("UTC", true), ("Etc/GMT+12", true), ("America/Argentina/ComodRivadavia", true), ("America/St_Johns", true),
        ("", false), ("/etc/passwd", false), ("Europe/", false), ("Europe//Berlin", false), ("../etc", false),
        ("Europe/Berl in", false), ("Zürich", false), (String(repeating: "a", count: 65), false), ("a\nb", false),
    ]) func `only names of the database's form are names`(name: String, isName: Bool) {
        #expect(TimeZoneRules.isName(name) == isName)
        guard !isName else { return }
        #expect(throws: TimeZoneRules.Invalid.name) {
            try TimeZoneRules(name: name, parsing: SampleZone.file(footer: "UTC0"))
        }
    }
}
