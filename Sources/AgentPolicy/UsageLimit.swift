package import AgentModel

/// A limit of a policy rule: so much within any period of this length, or so many operations at a time.
///
/// Its description is in plain words: `at most 2 guests destroyed in 1 h per environment`.
package struct UsageLimit: Sendable, Hashable, CustomStringConvertible {
    package typealias Counted = LimitCounter.Counted
    package typealias Scope = LimitCounter.Scope

    package let count: Counted
    /// Operations, guests or bytes, 0 to 2^53: what every JSON number can express. With 0, nothing is allowed.
    package let most: Int64
    /// The length of the sliding period, 1 second to 31 days; `nil` for ``Counted/concurrent``, which has none.
    package let seconds: Int?
    package let by: Scope

    package static let amounts: ClosedRange<Int64> = 0...(1 << 53)
    /// No use counts for longer than the upper bound.
    package static let periods: ClosedRange<Int> = 1...(31 * 86_400)

    /// `nil` if a number is out of bounds, a period is missing, or ``Counted/concurrent`` has one.
    package init?(count: Counted, most: Int64, seconds: Int? = nil, by: Scope = .all) {
        guard Self.amounts.contains(most), (seconds == nil) == (count == .concurrent),
            seconds.map(Self.periods.contains) ?? true
        else { return nil }
        self.count = count
        self.most = most
        self.seconds = seconds
        self.by = by
    }

    package var description: String {
        let period = seconds.map { " in " + Self.words($0) } ?? ""
        return "at most \(amount)\(period)" + (by == .all ? "" : " per \(by.rawValue)")
    }

    private var amount: String {
        switch count {
        case .operations: most == 1 ? "1 operation" : "\(most) operations"
        case .guests: most == 1 ? "1 guest" : "\(most) guests"
        case .guestsDestroyed: most == 1 ? "1 guest destroyed" : "\(most) guests destroyed"
        case .bytesDestroyed: "\(Self.words(bytes: most)) destroyed"
        case .concurrent: most == 1 ? "1 operation at a time" : "\(most) operations at a time"
        }
    }

    /// In the largest unit that gives a whole number.
    private static func words(bytes: Int64) -> String {
        for (name, power) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] as [(String, Int64)]
        where bytes > 0 && bytes.isMultiple(of: 1 << power) {
            return "\(bytes >> power) \(name)"
        }
        return bytes == 1 ? "1 byte" : "\(bytes) bytes"
    }
}

/// Periods as text.
extension UsageLimit {
    /// The largest unit comes first.
    private static let units: [(letter: Character, word: String, seconds: Int)] = [
        ("d", "d", 86_400), ("h", "h", 3600), ("m", "min", 60), ("s", "s", 1),
    ]

    /// The seconds of a period: `90s`, `15m`, `1h`, `7d`. A whole number without sign or leading zero, and one unit.
    ///
    /// `nil` for any other form, and for periods outside ``periods``.
    package static func seconds(parsing text: String) -> Int? {
        let digits = text.utf8.dropLast()
        guard let unit = units.first(where: { $0.letter == text.last }), (1...7).contains(digits.count),
            digits.allSatisfy({ (0x30...0x39).contains($0) }), digits.first != 0x30
        else { return nil }
        // Seven digits of days are far from an overflow.
        let seconds = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) } * unit.seconds
        return periods.contains(seconds) ? seconds : nil
    }

    /// The text of so many seconds in the largest unit that gives a whole number; ``seconds(parsing:)`` reads it.
    package static func text(seconds: Int) -> String {
        let (number, unit) = inLargestUnit(seconds)
        return "\(number)\(unit.letter)"
    }

    private static func words(_ seconds: Int) -> String {
        let (number, unit) = inLargestUnit(seconds)
        return "\(number) \(unit.word)"
    }

    private static func inLargestUnit(_ seconds: Int) -> (Int, (letter: Character, word: String, seconds: Int)) {
        let unit = units.first { seconds != 0 && seconds.isMultiple(of: $0.seconds) } ?? units[units.count - 1]
        return (seconds / unit.seconds, unit)
    }
}
