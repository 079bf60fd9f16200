package import FoundationEssentials

/// A moment as the log writes it: RFC 3339, UTC, milliseconds, `2026-11-22T21:16:40.008Z`.
///
/// It has its own arithmetic because one is formatted for every record, and because reading must be exact.
package struct AuditTime: Sendable, Hashable, Comparable {
    /// Since 1970-01-01T00:00:00Z; negative before it. Always within the years 0 to 9999.
    package let milliseconds: Int64

    private static let bounds: ClosedRange<Int64> = -62_167_219_200_000...253_402_300_799_999

    /// The millisecond nearest to `date`; a date beyond the years 0 to 9999 becomes the nearest one within.
    package init(_ date: Date) {
        let exact = (date.timeIntervalSince1970 * 1000).rounded()
        let bounded = min(max(exact, Double(Self.bounds.lowerBound)), Double(Self.bounds.upperBound))
        milliseconds = bounded.isNaN ? 0 : Int64(bounded)
    }

    private init(milliseconds: Int64) { self.milliseconds = milliseconds }

    package static func < (a: AuditTime, b: AuditTime) -> Bool { a.milliseconds < b.milliseconds }

    /// The minute that the moment lies in, counted since 1970.
    var minute: Int64 { milliseconds.flooredDivision(by: 60_000).quotient }
}

extension AuditTime: LosslessStringConvertible {
    package var description: String {
        let (day, time) = milliseconds.flooredDivision(by: 86_400_000)
        let (year, month, dayOfMonth) = Self.civil(day: day)
        var text: [UInt8] = []
        text.reserveCapacity(24)
        func put(_ number: Int64, _ width: Int) {
            var scale: Int64 = 1
            for _ in 1..<width { scale *= 10 }
            while scale > 0 {
                text.append(0x30 + UInt8(truncatingIfNeeded: number / scale % 10))
                scale /= 10
            }
        }
        put(year, 4)
        text.append(UInt8(ascii: "-"))
        put(month, 2)
        text.append(UInt8(ascii: "-"))
        put(dayOfMonth, 2)
        text.append(UInt8(ascii: "T"))
        put(time / 3_600_000, 2)
        text.append(UInt8(ascii: ":"))
        put(time / 60_000 % 60, 2)
        text.append(UInt8(ascii: ":"))
        put(time / 1000 % 60, 2)
        text.append(UInt8(ascii: "."))
        put(time % 1000, 3)
        text.append(UInt8(ascii: "Z"))
        return String(decoding: text, as: UTF8.self)
    }

    /// Reads exactly the form that ``description`` writes; `nil` for any other, and for days that do not exist.
    package init?(_ description: String) {
        let text = Array(description.utf8)
        let form = Array("0000-00-00T00:00:00.000Z".utf8)
        guard text.count == form.count else { return nil }
        for (byte, wanted) in zip(text, form) {
            guard wanted == 0x30 ? (0x30...0x39).contains(byte) : byte == wanted else { return nil }
        }
        func number(_ range: Range<Int>) -> Int64 { text[range].reduce(0) { $0 * 10 + Int64($1 - 0x30) } }
        let (year, month, day) = (number(0..<4), number(5..<7), number(8..<10))
        let (hour, minute, second) = (number(11..<13), number(14..<16), number(17..<19))
        guard (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 60 else { return nil }
        let days = Self.day(year: year, month: month, day: day)
        guard Self.civil(day: days) == (year, month, day) else { return nil }
        self.init(
            milliseconds: days * 86_400_000 + hour * 3_600_000 + minute * 60_000 + second * 1000 + number(20..<23))
    }

    // The two conversions count years from March in eras of 400 years, after Howard Hinnant's chrono algorithms.

    private static func civil(day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = (day + 719_468).flooredDivision(by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func day(year: Int64, month: Int64, day: Int64) -> Int64 {
        let (era, yearOfEra) = (month <= 2 ? year - 1 : year).flooredDivision(by: 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}

extension Int64 {
    /// Quotient rounded towards minus infinity and the remainder, never negative; for a positive `divisor`.
    fileprivate func flooredDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
