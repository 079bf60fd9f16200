import AgentModel
import FoundationEssentials

extension PlanWorkflow {
    /// Checks whether another live plan takes a guest id that this request takes too.
    ///
    /// The same party may plan the same request again. Only planning checks this: the plan that is applied first gets
    /// the id, and PVE refuses it to the other.
    func reservations(of request: ActionRequest, _ caller: Caller, _ now: Date) async throws(ServiceError) -> [Check] {
        let wanted = Set(request.claimedIDs)
        guard request.changes, !wanted.isEmpty else { return [] }
        let hash = digest.requestHash(request)
        let filter = PlanFilter(environments: [request.environment], isLive: true, changes: true)
        let others = try await audited.read { records in
            records.summaries(filter, bytes: .max).rows.map(\.plan).filter { plan in
                plan.expiresAt > now && plan.decision.allowed && !wanted.isDisjoint(with: plan.request.claimedIDs)
                    && !(plan.requestHash == hash && plan.requester.isSameParty(as: caller))
            }
        }
        guard let other = others.first else { return [] }
        let ids = wanted.intersection(other.request.claimedIDs).sorted().map(\.description).joined(separator: ", ")
        return [
            Check("id-reserved", .block, "plan \(other.id) is to take id \(ids); take another, or cancel that plan")
        ]
    }
}
