/// A window that opens on some days of every week, by the clock of a schedule's zone: `mon-fri 22:00-06:00`.
///
/// It belongs to the day on which it opens. If it ends no later by the clock than it begins, it runs into the next day.
package struct WeeklyWindow: Sendable, Hashable {
    /// The days on which it opens; never empty.
    package let days: Set<Weekday>
    /// The minute of the day at which it opens, 0 to 1439.
    package let from: Int
    /// The minute of the day at which it closes, 0 to 1440; never the same as ``from``.
    package let to: Int

    /// `nil` without days, with a minute outside its bounds, and if `from` and `to` are the same.
    package init?(days: Set<Weekday>, from: Int, to: Int) {
        guard !days.isEmpty, (0...1439).contains(from), (0...1440).contains(to), from != to else { return nil }
        self.days = days
        self.from = from
        self.to = to
    }

    /// How long it is by a clock that does not change, in minutes: 1 to 1440.
    package var length: Int { to > from ? to - from : to - from + 1440 }

    /// Reads a time of day, `00:00` to `24:00`, as minutes since 00:00: 0 to 1440. `nil` for any other form.
    package static func minute(parsing text: String) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let hour = Int(digits: parts[0], count: 2),
            let minute = Int(digits: parts[1], count: 2),
            hour < 24 && minute < 60 || hour == 24 && minute == 0
        else { return nil }
        return hour * 60 + minute
    }

    /// The form that ``minute(parsing:)`` reads. The minute must be in 0 to 1440.
    static func text(ofMinute minute: Int) -> String { "\((minute / 60).twoDigits):\((minute % 60).twoDigits)" }
}

extension WeeklyWindow: CustomStringConvertible {
    /// `mon-fri 22:00-06:00`; days that do not follow each other are separated by commas: `mon,wed-fri`.
    package var description: String {
        var runs: [[Weekday]] = []
        for day in Weekday.allCases where days.contains(day) {
            if let last = runs.last?.last, last.index + 1 == day.index {
                runs[runs.count - 1].append(day)
            } else {
                runs.append([day])
            }
        }
        let names = runs.map { run in
            guard run.count > 1, let first = run.first, let last = run.last else { return run.map(\.rawValue).joined() }
            return "\(first.rawValue)-\(last.rawValue)"
        }
        return "\(names.joined(separator: ",")) \(Self.text(ofMinute: from))-\(Self.text(ofMinute: to))"
    }
}

extension ChangeSchedule {
    /// The places in the list of two windows that overlap by the week's clock, the lower one first; `nil` if none do.
    ///
    /// Windows that touch do not overlap. Sunday's window may overlap Monday's.
    package static func overlap(in windows: [WeeklyWindow]) -> (Int, Int)? {
        let week = 7 * 1440
        var spans: [(from: Int, to: Int, window: Int)] = []
        for (window, weekly) in windows.enumerated() {
            for day in weekly.days {
                let from = day.index * 1440 + weekly.from
                let to = from + weekly.length
                spans.append((from, min(to, week), window))
                if to > week { spans.append((0, to - week, window)) }
            }
        }
        spans.sort { ($0.from, $0.to, $0.window) < ($1.from, $1.to, $1.window) }
        for (one, next) in zip(spans, spans.dropFirst()) where next.from < one.to && one.window != next.window {
            return (min(one.window, next.window), max(one.window, next.window))
        }
        return nil
    }
}
