package import FoundationEssentials

/// A moment as answers and records write it: RFC 3339, UTC, milliseconds, `2026-11-22T21:16:40.008Z`.
///
/// It has its own arithmetic for two reasons. Every audit record formats one, and reading must be exact: Foundation's
/// parser accepts an hour 25 and a 30th of February, and its formatter sometimes loses a millisecond.
package struct Timestamp: Sendable, Hashable, Comparable {
    /// Since 1970-01-01T00:00:00Z; negative before it. Always within the years 0 to 9999.
    package let milliseconds: Int64

    private static let bounds: ClosedRange<Int64> = -62_167_219_200_000...253_402_300_799_999

    /// The millisecond nearest to `date`. A date outside the years 0 to 9999 becomes the nearest one inside.
    package init(_ date: Date) {
        let exact = (date.timeIntervalSince1970 * 1000).rounded()
        let bounded = min(max(exact, Double(Self.bounds.lowerBound)), Double(Self.bounds.upperBound))
        milliseconds = bounded.isNaN ? 0 : Int64(bounded)
    }

    private init(milliseconds: Int64) { self.milliseconds = milliseconds }

    package var date: Date { Date(timeIntervalSince1970: Double(milliseconds) / 1000) }

    package static func < (a: Timestamp, b: Timestamp) -> Bool { a.milliseconds < b.milliseconds }

    /// The minute that contains the moment, counted since 1970.
    package var minute: Int64 { milliseconds.floored(by: 60_000).quotient }
}

extension Timestamp: LosslessStringConvertible {
    package var description: String {
        let (day, time) = milliseconds.floored(by: 86_400_000)
        let date = CivilDate(dayNumber: Int(day))
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
        put(Int64(date.year), 4)
        text.append(UInt8(ascii: "-"))
        put(Int64(date.month), 2)
        text.append(UInt8(ascii: "-"))
        put(Int64(date.day), 2)
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

    /// Reads only the form that ``description`` writes; `nil` for any other, and for days that do not exist.
    package init?(_ description: String) {
        self.init(rfc3339: description)
        guard self.description == description else { return nil }
    }

    /// Reads RFC 3339: a date, `T`, a time with or without a fraction (cut to milliseconds), and `Z` or `±hh:mm`.
    ///
    /// `nil` for any other form, for days and hours that do not exist, and for leap seconds.
    package init?(rfc3339 text: String) {
        var rest = Array(text.utf8)[...]
        func take(_ form: String) -> [Int64]? {
            guard rest.count >= form.utf8.count else { return nil }
            var numbers: [Int64] = []
            var isInNumber = false
            for (byte, wanted) in zip(rest, form.utf8) {
                guard wanted == 0x30 else {
                    guard byte == wanted else { return nil }
                    isInNumber = false
                    continue
                }
                guard (0x30...0x39).contains(byte) else { return nil }
                if !isInNumber { numbers.append(0) }
                isInNumber = true
                numbers[numbers.count - 1] = numbers[numbers.count - 1] * 10 + Int64(byte - 0x30)
            }
            rest = rest.dropFirst(form.utf8.count)
            return numbers
        }
        guard let parts = take("0000-00-00T00:00:00") else { return nil }
        let (year, month, day, hour, minute, second) = (parts[0], parts[1], parts[2], parts[3], parts[4], parts[5])
        guard (1...12).contains(month), hour < 24, minute < 60, second < 60,
            (1...Int64(CivilDate.days(inMonth: Int(month), of: Int(year)))).contains(day)
        else { return nil }
        let days = Int64(CivilDate.dayNumber(Int(year), Int(month), Int(day)))
        var fraction: Int64 = 0
        if rest.first == UInt8(ascii: ".") {
            let digits = rest.dropFirst().prefix { (0x30...0x39).contains($0) }
            guard (1...9).contains(digits.count) else { return nil }
            rest = rest.dropFirst(1 + digits.count)
            fraction = (Array(digits.prefix(3)) + [0x30, 0x30]).prefix(3).reduce(0) { $0 * 10 + Int64($1 - 0x30) }
        }
        var offset: Int64 = 0
        if take("Z") == nil {
            let sign: Int64 = rest.first == UInt8(ascii: "-") ? -1 : 1
            guard let zone = take("+00:00") ?? take("-00:00"), zone[0] < 24, zone[1] < 60 else { return nil }
            offset = sign * (zone[0] * 60 + zone[1])
        }
        let milliseconds =
            days * 86_400_000 + (hour * 60 + minute - offset) * 60_000 + second * 1000 + fraction
        guard rest.isEmpty, Self.bounds.contains(milliseconds) else { return nil }
        self.init(milliseconds: milliseconds)
    }
}

extension Date {
    /// RFC 3339 in UTC with milliseconds: `2026-11-22T21:14:03.122Z`.
    package var rfc3339: String { Timestamp(self).description }

    /// As ``Timestamp/init(rfc3339:)``.
    package init?(rfc3339 text: String) {
        guard let timestamp = Timestamp(rfc3339: text) else { return nil }
        self = timestamp.date
    }
}
