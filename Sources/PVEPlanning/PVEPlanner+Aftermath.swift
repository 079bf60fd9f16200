package import AgentModel
package import AgentService
import StrictJSON

/// Finds what a failed call has changed: PVE may have written something even where it refused the call.
extension PVEPlanner {
    /// Reads again everything that the plan was made on, and everything that the last call would have changed.
    package func aftermath(
        of operation: Operation, _ plan: Plan, watching watched: Set<VMID>
    ) async -> Aftermath {
        let index = operation.steps.count - 1
        guard plan.preview.calls.indices.contains(index) else { return .unseen("the call is not known any more") }
        let call = plan.preview.calls[index]
        // PVE compares digests before it writes anything, so another client made any change.
        if Self.saysMoved(operation.message) { return .unchanged }
        let now: Preview
        var pending: [StateDrift] = []
        do throws(ServiceError) {
            now = try await look(again: plan, watching: watched)
            if call.path.last == "config", now.observed.shown["digest"] != nil {
                pending = try await self.pending(call, now.observed)
            }
            if let made = try await made(by: operation, plan) {
                return .left([made], isAll: false, undo: plan.preview.undo)
            }
        } catch {
            return .unseen(error.detail)
        }
        let own = Set(plan.preview.calls.prefix(index).flatMap(\.expectedDrift))
        let moved = plan.preview.observed.moved(to: now.observed).filter { !own.contains($0.field) }
        guard !moved.isEmpty || !own.isEmpty else { return .unchanged }
        let redaction = Redaction(plan.preview.calls)
        let names = own.isEmpty ? nil : call.touchedKeys
        let left = Leftover(
            plan, now, moved, pending: pending, keys: names, hasTask: operation.steps[index].upid != nil
        ).fields
        guard !left.isEmpty else { return .unchanged }
        let planned = plan.preview.changes.filter { $0.from != $0.to }
        // A status that is neither the old nor the new one was not planned.
        let isAll = planned.allSatisfy { change in
            left.contains { $0.field == change.key && (change.key != "status" || $0.found == change.to) }
        }
        return .left(
            left.map { StateDrift(field: $0.field, planned: redaction($0.planned), found: redaction($0.found)) },
            isAll: isAll && !planned.isEmpty, undo: plan.undo(of: left))
    }

    /// Whether PVE refused to begin the write because another client had written in the meantime.
    private static func saysMoved(_ text: String) -> Bool {
        text.contains("checksum mismatch") || text.contains("detected modified configuration")
    }

    /// The changes of the call that wait for the guest's next start.
    private func pending(_ call: Call, _ observed: Observed) async throws(ServiceError) -> [StateDrift] {
        let read = Call(.get, call.path.dropLast() + ["pending"])
        let keys = call.touchedKeys
        do throws(HypervisorError) {
            return (try await hypervisor.read(read).array ?? []).compactMap { row in
                guard let key = row["key"]?.string, keys.contains(key) else { return nil }
                guard let next = row["pending"] ?? row["delete"].map({ _ in "deleted" }) else { return nil }
                let isHidden = ParameterDefinition.isSecret(key)
                return StateDrift(
                    field: "pending.\(key)", planned: .null, found: isHidden ? .string(Secret("").description) : next)
            }
        } catch {
            throw ServiceError(error, settings.name, during: "GET \(read.shownPath)")
        }
    }

    /// The new guest of a task that was to make it: PVE had reserved its number. Where PVE refused the call at once,
    /// another client made the guest of that number.
    private func made(by operation: Operation, _ plan: Plan) async throws(ServiceError) -> StateDrift? {
        guard operation.steps.last?.upid != nil, let kind = plan.request.target.guest?.kind else { return nil }
        for id in plan.request.claimedIDs {
            let guest = GuestRef(kind: kind, id: id)
            do throws(HypervisorError) {
                guard let place = try await hypervisor.locate(guest) else { continue }
                return StateDrift(field: guest.description, planned: .null, found: .string("on node \(place.node)"))
            } catch {
                throw ServiceError(error, settings.name, during: "looking for \(guest)")
            }
        }
        return nil
    }
}

