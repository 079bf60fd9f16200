import AgentModel

/// How a zone's clock goes on after the last transition in its file: a POSIX `TZ` string with the extensions of
/// RFC 9636, section 3.3.1, `CET-1CEST,M3.5.0,M10.5.0/3`.
///
/// POSIX counts offsets west of Greenwich; here they are in seconds east of UTC, as everywhere else.
struct TimeZoneFooter {
    let standardOffset: Int
    /// `nil` if the clock never changes.
    let daylight: Daylight?

    struct Daylight {
        let offset: Int
        /// When it begins, by the clock of standard time.
        let start: YearlyTime
        /// When it ends, by the clock of daylight-saving time.
        let end: YearlyTime
    }

    /// A moment of every year, on some clock.
    struct YearlyTime {
        enum Day {
            /// `Jn`: 1 to 365; the 29th of February is not counted.
            case withoutLeapDay(Int)
            /// `n`: 0 to 365; the 29th of February is counted.
            case withLeapDay(Int)
            /// `Mm.w.d`: the `week`th such weekday of a month, 5 for the last; `weekday` is 0 for Sunday.
            case weekday(month: Int, week: Int, weekday: Int)
        }

        let day: Day
        /// Seconds from the day's 00:00, within ±168 hours.
        let second: Int

        /// The seconds that the clock counts from 1970-01-01T00:00 to that moment of a year.
        func localSecond(in year: Int) -> Int { dayNumber(in: year) * 86_400 + second }

        private func dayNumber(in year: Int) -> Int {
            let newYear = CivilDate.dayNumber(year, 1, 1)
            switch day {
            case .withoutLeapDay(let day):
                return newYear + day - 1 + (day >= 60 && CivilDate.isLeap(year) ? 1 : 0)
            case .withLeapDay(let day):
                return newYear + day
            case .weekday(let month, let week, let weekday):
                let first = CivilDate.dayNumber(year, month, 1)
                // The 4th of January 1970 was a Sunday.
                let untilWeekday = (weekday - (first - 3)).floored(by: 7).remainder
                let day = untilWeekday + 7 * (week - 1)
                return first + (day < CivilDate.days(inMonth: month, of: year) ? day : day - 7)
            }
        }
    }

    /// Every change of the offset later than `time`, in seconds since 1970, or from 1900 on; until the end of 2200.
    func changes(after time: Int?) -> [(time: Int, offset: Int)] {
        guard let daylight else { return [] }
        let year = time.map { CivilDate(dayNumber: $0.floored(by: 86_400).quotient).year } ?? 1900
        let last = LocalTime.years.upperBound + 1
        guard year <= last else { return [] }
        var changes: [(time: Int, offset: Int)] = []
        // Daylight-saving time may begin a week before its year, and last until a week into the year after the next.
        for year in max(year, 1900) - 2...last {
            let span = seconds(of: daylight, in: year)
            // Where daylight-saving time begins before that of the last year has ended, it goes on.
            if let end = changes.last?.time, span.start <= end { changes.removeLast() }
            if changes.last?.offset != daylight.offset { changes.append((span.start, daylight.offset)) }
            changes.append((span.end, standardOffset))
        }
        return changes.filter { change in time.map { change.time > $0 } ?? true }
    }

    /// The daylight-saving time that begins in a year: until its end in the same year, or in the next one if that comes
    /// first, as south of the equator.
    private func seconds(of daylight: Daylight, in year: Int) -> (start: Int, end: Int) {
        let start = daylight.start.localSecond(in: year) - standardOffset
        let end = daylight.end.localSecond(in: year) - daylight.offset
        return (start, end > start ? end : daylight.end.localSecond(in: year + 1) - daylight.offset)
    }
}

extension TimeZoneFooter {
    /// Reads the whole text; `nil` if it is malformed, or names daylight-saving time without saying when it is.
    init?(parsing text: some Sequence<UInt8>) {
        var reader = FooterReader(Array(text))
        guard reader.takeName(), let offset = reader.takeOffset() else { return nil }
        standardOffset = -offset
        guard !reader.isAtEnd else {
            daylight = nil
            return
        }
        guard reader.takeName() else { return nil }
        var daylightOffset = standardOffset + 3600
        if reader.next != UInt8(ascii: ",") {
            guard let offset = reader.takeOffset() else { return nil }
            daylightOffset = -offset
        }
        guard let start = reader.takeYearlyTime(), let end = reader.takeYearlyTime(), reader.isAtEnd else { return nil }
        daylight = Daylight(offset: daylightOffset, start: start, end: end)
    }
}

/// Takes the parts of a `TZ` string from its front. Each function answers `nil` or `false` if the part is malformed.
private struct FooterReader {
    private var rest: ArraySlice<UInt8>

    init(_ text: [UInt8]) { rest = text[...] }

    var isAtEnd: Bool { rest.isEmpty }

    var next: UInt8? { rest.first }

    /// Takes the byte if it comes next.
    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: byte) else { return false }
        rest = rest.dropFirst()
        return true
    }

    /// `CET` or `<+03>`: at least three letters, or letters, digits and signs in angle brackets.
    mutating func takeName() -> Bool {
        let isQuoted = take("<")
        let name = rest.prefix { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"): isQuoted
            default: false
            }
        }
        rest = rest.dropFirst(name.count)
        return name.count >= 3 && (!isQuoted || take(">"))
    }

    /// A number of one to `digits` digits in `bounds`.
    private mutating func takeNumber(digits: Int, in bounds: ClosedRange<Int>) -> Int? {
        let text = rest.prefix { (0x30...0x39).contains($0) }
        guard (1...digits).contains(text.count) else { return nil }
        rest = rest.dropFirst(text.count)
        let number = text.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        return bounds.contains(number) ? number : nil
    }

    /// `-3:30`: hours, and perhaps minutes and seconds, in seconds.
    private mutating func takeTime(digits: Int, hours bounds: ClosedRange<Int>) -> Int? {
        let sign = take("-") ? -1 : 1
        if sign > 0 { _ = take("+") }
        guard let hours = takeNumber(digits: digits, in: bounds) else { return nil }
        var seconds = hours * 3600
        if take(":") {
            guard let minutes = takeNumber(digits: 2, in: 0...59) else { return nil }
            seconds += minutes * 60
            if take(":") {
                guard let rest = takeNumber(digits: 2, in: 0...59) else { return nil }
                seconds += rest
            }
        }
        return sign * seconds
    }

    /// Seconds west of UTC, within 24:59:59.
    mutating func takeOffset() -> Int? { takeTime(digits: 2, hours: 0...24) }

    /// `,M3.5.0/2`; the time is 02:00 if it is not given.
    mutating func takeYearlyTime() -> TimeZoneFooter.YearlyTime? {
        guard take(","), let day = takeDay() else { return nil }
        guard take("/") else { return TimeZoneFooter.YearlyTime(day: day, second: 2 * 3600) }
        guard let second = takeTime(digits: 3, hours: 0...167) else { return nil }
        return TimeZoneFooter.YearlyTime(day: day, second: second)
    }

    private mutating func takeDay() -> TimeZoneFooter.YearlyTime.Day? {
        if take("J") { return takeNumber(digits: 3, in: 1...365).map { .withoutLeapDay($0) } }
        guard take("M") else { return takeNumber(digits: 3, in: 0...365).map { .withLeapDay($0) } }
        guard let month = takeNumber(digits: 2, in: 1...12), take("."), let week = takeNumber(digits: 1, in: 1...5),
            take("."), let weekday = takeNumber(digits: 1, in: 0...6)
        else { return nil }
        return .weekday(month: month, week: week, weekday: weekday)
    }
}
