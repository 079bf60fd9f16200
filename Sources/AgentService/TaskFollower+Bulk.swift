import AgentModel
import StrictJSON

/// Compares the result for many guests with the plan: PVE's task may end with OK although guests failed.
extension TaskFollower {
    /// One guest of a bulk action.
    private struct Member {
        let guest: GuestRef
        /// `status`, or `node`.
        let field: String
        let planned: JSON
        let wanted: JSON
        var found: JSON?
        var isManaged = false
        var detail: String?

        var isDone: Bool { found == wanted }

        /// Where it is, or its status, as text.
        var words: String {
            let isPlace = field == "node"
            let now = isPlace ? "on \(found?.string ?? "no node")" : found?.shown ?? "not to be seen"
            let next = isPlace ? "on \(wanted.string ?? "")" : wanted.shown
            return "\(guest) is \(now), not \(next)" + (detail.map { " (\($0))" } ?? "")
        }

        init?(_ change: Change) {
            let parts = change.key.split(separator: ".")
            guard parts.count == 2, let target = Target(String(parts[0])), let guest = target.guest else { return nil }
            self.guest = guest
            field = String(parts[1])
            planned = change.from
            wanted = change.to
        }

        var json: JSON {
            [
                "guest": .string(guest.description), "wanted": wanted, "found": found ?? .null,
                "done": .bool(isDone), "detail": detail.map { .string($0) },
            ]
        }

        var moved: StateDrift { StateDrift(field: "\(guest).\(field)", planned: planned, found: found ?? .null) }
    }

    /// Compares each planned guest with its current state, and returns the operation's state from that; `nil` if the
    /// agent stopped meanwhile.
    func compareGuests(
        after end: TaskEnd, of upid: UPID, _ operation: inout Operation, _ plan: Plan, at managed: ManagedEnvironment
    ) async -> OperationState? {
        var members = plan.preview.changes.compactMap(Member.init)
        let deadline = ContinuousClock.now + .seconds(limits.highAvailabilitySeconds)
        var backoff = Backoff(from: .milliseconds(500))
        while true {
            await look(at: &members, managed)
            // The HA manager takes its time.
            let waits = members.contains { $0.isManaged && !$0.isDone }
            guard waits, end.state != .unknown, ContinuousClock.now < deadline else { break }
            guard await backoff.wait() else { return nil }
        }
        let redaction = Redaction(plan.preview.calls)
        let missed = members.indices.filter { !members[$0].isDone }
        if !missed.isEmpty {
            let log = await lines(of: upid, at: managed)
            for index in missed {
                members[index].detail = managed.planning.complaint(about: members[index].guest, in: log)
            }
        }
        operation.data = redaction(["guests": .array(members.map(\.json))])
        guard !missed.isEmpty else {
            if end.state == .failed { operation.hasWarnings = true }
            return end.state == .failed || operation.hasWarnings ? .succeededWithWarnings : end.state
        }
        operation.message = String(
            redaction(
                "\(members.count - missed.count) of \(members.count) guests are as planned; "
                    + missed.map { members[$0].words }.joined(separator: ", ") + "; PVE's task ended: \(end.message)"
            ).prefix(4096))
        let isSeen = members.contains { !$0.isDone && $0.found != nil }
        // The HA manager may still complete it.
        let isLeftToHA = end.exit == .ok && missed.allSatisfy { members[$0].isManaged }
        guard isSeen, !isLeftToHA, end.state != .unknown else { return .unknown }
        if let last = operation.steps.indices.last { operation.steps[last].state = .failed }
        let changed = members.filter { $0.found != nil && $0.found != $0.planned }
        operation.notePartlyDone(
            plan, left: changed.map(\.moved), undo: plan.undo(only: Set(changed.map { $0.guest.id })))
        if changed.isEmpty { operation.message += "; nothing was changed" }
        return .failed
    }

    /// Reads the place and status of each guest that is not done yet.
    private func look(at members: inout [Member], _ managed: ManagedEnvironment) async {
        let open = members.indices.filter { !members[$0].isDone }
        let sightings = await managed.planning.sightings(
            of: open.map { members[$0].guest }, withStatus: open.contains { members[$0].field == "status" })
        for index in open {
            let sighting = sightings[members[index].guest]
            members[index].isManaged = sighting?.isManaged ?? members[index].isManaged
            members[index].found =
                members[index].field == "status" ? sighting?.status : sighting.map { .string($0.node) }
        }
    }

    private func lines(of upid: UPID, at managed: ManagedEnvironment) async -> [String] {
        (try? await managed.hypervisor.log(of: upid, from: 0, limit: 2000).lines) ?? []
    }
}

extension Plan {
    /// The undo for those guests that were changed.
    fileprivate func undo(only ids: Set<VMID>) -> FollowUp? {
        guard var undo = preview.undo else { return nil }
        let kept = (undo.params["vms"]?.array ?? []).filter {
            $0.integer.flatMap { VMID("\($0)") }.map(ids.contains) ?? false
        }
        guard !kept.isEmpty else { return nil }
        undo.params["vms"] = .array(kept)
        return undo
    }
}
