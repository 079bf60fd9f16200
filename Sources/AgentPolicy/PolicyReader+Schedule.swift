import StrictJSON

/// Reads the times of rules.
extension PolicyReader {
    func schedule(_ key: String, _ reader: inout ObjectReader) -> ChangeSchedule? {
        var schedule: ChangeSchedule?
        reader.section(key) { reader in
            let zone = zone(&reader)
            let weekly = weekly(&reader)
            let open = periods("open", &reader)
            let closed = periods("closed", &reader)
            if reader.issues.isEmpty, weekly.isEmpty, open.isEmpty {
                reader.report([
                    JSONError(path: reader.path, detail: "never opens; give it weekly windows, or periods in open")
                ])
            }
            if let zone { schedule = ChangeSchedule(zone: zone, weekly: weekly, open: open, closed: closed) }
        }
        return schedule
    }

    private func zone(_ reader: inout ObjectReader) -> TimeZoneRules? {
        reader.require("zone", "a time zone such as Europe/Berlin, or UTC")
        guard let name = reader.string("zone") else { return nil }
        do throws(ZoneError) { return try zone(name) } catch {
            reader.report("zone", error.detail)
            return nil
        }
    }

    private func weekly(_ reader: inout ObjectReader) -> [WeeklyWindow] {
        var (windows, places): ([WeeklyWindow], [Int]) = ([], [])
        reader.each("weekly") { index, reader in
            var days: Set<Weekday> = []
            let sets = reader.set("days", "a day such as mon, or days such as mon-fri", Weekday.set(parsing:))
            for set in sets ?? [] { days.formUnion(set) }
            reader.require("days", "days such as [\"mon-fri\"]")
            let (from, to) = (minute("from", &reader), minute("to", &reader))
            guard let from, let to, !days.isEmpty else { return }
            if from == to || from == 1440 {
                reader.report("to", "leaves nothing of the window; for a whole day write 00:00 to 24:00")
            } else if let window = WeeklyWindow(days: days, from: from, to: to) {
                windows.append(window)
                places.append(index)
            }
        }
        if let (first, second) = ChangeSchedule.overlap(in: windows) {
            reader.report([
                JSONError(
                    path: reader.path.key("weekly").index(places[second]),
                    detail: "overlaps weekly[\(places[first])]; make one window of the two")
            ])
        }
        return windows
    }

    private func minute(_ key: String, _ reader: inout ObjectReader) -> Int? {
        reader.require(key, "a time such as 22:00")
        return reader.parsed(key, "a time from 00:00 to 24:00", WeeklyWindow.minute(parsing:))
    }

    private func periods(_ key: String, _ reader: inout ObjectReader) -> [ChangeSchedule.Period] {
        var periods: [ChangeSchedule.Period] = []
        reader.each(key) { _, reader in
            let form = "a local time such as 2026-12-24T18:00"
            let (from, to) = (reader.parsed("from", form, LocalTime.init), reader.parsed("to", form, LocalTime.init))
            for key in ["from", "to"] { reader.require(key, form) }
            let reason = reader.parsed("reason", "a text of 1 to 200 characters") {
                (1...200).contains($0.utf8.count) ? $0 : nil
            }
            guard let from, let to else { return }
            guard let period = ChangeSchedule.Period(from: from, to: to, reason: reason) else {
                return reader.report("to", "is not after from")
            }
            periods.append(period)
        }
        return periods
    }
}
