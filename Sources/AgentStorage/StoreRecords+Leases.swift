import AgentModel
import AgentService
internal import SQLite

/// The leases, as far as bodies have to do with them. A lone agent has none, and needs none.
extension StoreRecords {
    /// FOR KEY SHARE keeps the row's key, of which the epoch is a part: an acquisition waits until the transaction has
    /// ended, and a renewal does not.
    func holds(_ lease: Lease) -> Bool {
        guard database.isShared else { return true }
        var isHeld = false
        run(
            "SELECT 1 FROM leases WHERE environment = ? AND holder = ? AND epoch = ? FOR KEY SHARE",
            [Value(lease.environment), .text(lease.holder), .integer(lease.epoch)]
        ) { _ in isHeld = true }
        return failure == nil && isHeld
    }

    var freezeCounts: [EnvironmentName: Int64] {
        guard database.isShared else { return [:] }
        let counts = records("leases", "SELECT environment, freezes FROM leases") { row throws(RowDecodingError) in
            guard let environment = row[0].text.flatMap(EnvironmentName.init), let count = row[1].integer else {
                throw RowDecodingError.otherForm
            }
            return (environment, count)
        }
        return Dictionary(counts) { first, _ in first }
    }

    /// Counts it in the rows of the environments that it covers. Whoever renews or acquires one of these afterwards
    /// learns of it. The order of locking is the same for all.
    func count(_ freeze: Freeze) {
        guard database.isShared else { return }
        let condition = freeze.environment == nil ? "" : "WHERE environment = ?"
        run(
            """
            UPDATE leases SET freezes = freezes + 1 WHERE environment IN (
                SELECT environment FROM leases \(condition) ORDER BY environment FOR NO KEY UPDATE)
            """, freeze.environment.map { [Value($0)] } ?? [])
    }
}
