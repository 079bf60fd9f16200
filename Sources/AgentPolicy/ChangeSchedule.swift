import AgentModel
package import FoundationEssentials

/// When changes may happen, by the clock of one time zone: windows of every week, and dated openings and closings.
///
/// It is open at a moment that lies in a weekly window or in a dated opening, and in no dated closing. Each of these
/// begins at the first instant at which the clock shows its `from` or a later time, and ends right before the first at
/// which it shows its `to` or a later time. So a boundary that the clock skips is at the jump, one that it shows twice
/// is at the first of the two, and a window that is skipped as a whole never opens.
///
/// A schedule knows the years of ``LocalTime/years``; outside them it is closed.
package struct ChangeSchedule: Sendable, Hashable {
    /// Whose clock all local times are on.
    package let zone: TimeZoneRules
    /// Sorted by the first day and the time at which they open; they may overlap.
    package let weekly: [WeeklyWindow]
    /// Dated openings, sorted by their beginning.
    package let open: [Period]
    /// Dated closings, which win over everything else; sorted by their beginning.
    package let closed: [Period]

    /// A dated time from one local time to another, the end excluded.
    package struct Period: Sendable, Hashable {
        /// When it begins.
        package let from: LocalTime
        /// When it ends; later than ``from``.
        package let to: LocalTime
        /// Why; for people.
        package let reason: String?

        /// `nil` unless `to` is later than `from`.
        package init?(from: LocalTime, to: LocalTime, reason: String? = nil) {
            guard from.minutes < to.minutes else { return nil }
            self.from = from
            self.to = to
            self.reason = reason
        }
    }

    /// Sorts the lists, so that schedules that differ only in the order of their parts are equal.
    package init(zone: TimeZoneRules, weekly: [WeeklyWindow] = [], open: [Period] = [], closed: [Period] = []) {
        self.zone = zone
        self.weekly = weekly.sorted { Self.order($0) < Self.order($1) }
        self.open = open.sorted { Self.order($0) < Self.order($1) }
        self.closed = closed.sorted { Self.order($0) < Self.order($1) }
    }

    private static func order(_ window: WeeklyWindow) -> (Int, Int, Int, String) {
        let first = window.days.map(\.index).min() ?? 0
        return (first, window.from, window.to, window.description)
    }

    private static func order(_ period: Period) -> (Int, Int, String, String) {
        (period.from.minutes, period.to.minutes, "\(period)", period.reason ?? "")
    }
}

extension ChangeSchedule {
    /// How far ``nextOpening(after:)`` and ``closing(after:)`` look: 400 days of 24 hours, in seconds.
    static let horizon = 400 * 86_400

    /// The most ranges that ``intervals(from:to:)`` returns.
    package static let mostIntervals = 10_000

    /// How much is computed at once: a number of weeks, in seconds.
    private static let step = 28 * 86_400

    /// Whether changes may happen at that moment. Total: a date beyond the known years is closed.
    package func isOpen(at date: Date) -> Bool {
        let second = TimeZoneRules.second(of: date)
        return !closed.contains { seconds(of: $0).contains(second) }
            && (open.contains { seconds(of: $0).contains(second) }
                || weeklySeconds(from: second, to: second + 1).contains { $0.contains(second) })
    }

    /// The reason of the dated closing that holds at that moment, of the one that began first if there are several.
    /// `nil` if none holds, or none of them gives a reason.
    package func closedReason(at date: Date) -> String? {
        let second = TimeZoneRules.second(of: date)
        return closed.first { $0.reason != nil && seconds(of: $0).contains(second) }?.reason
    }

    /// The first instant from that moment on at which it is open: `date` itself if it is open then. `nil` if it stays
    /// closed for 400 days.
    package func nextOpening(after date: Date) -> Date? {
        let start = TimeZoneRules.second(of: date)
        for (from, to) in Self.steps(from: start, to: start + Self.horizon) {
            guard let first = openSeconds(from: from, to: to).first else { continue }
            return first.lowerBound == start ? date : Date(timeIntervalSince1970: Double(first.lowerBound))
        }
        return nil
    }

    /// The instant at which it closes, if it is open at that moment. `nil` if it is closed then, or stays open for 400
    /// days.
    package func closing(after date: Date) -> Date? {
        guard isOpen(at: date) else { return nil }
        let start = TimeZoneRules.second(of: date)
        for (from, to) in Self.steps(from: start, to: start + Self.horizon) {
            guard let first = openSeconds(from: from, to: to).first, first.lowerBound == from else {
                return Date(timeIntervalSince1970: Double(from))
            }
            if first.upperBound < to { return Date(timeIntervalSince1970: Double(first.upperBound)) }
        }
        return nil
    }

