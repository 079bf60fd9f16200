package import AgentModel
package import AgentService
import StrictJSON

/// What a call that failed has left behind: a write that PVE refused may still have written.
extension PVEPlanner {
    /// Looks at everything that the plan was made on once more, and at what the last call would have changed.
    package func aftermath(
        of operation: Operation, _ plan: Plan, watching watched: Set<VMID>
    ) async -> Aftermath {
        let index = operation.steps.count - 1
        guard plan.preview.calls.indices.contains(index) else { return .unseen("the call is not known any more") }
        let call = plan.preview.calls[index]
        // Before PVE compares digests it writes nothing; what moved is somebody else's.
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
        // A status that is neither the old one nor the new one is nothing that was planned.
        let isAll = planned.allSatisfy { change in
            left.contains { $0.field == change.key && (change.key != "status" || $0.found == change.to) }
        }
        return .left(
            left.map { StateDrift(field: $0.field, planned: redaction($0.planned), found: redaction($0.found)) },
            isAll: isAll && !planned.isEmpty, undo: plan.undo(of: left))
    }

    /// PVE's words for a write that it did not begin because somebody else had written meanwhile.
    private static func saysMoved(_ text: String) -> Bool {
        text.contains("checksum mismatch") || text.contains("detected modified configuration")
    }

    /// What of the call waits for the guest's next start.
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

    /// The guest that a task was to make and that is there now: PVE had kept its number for it. Where PVE refused at once
    /// a guest of that number is somebody else's.
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

/// What a failed call has changed of what its plan was made on.
private struct Leftover {
    let fields: [StateDrift]

    /// What tells that something was written, and not what.
    private static let traces: Set<String> = ["digest"]
    /// What a call changes beside what its plan names.
    private static let besides: Set<String> = ["status", "lock", "node", "exists"]

    /// `keys` are those that the call names, where calls before it have changed others.
    init(_ plan: Plan, _ now: Preview, _ moved: [StateDrift], pending: [StateDrift], keys: Set<String>?, hasTask: Bool)
    {
        if let exists = moved.first(where: { $0.field == "exists" }) {
            // A guest of that number that no task of ours made is somebody else's.
            fields = exists.found == true && !hasTask ? [] : [exists]
            return
        }
        let waiting = Set(pending.map { $0.field.dropFirst("pending.".count) })
        let found = Dictionary(now.changes.map { ($0.key, $0.from) }) { first, _ in first }
        let named = plan.preview.changes.compactMap { change -> StateDrift? in
            let key = change.key.prefix { $0 != "." }
            guard !now.changes.isEmpty, !waiting.contains(key), keys?.contains(String(key)) ?? true else { return nil }
            // What is as it was to be is no change any more.
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
    /// A ready plan request that takes back what stayed of a call; `nil` where there is none.
    fileprivate func undo(of left: [StateDrift]) -> FollowUp? {
        // Another guest has taken the place of the one that was changed.
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
    /// A start, for a guest that ran before and does not any more.
    func restart(after left: [StateDrift]) -> FollowUp? {
        guard let guest = target.guest,
            left.contains(where: { $0.field == "status" && $0.planned != "stopped" && $0.found == "stopped" })
        else { return nil }
        return followUp(guest.kind.action("start"), [:])
    }
}
