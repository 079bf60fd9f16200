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

extension StoreTransaction {
    /// Takes all claims for the operation, or none: false if one does not fit. Those that `glass` passes
    /// are taken even so.
    func take(_ claims: [LimitClaim], for operation: RecordID, passing glass: BreakGlass?, at now: Date) -> Bool {
        guard firstFull(of: claims, passing: glass, at: now) == nil else { return false }
        for claim in claims { put(claim.use(by: operation, at: now)) }
        return true
    }

    /// Takes the claims anew for an operation that has some already, or leaves all as it is: false if one does not fit.
    func takeAgain(_ claims: [LimitClaim], for operation: Operation, at now: Date) -> Bool {
        guard !claims.isEmpty else { return true }
        guard firstFull(of: claims, passing: operation.breakGlass, at: now, besides: operation.id) == nil else {
            return false
        }
        let operation = operation.id
        removeLimitUses(of: operation)
        for claim in claims { put(claim.use(by: operation, at: now)) }
        return true
    }

    /// Stores an operation that has ended. It frees its place among those that run at a time; and if nothing was sent,
    /// it gives back all that it took.
    func end(_ operation: Operation) {
        put(operation)
        if operation.steps.isEmpty { removeLimitUses(of: operation.id) } else { releaseHeld(of: operation.id) }
    }
}

extension StoreReader {
    /// The first claim that does not fit, besides what the operation itself has taken. What `glass` passes is left out.
    func firstFull(
        of claims: [LimitClaim], passing glass: BreakGlass? = nil, at now: Date, besides operation: RecordID? = nil
    ) -> (LimitClaim, LimitVerdict)? {
        for claim in claims where glass?.limits.contains(claim.counter) != true {
            let uses = limitUses(of: claim, at: now).filter { $0.operation != operation }
            let verdict = claim.verdict(uses: uses, at: now)
            if !verdict.fits { return (claim, verdict) }
        }
        return nil
    }
}

extension LimitClaim {
    /// The error of an apply for which there is no room.
    func refusal(_ verdict: LimitVerdict, _ plan: RecordID, at now: Date) -> ServiceError {
        var error = ServiceError(.limitReached, phrase(verdict) + ". Nothing was done.", planID: plan)
        error.retryAfter = verdict.comesBack.map { $0.seconds(after: now) }
        return error
    }

    /// `rule two-an-hour: at most 2 guests destroyed in 1 h; 0 are left, this takes 1; it fits at 2026-…`
    func phrase(_ verdict: LimitVerdict) -> String {
        let place = key.isEmpty ? "" : " (\(key))"
        let next =
            amount > limit.most
            ? "it never fits"
            : verdict.comesBack.map { "it fits at \($0.rfc3339)" } ?? "it fits when one of these has ended"
        return "rule \(rule): \(limit)\(place); \(verdict.left) left, this takes \(amount); \(next)"
    }
}
