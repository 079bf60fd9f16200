import AgentModel
import AgentService
import StrictJSON

/// Checks on numbers, nodes and the cluster.
extension PreviewBuilder {
    func idIsFree(_ id: String) async throws(HypervisorError) -> [Check] {
        do throws(HypervisorError) {
            _ = try await read(["cluster", "nextid"], ["vmid": id])
            return []
        } catch {
            guard case .refused(let upstream) = error, upstream.status == 400 else { throw error }
            return [Check("new-id", .block, "id \(id) is taken; GET /cluster/nextid names a free one")]
        }
    }

    func otherNode(_ wanted: String) async throws(HypervisorError) -> [Check] {
        if let guest, wanted == node?.description {
            return [Check("target-node", .block, "\(guest) is on \(wanted) already")]
        }
        if case .node(let own) = request.target, own.description == wanted {
            return [Check("target-node", .block, "\(wanted) is the node that they are on")]
        }
        return try await nodeOnline(wanted)
    }

    /// Checks that the node of that name, or the target, belongs to the cluster and is online.
    func nodeOnline(_ name: String?) async throws(HypervisorError) -> [Check] {
        var wanted = name ?? ""
        if name == nil, case .node(let own) = request.target { wanted = own.description }
        guard !wanted.isEmpty else { return [] }
        let nodes = try await read(["nodes"]).array ?? []
        guard let row = nodes.first(where: { $0["node"]?.string == wanted }) else {
            let names = nodes.compactMap { $0["node"]?.string }.sorted().joined(separator: ", ")
            return [Check("target-node", .block, "there is no node \(wanted); there are \(names)")]
        }
        guard row["status"]?.string == "online" else {
            return [Check("target-node", .block, "node \(wanted) is \(row["status"]?.string ?? "not online")")]
        }
        return [Check("target-node", .ok, "node \(wanted) is online")]
    }

    func nodeOffline() async throws(HypervisorError) -> [Check] {
        guard let object = findings.object else {
            return [Check("target-node", .block, "there is no \(request.target)")]
        }
        return object["status"] == "online"
            ? [Check("already-online", .warn, "\(request.target) is online already")] : []
    }

    func guestsOnNode() async throws(HypervisorError) -> [Check] {
        guard case .node(let own) = request.target else { return [] }
        let rows = try await guestRows()
        let running = rows.filter { $0["node"]?.string == own.description && Self.hasProcess($0) }
        let names = running.compactMap { GuestRef(row: $0)?.description }.sorted()
        guard !names.isEmpty else { return [] }
        let shown = names.prefix(20).joined(separator: ", ") + (names.count > 20 ? ", …" : "")
        return [Check("guests-on-node", .warn, "\(names.count) guests run on \(own) and are interrupted: \(shown)")]
    }

    /// Checks that at least one guest is meant, and that every named guest exists.
    func guestsFit() async throws(HypervisorError) -> [Check] {
        let named = (request.params["vms"]?.array ?? []).compactMap { $0.integer.map { UInt32(clamping: $0) } }
        let found = findings.leftOut.union(findings.guests.map(\.id.rawValue))
        var checks = named.filter { !found.contains($0) }.map { id in
            Check("guests", .block, "\(planner.settings.name) shows no guest \(id) that is no template")
        }
        if case .node(let own) = request.target {
            let rows = try await guestRows()
            for guest in findings.guests {
                let place = rows.first { GuestRef(row: $0) == guest }?["node"]?.string
                if place != own.description {
                    checks.append(Check("guests", .block, "\(guest) is on \(place ?? "no node"), not on \(own)"))
                }
            }
        }
        checks += try await backupLocks()
        if request.target == .cluster, !findings.hasBulkActions {
            checks.append(
                Check(
                    "bulk-actions", .block, "this PVE works on many guests of one node only; take node/NAME as target"))
        }
        if findings.guests.isEmpty, checks.isEmpty {
            checks.append(Check("guests", .block, "no guest of \(request.target) is meant: there is nothing to do"))
        }
        let locked = findings.observed.shown["guests"]?.object?.members.filter { $0.value["lock"]?.string != nil } ?? []
        return checks
            + locked.map { Check("locked", .block, "\($0.key) is locked (\($0.value["lock"]?.string ?? ""))") }
    }

    /// The node's other guests that a backup has locked: the node's own start of many guests removes that lock from all
    /// of its guests.
    private func backupLocks() async throws(HypervisorError) -> [Check] {
        guard case .node(let own) = request.target, request.definition.changes == .guestStatus("running") else {
            return []
        }
        return try await guestRows().compactMap { row in
            guard row["node"]?.string == own.description, row["lock"] == "backup", let guest = GuestRef(row: row),
                !findings.guests.contains(guest)
            else { return nil }
            return findings.hasBulkActions
                ? Check("backup-lock", .warn, "\(guest) has the lock of a backup; it keeps it")
                : Check(
                    "backup-lock", .block,
                    "\(guest) has the lock of a backup, which PVE would remove; wait for that backup, or start the "
                        + "guests one by one")
        }
    }
}