    /// When it is open between two moments: sorted, cut to them, and such that no two touch. The first
    /// ``mostIntervals`` of them; none if `to` is not later than `from`.
    package func intervals(from: Date, to: Date) -> [Range<Date>] {
        guard from < to else { return [] }
        var found: [Range<Int>] = []
        // A part of the last second counts as well.
        let end = TimeZoneRules.second(of: to) + 1
        for (start, stop) in Self.steps(from: TimeZoneRules.second(of: from), to: end) {
            for range in openSeconds(from: start, to: stop) { Self.append(range, to: &found) }
            if found.count > Self.mostIntervals { break }
        }
        return found.prefix(Self.mostIntervals).compactMap { range in
            let lower = max(Date(timeIntervalSince1970: Double(range.lowerBound)), from)
            let upper = min(Date(timeIntervalSince1970: Double(range.upperBound)), to)
            return lower < upper ? lower..<upper : nil
        }
    }

    // MARK: Seconds since 1970

    /// The part of a span in which it can be open, in steps that follow each other. No clock is further from UTC than
    /// two days.
    private static func steps(from: Int, to: Int) -> some Sequence<(Int, Int)> {
        let first = max(from, (LocalTime.dayNumbers.lowerBound - 2) * 86_400)
        let last = min(to, (LocalTime.dayNumbers.upperBound + 4) * 86_400)
        return stride(from: first, to: last, by: step).lazy.map { ($0, min($0 + step, last)) }
    }

    /// When it is open from one second to another, the end excluded; sorted, and such that no two touch.
    private func openSeconds(from: Int, to: Int) -> [Range<Int>] {
        let opened = weeklySeconds(from: from, to: to) + open.map(seconds(of:))
        let span = from..<to
        var ranges: [Range<Int>] = []
        for range in opened.sorted(by: { $0.lowerBound < $1.lowerBound }) where range.overlaps(span) {
            Self.append(range.clamped(to: span), to: &ranges)
        }
        for closing in closed.map(seconds(of:)) where closing.overlaps(span) {
            ranges = ranges.flatMap { range in
                [
                    range.lowerBound..<max(range.lowerBound, min(range.upperBound, closing.lowerBound)),
                    min(range.upperBound, max(range.lowerBound, closing.upperBound))..<range.upperBound,
                ].filter { !$0.isEmpty }
            }
        }
        return ranges
    }

    /// Appends a range that begins no earlier than the last one, or extends the last one if they overlap or touch.
    private static func append(_ range: Range<Int>, to ranges: inout [Range<Int>]) {
        guard let last = ranges.last, range.lowerBound <= last.upperBound else {
            ranges.append(range)
            return
        }
        ranges[ranges.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
    }

    private func seconds(of period: Period) -> Range<Int> {
        seconds(fromMinute: period.from.minutes, toMinute: period.to.minutes)
    }

    /// Every weekly window that can be open in a span: those of its local days, of the day before, and of the day
    /// after, which a clock that is set back over midnight has shown already.
    private func weeklySeconds(from: Int, to: Int) -> [Range<Int>] {
        let days = LocalTime.dayNumbers
        let first = max(zone.localSecond(atSecond: from).floored(by: 86_400).quotient - 1, days.lowerBound)
        let last = min(zone.localSecond(atSecond: to - 1).floored(by: 86_400).quotient + 1, days.upperBound)
        guard first <= last, !weekly.isEmpty else { return [] }
        var ranges: [Range<Int>] = []
        for day in first...last {
            let weekday = Weekday(dayNumber: day)
            for window in weekly where window.days.contains(weekday) {
                let minute = day * 1440 + window.from
                let range = seconds(fromMinute: minute, toMinute: minute + window.length)
                if !range.isEmpty { ranges.append(range) }
            }
        }
        return ranges
    }

    /// From one minute on the zone's clock to a later one. Empty if the clock skips all of it.
    private func seconds(fromMinute from: Int, toMinute to: Int) -> Range<Int> {
        // The order holds: an earlier local time never becomes a later instant.
        let start = zone.second(ofLocalSecond: from * 60)
        return start..<max(start, zone.second(ofLocalSecond: to * 60))
    }
}

extension ChangeSchedule: CustomStringConvertible {
    /// What it is, on one line of ASCII: `mon-fri 22:00-06:00 (Europe/Berlin)`, after which come the dated openings and
    /// closings, without their reasons: `; closed 2026-12-24T00:00 to 2027-01-02T00:00`.
    package var description: String {
        let windows = weekly.isEmpty ? "never" : weekly.map(\.description).joined(separator: ", ")
        let periods = open.map { "; open \($0)" } + closed.map { "; closed \($0)" }
        return "\(windows) (\(zone.name))" + periods.joined()
    }
}

extension ChangeSchedule.Period: CustomStringConvertible {
    /// `2026-12-24T00:00 to 2027-01-02T00:00`.
    package var description: String { "\(from) to \(to)" }
}

extension ChangeSchedule {
    /// The first moment, from then on, at which all of them are open; `nil` if there is none within 400 days, or none is
    /// found by going from opening to opening a hundred times.
    static func opening(of schedules: [ChangeSchedule], after date: Date) -> Date? {
        let end = date.addingTimeInterval(Double(horizon))
        var moment = date
        for _ in 0..<100 where moment <= end {
            var latest = moment
            for schedule in schedules {
                guard let next = schedule.nextOpening(after: latest) else { return nil }
                latest = next
            }
            if latest == moment { return moment }
            moment = latest
        }
        return nil
    }
}
