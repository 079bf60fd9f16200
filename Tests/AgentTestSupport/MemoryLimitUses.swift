import AgentModel
import FoundationEssentials

/// The uses of limits of a store in memory. Compares times to the millisecond, as a store in a file keeps them.
struct MemoryLimitUses {
    private struct Key: Hashable {
        let operation: RecordID
        let counter: LimitCounter
    }

    private var rows: [Key: LimitUse] = [:]

    func found(of counter: LimitCounter, since date: Date?) -> [LimitUse] {
        let found = rows.values.filter { use in
            use.counter == counter && (date.map { Timestamp(use.at) >= Timestamp($0) } ?? true)
        }
        return found.sorted { ($0.at, $0.operation.description) < ($1.at, $1.operation.description) }
    }

    func found(of rule: String, _ index: Int) -> [LimitUse] {
        let found = rows.values.filter { $0.counter.rule == rule && $0.counter.index == index }
        return found.sorted { ($0.at, $0.operation.description) < ($1.at, $1.operation.description) }
    }

    mutating func put(_ use: LimitUse) { rows[Key(operation: use.operation, counter: use.counter)] = use }

    mutating func remove(of operation: RecordID) { rows = rows.filter { $0.key.operation != operation } }

    mutating func releaseHeld(of operation: RecordID) {
        rows = rows.filter { $0.key.operation != operation || !$0.value.isHeld }
    }

    mutating func prune(before date: Date) {
        rows = rows.filter { Timestamp($0.value.at) >= Timestamp(date) || $0.value.isHeld }
    }
}
