import AgentModel

/// A day of the week, named as a policy names it.
package enum Weekday: String, Sendable, Hashable, CaseIterable {
    case mon, tue, wed, thu, fri, sat, sun

    /// 0 for Monday to 6 for Sunday.
    package var index: Int {
        switch self {
        case .mon: 0
        case .tue: 1
        case .wed: 2
        case .thu: 3
        case .fri: 4
        case .sat: 5
        case .sun: 6
        }
    }

    /// The weekday of a day counted from 1970-01-01, a Thursday. Total: any number of days, also a negative one.
    init(dayNumber: Int) {
        switch dayNumber.floored(by: 7).remainder {
        case 0: self = .thu
        case 1: self = .fri
        case 2: self = .sat
        case 3: self = .sun
        case 4: self = .mon
        case 5: self = .tue
        default: self = .wed
        }
    }

    /// Reads one day, `sun`, or the days from one to another, `mon-fri`; `sat-mon` runs over the end of the week.
    ///
    /// `nil` for any other text, and for a range whose ends are the same day.
    package static func set(parsing text: String) -> Set<Weekday>? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        let days = parts.compactMap(Weekday.init(rawValue:))
        guard days.count == parts.count, let first = days.first, let last = days.last else { return nil }
        if days.count == 1 { return [first] }
        guard days.count == 2, first != last else { return nil }
        let length = (last.index - first.index).floored(by: 7).remainder
        return Set(allCases.filter { ($0.index - first.index).floored(by: 7).remainder <= length })
    }
}

/// A date and a time of day, to the minute, on the clock of some zone: `2026-12-24T00:00`.
///
/// The calendar is the proleptic Gregorian one, and the date always exists. 24:00 of one day and 00:00 of the next are
/// the same time, but not equal; ``minutes`` is the same for both.
package struct LocalTime: Sendable, Hashable {
    /// The years that a local time may have.
    package static let years = 1970...2199

    /// In ``years``.
    package let year: Int
    /// 1 to 12.
    package let month: Int
    /// The day of the month, from 1.
    package let day: Int
    /// Minutes since 00:00 on the clock, 0 to 1440; 1440 is 24:00, the end of the day.
    package let minuteOfDay: Int

    /// `nil` for a date that does not exist, or is outside ``years``, and for a minute outside 0 to 1440.
    package init?(year: Int, month: Int, day: Int, minuteOfDay: Int) {
        guard Self.years.contains(year), (1...12).contains(month), (0...1440).contains(minuteOfDay),
            (1...CivilDate.days(inMonth: month, of: year)).contains(day)
        else { return nil }
        self.year = year
        self.month = month
        self.day = day
        self.minuteOfDay = minuteOfDay
    }

    /// A day counted from 1970-01-01. `nil` for a day outside ``years``, and for a minute outside 0 to 1440.
    package init?(dayNumber: Int, minuteOfDay: Int) {
        guard Self.dayNumbers.contains(dayNumber) else { return nil }
        let date = CivilDate(dayNumber: dayNumber)
        self.init(year: date.year, month: date.month, day: date.day, minuteOfDay: minuteOfDay)
    }

    /// Reads exactly the form `2026-12-24T00:00`, with hours 00 to 24; 24 only as `24:00`.
    ///
    /// `nil` for any other form, and as ``init(year:month:day:minuteOfDay:)``.
    package init?(parsing text: String) {
        let parts = text.split(separator: "T", omittingEmptySubsequences: false)
        guard parts.count == 2, let minute = WeeklyWindow.minute(parsing: String(parts[1])) else { return nil }
        let date = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        guard date.count == 3, let year = Int(digits: date[0], count: 4), let month = Int(digits: date[1], count: 2),
            let day = Int(digits: date[2], count: 2)
        else { return nil }
        self.init(year: year, month: month, day: day, minuteOfDay: minute)
    }

    /// The days of ``years``, counted from 1970-01-01.
    package static let dayNumbers =
        CivilDate.dayNumber(years.lowerBound, 1, 1)...CivilDate.dayNumber(years.upperBound, 12, 31)

    /// The day, counted from 1970-01-01.
    package var dayNumber: Int { CivilDate.dayNumber(year, month, day) }

    /// The minutes from 1970-01-01T00:00 on the same clock, as if it never changed. It orders local times of one zone.
    package var minutes: Int { dayNumber * 1440 + minuteOfDay }

    /// The weekday of the date.
    package var weekday: Weekday { Weekday(dayNumber: dayNumber) }

    /// The same time of day, that many days later, or earlier if `days` is negative. `nil` outside ``years``.
    package func adding(days: Int) -> LocalTime? {
        let (sum, overflow) = dayNumber.addingReportingOverflow(days)
        return overflow ? nil : LocalTime(dayNumber: sum, minuteOfDay: minuteOfDay)
    }
}

extension LocalTime: CustomStringConvertible {
    /// The form that ``init(parsing:)`` reads.
    package var description: String {
        "\(year)-\(month.twoDigits)-\(day.twoDigits)T\(WeeklyWindow.text(ofMinute: minuteOfDay))"
    }
}

extension Int {
    /// Reads exactly `count` ASCII digits; `nil` for anything else. `count` must be at most 18.
    init?(digits text: some StringProtocol, count: Int) {
        guard text.utf8.count == count, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        self = text.utf8.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }

    /// At least two digits, with a leading zero if need be. The number must not be negative.
    var twoDigits: String { self < 10 ? "0\(self)" : "\(self)" }
}
