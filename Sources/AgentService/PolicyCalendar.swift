import AgentModel
import AgentPolicy
package import FoundationEssentials

/// The change windows of one rule, as a caller sees them.
package struct WindowsInForce: Sendable {
    package let rule: String
    /// In words, in the zone's time.
    package let schedule: String
    package let zone: String
    package let isOpen: Bool
    /// When it opens next; `nil` if it is open, or stays closed for 400 days.
    package let opensAt: Date?
    /// Why it is closed, where somebody wrote that down.
    package let reason: String?
    /// When it is open in the week that begins now.
    package let open: [Range<Date>]
}

/// A limit of one rule, as a caller sees it.
package struct LimitInForce: Sendable {
    package let rule: String
    /// `at most 2 guests destroyed in 1 h`
    package let limit: String
    package let counts: String
    package let most: Int64
    package let seconds: Int?
    package let by: String
    /// What was taken, by the values of the scope, such as a principal or a tag.
    package let uses: [Use]

    package struct Use: Sendable {
        package let key: String
        package let used: Int64
        package let left: Int64
        /// When something of it comes back; `nil` if that is not a matter of time.
        package let comesBack: Date?
    }
}

extension ReadService {
    /// The change windows of rules that concern an environment that the caller sees, and when they are open in the
    /// coming week.
    package func changeWindows(_ context: Context) -> [WindowsInForce] {
        let now = audited.ports.now()
        let week = now.addingTimeInterval(7 * 86_400)
        let visible = access.visibleEnvironments(context).map(\.settings)
        return access.currentRules.policy.windows(in: visible).map { rule, schedule in
            let isOpen = schedule.isOpen(at: now)
            return WindowsInForce(
                rule: rule, schedule: schedule.description, zone: schedule.zone.name, isOpen: isOpen,
                opensAt: isOpen ? nil : schedule.nextOpening(after: now),
                reason: isOpen ? nil : schedule.closedReason(at: now), open: schedule.intervals(from: now, to: week))
        }
    }

    /// The limits of rules that concern an environment that the caller sees, and what is left of them. Of counts per
    /// environment, tag, pool and node, only those of such environments; of counts per principal only the caller's own,
    /// unless the caller approves or audits.
    package func limitUses(_ context: Context) async throws(ServiceError) -> [LimitInForce] {
        let now = audited.ports.now()
        let visible = access.visibleEnvironments(context).map(\.settings)
        let rules = access.currentRules
        // A tag, a pool or a node is a setting of a guest, which a rule may hide.
        let open = visible.map(\.name).filter { rules.policy.rulesHidingAnything(in: $0, from: context.caller).isEmpty }
        let names = visible.map(\.name.description)
        let openNames = open.map(\.description)
        let own = context.caller.principal
        let seesOthers = context.principal.isShared || !context.principal.rights.isDisjoint(with: [.approve, .audit])
        let limits = rules.policy.limits(in: visible)
        return try await audited.read { records in
            limits.map { rule, index, limit in
                let uses = records.limitUses(of: rule, index).filter { use in
                    switch limit.by {
                    case .all: true
                    case .principal: seesOthers || use.counter.key == own
                    case .environment, .tag, .pool, .node:
                        (limit.by == .environment ? names : openNames).contains {
                            use.counter.key == $0 || use.counter.key.hasPrefix($0 + "/")
                        }
                    }
                }
                let keys = Set(uses.map(\.counter.key)).union(limit.by == .all ? [""] : []).sorted()
                return LimitInForce(
                    rule: rule, limit: limit.description, counts: limit.count.rawValue, most: limit.most,
                    seconds: limit.seconds, by: limit.by.rawValue,
                    uses: keys.map { key in
                        // What one more unit would meet.
                        let claim = LimitClaim(rule: rule, index: index, key: key, amount: 1, limit: limit)
                        let verdict = claim.verdict(uses: uses, at: now)
                        return LimitInForce.Use(
                            key: key, used: verdict.used, left: verdict.left,
                            comesBack: verdict.fits ? nil : verdict.comesBack)
                    })
            }
        }
    }
}
