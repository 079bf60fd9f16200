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
}
