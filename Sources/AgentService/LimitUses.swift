package import AgentModel
package import AgentPolicy
package import FoundationEssentials

extension StoreReader {
    /// The uses that count against the claim at `now`, oldest first, and perhaps some that have just ceased to.
    ///
    /// Read them, judge by ``LimitClaim/verdict(uses:at:)`` and store ``LimitClaim/use(by:at:)`` in one body of
    /// ``PlanStore/write(_:)``: then nobody takes anything in between.
    package func limitUses(of claim: LimitClaim, at now: Date) -> [LimitUse] {
        limitUses(of: claim.counter, since: claim.begin(at: now))
    }
}