/// The fields of the plan's state that a failed call has changed.
private struct Leftover {
    let fields: [StateDrift]

    /// Fields that show that something was written, but not what.
    private static let traces: Set<String> = ["digest"]
    /// Fields that a call may change besides those in its plan.
    private static let besides: Set<String> = ["status", "lock", "node", "exists"]

    /// `keys` are the keys that the call names; they matter where earlier calls have changed others.
    init(_ plan: Plan, _ now: Preview, _ moved: [StateDrift], pending: [StateDrift], keys: Set<String>?, hasTask: Bool)
    {
        if let exists = moved.first(where: { $0.field == "exists" }) {
            // Another client made a guest of that number unless a task of ours made it.
            fields = exists.found == true && !hasTask ? [] : [exists]
            return
        }
        let waiting = Set(pending.map { $0.field.dropFirst("pending.".count) })
        let found = Dictionary(now.changes.map { ($0.key, $0.from) }) { first, _ in first }
        let named = plan.preview.changes.compactMap { change -> StateDrift? in
            let key = change.key.prefix { $0 != "." }
            guard !now.changes.isEmpty, !waiting.contains(key), keys?.contains(String(key)) ?? true else { return nil }
            // A field that has its old value again has not changed.
            let value = found[change.key] ?? change.to
            guard value != change.from else { return nil }
            return StateDrift(field: change.key, planned: change.from, found: value)
        }
        let names = Set(named.map(\.field))
        let rest = moved.filter { Self.besides.contains($0.field) && !names.contains($0.field) }
        let known = named + pending + rest
        fields = known.isEmpty ? moved.filter { !Self.traces.contains($0.field) || moved.count == 1 } : known
    }
}

extension Call {
    /// The keys of a configuration that the call sets, deletes or reverts.
    fileprivate var touchedKeys: Set<String> {
        let (deleted, set) = configKeys
        return Set(deleted + set + (self["revert"] ?? "").split(separator: ",").map(String.init))
    }
}

extension Plan {
    /// A ready plan request that reverts the remaining changes of a call; `nil` where there is none.
    fileprivate func undo(of left: [StateDrift]) -> FollowUp? {
        // Another guest has replaced the one that was changed.
        guard !left.contains(where: { ["kind", "uuid", "ctime"].contains($0.field) }) else { return nil }
        let pending = left.compactMap { $0.field.hasPrefix("pending.") ? String($0.field.dropFirst(8)) : nil }
        if request.target.guest?.kind == .vm, pending.count == left.count {
            return request.followUp(Action.revertPending.rawValue, ["keys": JSON(pending.sorted())])
        }
        guard let undo = preview.undo else { return request.restart(after: left) }
        guard undo.action == request.target.guest?.kind.action("configure") else {
            let names = preview.changes.map(\.key) + ["exists"]
            return left.contains { names.contains($0.field) } ? undo : nil
        }
        let keys = Set(
            left.map { field in
                let name = field.field.hasPrefix("pending.") ? field.field.dropFirst(8) : field.field[...]
                return String(name.prefix { $0 != "." })
            })
        var kept = undo.params.members.reduce(into: JSONObject()) { kept, member in
            if keys.contains(member.key) { kept[member.key] = member.value }
        }
        let deleted = (undo.params["delete"]?.array ?? []).filter { $0.string.map(keys.contains) == true }
        if !deleted.isEmpty { kept["delete"] = .array(deleted) }
        return kept.isEmpty ? undo : request.followUp(undo.action, kept)
    }
}

extension ActionRequest {
    /// A request to start a guest that ran before and has stopped.
    func restart(after left: [StateDrift]) -> FollowUp? {
        guard let guest = target.guest,
            left.contains(where: { $0.field == "status" && $0.planned != "stopped" && $0.found == "stopped" })
        else { return nil }
        return followUp(guest.kind.action("start"), [:])
    }
}
