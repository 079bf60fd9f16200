import AgentModel
import Logging
import StrictJSON

/// What became of each guest, where one task was about many: PVE says that all is well although it left some out.
extension ActionService {
    /// A guest that was to be moved, and where it is.
    private struct Moving {
        let guest: String
        let from: JSON
        let to: JSON
        var found: JSON = .null
        /// The HA manager moves it, a little later.
        var isHAs = false

        var isThere: Bool { found == to }

        var json: JSON {
            ["guest": .string(guest), "field": "node", "from": from, "to": to, "found": found, "done": .bool(isThere)]
        }
    }

    /// Holds every guest against what the preview promised, and notes it. `nil` when the agent stopped meanwhile.
    func compareGuests(
        _ end: TaskEnd, _ operation: inout Operation, _ plan: Plan, at site: Site
    ) async -> TaskEnd? {
        guard case .guestNode = plan.request.definition.changes, end.exit != nil else { return end }
        var moving = plan.preview.changes.filter { $0.changesSomething && $0.key.hasSuffix(".node") }
            .map { Moving(guest: String($0.key.dropLast(".node".count)), from: $0.from, to: $0.to) }
        let deadline = ContinuousClock.now + .seconds(limits.highAvailabilitySeconds)
        var pause = Duration.milliseconds(200)
        var isKnown = false
        while true {
            if let found = await places(of: moving, at: site) {
                (moving, isKnown) = (found, true)
                if moving.allSatisfy({ $0.isThere || !$0.isHAs }) { break }
            }
            guard ContinuousClock.now < deadline else { break }
            do { try await Task.sleep(for: pause) } catch { return nil }
            pause = min(pause * 2, .seconds(5))
        }
        guard isKnown else {
            return TaskEnd(logTail: end.logTail, message: "\(end.message); PVE does not tell where the guests are")
        }
        operation.data = ["guests": .array(moving.map(\.json))]
        return judge(end, moving, &operation)
    }

    private func places(of moving: [Moving], at site: Site) async -> [Moving]? {
        let list = Call(.get, ["cluster", "resources"], [(name: "type", value: .text("vm"))])
        guard let rows = try? await site.hypervisor.read(list).array else { return nil }
        let byName = rows.reduce(into: [String: JSON]()) { all, row in
            if let guest = GuestRef(row: row) { all[guest.description] = row }
        }
        return moving.map { one in
            var next = one
            next.found = byName[one.guest]?["node"] ?? .null
            next.isHAs = byName[one.guest]?["hastate"]?.string.map { $0 != "ignored" } ?? false
            return next
        }
    }

    private func judge(_ end: TaskEnd, _ moving: [Moving], _ operation: inout Operation) -> TaskEnd {
        let (done, left) = (moving.filter(\.isThere), moving.filter { !$0.isThere })
        guard !left.isEmpty else { return end }
        let names = left.map { "\($0.guest) is on \($0.found.string ?? "no node")" }.joined(separator: ", ")
        let detail = "PVE's task ended with \(end.message), but did not move all: \(names)"
        // What HA is still to move may get there.
        if end.exit == .ok, left.allSatisfy(\.isHAs) {
            return TaskEnd(logTail: end.logTail, message: "HA took the request, but did not move all in time: \(names)")
        }
        if !done.isEmpty {
            operation.code = Operation.partiallyApplied
            operation.partial = PartialOutcome(code: nil, detail: detail, undo: nil)
        }
        let moved = done.map(\.guest).joined(separator: ", ")
        let message = done.isEmpty ? detail : "carried out in part: \(moved) moved; \(detail)"
        return TaskEnd(exit: .failed(message), logTail: end.logTail, message: message)
    }
}
