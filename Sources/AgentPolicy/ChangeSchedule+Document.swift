import AgentModel
import StrictJSON

extension ChangeSchedule {
    /// As a policy file has it, with sorted lists.
    var document: JSON {
        func list(_ periods: [Period]) -> JSON? {
            periods.isEmpty ? nil : .array(periods.map(\.document))
        }
        return [
            "zone": .string(zone.name), "weekly": weekly.isEmpty ? nil : .array(weekly.map(\.document)),
            "open": list(open), "closed": list(closed),
        ]
    }
}

extension WeeklyWindow {
    fileprivate var document: JSON {
        [
            "days": JSON(Weekday.allCases.filter(days.contains).map(\.rawValue)),
            "from": .string(Self.text(ofMinute: from)), "to": .string(Self.text(ofMinute: to)),
        ]
    }
}

extension ChangeSchedule.Period {
    fileprivate var document: JSON {
        [
            "from": .string(from.description), "to": .string(to.description),
            "reason": reason.map { .string($0) },
        ]
    }
}

extension UsageLimit {
    /// As a policy file has it.
    var document: JSON {
        [
            "count": .string(count.rawValue), "most": .integer(most),
            "per": seconds.map { .string(Self.text(seconds: $0)) }, "by": by == .all ? nil : .string(by.rawValue),
        ]
    }
}
