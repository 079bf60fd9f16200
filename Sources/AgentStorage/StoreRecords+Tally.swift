import AgentModel
import AgentService
internal import SQLite

/// Counting by the indexes on the states: no record is read but the oldest plan that waits.
extension StoreRecords {
    func tally() -> StoreTally {
        var tally = StoreTally()
        tally.plans = counts(in: "plans", PlanState.init(rawValue:))
        tally.operations = counts(in: "operations", OperationState.init(rawValue:))
        var oldest: RecordID?
        run(
            "SELECT id FROM plans WHERE state = ? ORDER BY number LIMIT 1",
            [.text(PlanState.awaitingApproval.rawValue)]
        ) { oldest = $0[0].text.flatMap { RecordID($0, .plan) } }
        tally.oldestAwaiting = oldest.flatMap(plan)?.createdAt
        (tally.openReviews, tally.oldestReview) = openReviews()
        tally.notices = noticeTally()
        return tally
    }

    private func counts<State: Hashable>(in table: String, _ state: (String) -> State?) -> [State: Int] {
        var counts: [State: Int] = [:]
        run("SELECT state, count(*) FROM \(table) GROUP BY state") { row in
            guard let state = row[0].text.flatMap(state) else { return }
            counts[state] = Int(clamping: row[1].integer ?? 0)
        }
        return failure == nil ? counts : [:]
    }
}
