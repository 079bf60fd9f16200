import AgentModel
import AgentService
import StrictJSON

/// Finds what else an action affects: owners and users of volumes, members of objects, guests on a node, and losses.
extension PreviewBuilder {
    /// The most guests whose volumes a request may name.
    private static let maximumOwners = 200

    /// Adds the owners of volumes and archives: of those in the calls, of the disks of the guest and its snapshots, and
    /// of the object. The token may not see an archive's owner; the row of the cluster's list identifies it.
    func addOwners() async throws(HypervisorError) {
        var (whole, known): ([VMID], [VMID]) = ([], [])
        for text in calls.flatMap(\.ownerTexts) {
            let isArchive = text.contains("vzdump-") || text.contains(":backup/")
            if isArchive { known += VolumeName.owners(in: text) } else { whole += VolumeName.owners(in: text) }
        }
        whole += disks().compactMap { VolumeName($0.volume)?.owner }
        whole += try await snapshotOwners()
        switch findings.object {
        case .array(let rows)?:
            // The backups that a retention rule marks for removal.
            for row in rows where row["mark"] == "remove" { known += Self.owners(row) }
        case let row? where row["volid"] != nil:
            if row["content"] == "backup" { known += Self.owners(row) } else { whole += Self.owners(row) }
        case .some, nil: break
        }
        guard Set(whole).count <= Self.maximumOwners else {
            return block("the request names volumes of more than \(Self.maximumOwners) guests")
        }
        try await add(whole.map { ($0, .source) }, observing: .whole)
        try await add(known.map { ($0, .source) }, observing: .row(["name"]))
    }

    /// The guests that own a row of a storage's content.
    static func owners(_ row: JSON) -> [VMID] {
        VolumeName.owners(in: row["volid"]?.string ?? "")
            + (row["vmid"].flatMap { VMID($0.string ?? $0.text) }.map { [$0] } ?? [])
    }

    /// The owners of the disks in the named snapshot, or in all snapshots where the guest is deleted.
    private func snapshotOwners() async throws(HypervisorError) -> [VMID] {
        guard guest != nil, isThere else { return [] }
        var names: [String] = []
        switch request.definition.changes {
        case .snapshot(_, true): break
        case .exists(false):
            names = (try await readGuest("snapshot").array ?? []).compactMap { $0["name"]?.string }
        default: names = [text("snapname")]
        }
        var owners: [VMID] = []
        for name in names where !name.isEmpty && name != "current" {
            do throws(HypervisorError) {
                let config = try await readGuest("config", query: ["snapshot": name])
                owners += disks(in: config).compactMap { VolumeName($0.volume)?.owner }
            } catch {
                // The checks report a missing snapshot.
                guard case .refused(let upstream) = error, upstream.saysAbsent else { throw error }
            }
        }
        return owners
    }

    /// Adds guests other than the target whose configuration has a volume that the request names.
    func addVolumeUsers() async throws(HypervisorError) {
        for volume in existingVolumes {
            for user in try await users(of: volume) {
                guard let other = Target(user)?.guest, let row = try await rowsByID()[other.id] else {
                    add(Subject(.affected, user))
                    continue
                }
                add(Self.subject(.affected, other, row))
            }
        }
    }

    /// Existing volumes that the request deletes or attaches.
    private var existingVolumes: [String] {
        var volumes = disks(in: .object(request.params)).filter { disk in
            request.params[disk.slot]?.string.map { !VolumeName.isNewDisk($0) } ?? false
        }.map(\.volume)
        for case .volumeUnused(let name) in request.definition.checks { volumes.append(text(name)) }
        return volumes.filter { VolumeName($0)?.storage != nil }
    }

    // MARK: Members

    /// Adds the guests that a pool, an HA rule or a backup job has now, or gets.
    func addObjectMembers() async throws(HypervisorError) {
        let object = findings.object ?? .null
        switch request.definition.object {
        case .pool where !["join", "leave"].contains(request.params["op"]?.string):
            for member in (object["members"]?.array ?? []).compactMap(\.string) {
                let parts = member.split(separator: "/")
                if parts.first == "storage", let name = parts.last {
                    add(Subject(.member, "storage/\(name)"))
                } else if let id = parts.last.flatMap({ VMID($0) }) {
                    try await add([(id, .member)], observing: .row(["name"]))
                }
            }
        case .ha where guest == nil:
            let ids = Self.list(object["resources"]).compactMap { VMID($0.split(separator: ":").last ?? "") }
            try await add(ids.map { ($0, .member) }, observing: .row(["name"]))
        case .at(let path, _) where path.hasPrefix("/cluster/backup"):
            for job in [JSON.object(request.params), object] { try await addMembers(ofJob: job) }
        case .none, .call, .at, .row, .pool, .ha, .pruned: break
        }
    }

    private func addMembers(ofJob job: JSON) async throws(HypervisorError) {
        if flag(job, "all", of: "the backup job") { try await addAll(.member) }
        let ids = Self.list(job["vmid"]) + Self.list(job["exclude"])
        try await add(ids.compactMap { VMID($0) }.map { ($0, .member) }, observing: .row(["name"]))
        if let pool = job["pool"]?.string {
            let names = Self.pools(pool)
            add(Subject(.affected, "pool/\(pool)", aliases: Array(names.dropFirst())))
            try await addAll(.member, path: "/pool/\(pool)") {
                Self.pools($0["pool"]?.string).contains("pool/\(pool)")
            }
        }
    }

    /// The elements of a list: an array as in requests, or one text as PVE writes it.
    static func list(_ value: JSON?) -> [String] {
        (value?.array ?? value.map { [$0] } ?? []).flatMap { element in
            (element.string ?? element.text).split(whereSeparator: { ",; ".contains($0) }).map(String.init)
        }
    }

    /// Adds the guests that go down with their node.
    func addRunningGuests() async throws(HypervisorError) {
        guard case .node(let node) = request.target else { return }
        try await addAll(.affected, fields: ["name", "node", "status"]) { row in
            row["node"]?.string == node.description && Self.hasProcess(row) && !isTemplate(row)
        }
    }

    /// Adds the guests with disks or backups on a storage whose definition is changed or deleted. Where a node cannot
    /// show the storage's content, their configurations tell.
    func addGuestsOnStorage() async throws(HypervisorError) {
        guard let call = calls.first, call.method != .post, case .storage(let own) = request.target else { return }
        do throws(HypervisorError) {
            let ids = Set(try await storedVolumes(on: own).flatMap(Self.owners))
            try await add(ids.sorted().map { ($0, .affected) }, observing: .row(["name"]))
        } catch {
            guard case .refused(let upstream) = error else { throw error }
            block("what is on storage \(own) cannot be read: \(upstream.reason)")
        }
        guard try await !unseenPlaces(of: own).isEmpty else { return }
        for (other, config) in try await configurations() where Self.hasVolume(on: own, config) {
            try await add([(other.id, .affected)], observing: .row(["name"]))
        }
    }

    /// Aliases, sets, groups and options of the cluster's firewall apply to every guest; its rules apply to nodes only.
    var reachesAllFirewalls: Bool {
        guard request.target == .firewall(.cluster) else { return false }
        return calls.contains { $0.path.count > 2 && $0.path[2] != "rules" }
    }

    /// Adds the guests that HA keeps together with those that move.
    func addDependents() async throws(HypervisorError) {
        switch request.definition.changes {
        case .node:
            guard isManaged, isThere, findings.observed.shown["lock"]?.string == nil, let guest, let node else {
                return
            }
            try await addDependents(of: guest, on: node.description)
        case .guestNode:
            let rows = try await rowsByID()
            for guest in findings.guests {
                guard let row = rows[guest.id], let node = row["node"]?.string, let state = row["hastate"]?.string,
                    state != "ignored", findings.guestStates[guest.description]?["lock"]?.string == nil
                else { continue }
                try await addDependents(of: guest, on: node)
            }
        default: return
        }
    }

    private func addDependents(of guest: GuestRef, on node: String) async throws(HypervisorError) {
        guard await isQuorate() else { return }
        let found: JSON
        do throws(HypervisorError) { found = try await preconditions(of: guest, on: node) } catch {
            // A check reports that PVE does not tell.
            guard case .refused(let upstream) = error, !upstream.isFromGateway else { throw error }
            return
        }
        let sids = (found["dependent-ha-resources"]?.array ?? []).compactMap(\.string)
        try await add(
            sids.compactMap { VMID($0.split(separator: ":").last ?? "") }.map { ($0, .affected) },
            observing: .row(["name", "node", "status"]))
    }

    // MARK: Losses, and facts that only the target shows

    /// Tags, names and pools that guests lose, and those that they gain.
    func marksMoved() async throws(HypervisorError) -> (losses: [String], gains: [String]) {
        var (losses, gains): ([String], [String]) = ([], [])
        let now = Set(Self.tags(config["tags"]?.string ?? ""))
        for call in calls where call.path.last == "config" {
            let deleted = Set(call["delete"]?.split(separator: ",") ?? [])
            let new = call["name"] ?? call["hostname"]
            if let old = (config["name"] ?? config["hostname"])?.string,
                new.map({ $0 != old }) ?? !deleted.isDisjoint(with: ["name", "hostname"])
            {
                losses.append("name/\(old)")
                gains += new.map { ["name/\($0)"] } ?? []
            }
            guard let next = call["tags"] ?? (deleted.contains("tags") ? "" : nil) else { continue }
            losses += now.subtracting(Self.tags(next)).sorted().map { "tag/\($0)" }
            gains += Set(Self.tags(next)).subtracting(now).sorted().map { "tag/\($0)" }
        }
        if isThere, [.rollback, .restored].contains(request.definition.changes) {
            // Its tags and its name become those of the snapshot or of the archive, whatever these are.
            losses += now.sorted().map { "tag/\($0)" }
            losses += ((config["name"] ?? config["hostname"])?.string).map { ["name/\($0)"] } ?? []
        }
        guard case .pool(let pool) = request.target, let op = request.params["op"]?.string,
            op == "join" || op == "leave"
        else { return (losses, gains) }
        if op == "join" { gains += pool.subjectNames }
        let rows = try await rowsByID()
        for id in request.namedGuests.map(\.id) {
            guard let now = rows[id]?["pool"]?.string, op == "leave" || now != pool.description else { continue }
            for name in Self.pools(now) {
                if op == "join" { add(Subject(.affected, name)) }
                if !losses.contains(name) { losses.append(name) }
            }
        }
        return (losses, gains)
    }

    func holds(_ test: RiskEscalation.LiveTest) -> Bool {
        switch test {
        case .dropsFirewall: dropsFirewall
        case .copiesHost: copiesHost
        }
    }

    /// Whether the request sets a network device without a firewall on a guest that has a device with one.
    private var dropsFirewall: Bool {
        func devices(_ object: JSONObject?) -> [JSONObject] {
            (object?.members ?? []).filter { ParameterDefinition.isNetworkDevice($0.key) }
                .map { PropertyString.settings($0.key, $0.value.string ?? "") ?? [:] }
        }
        let isGuarded = devices(config.object).contains { device in
            device["firewall"].map { $0.flag != false } ?? false
        }
        return isGuarded && devices(request.params).contains { $0["firewall"]?.flag != true }
    }

    /// Whether the guest has access to its node, which a copy would have too.
    private var copiesHost: Bool {
        guard let guest else { return false }
        if guest.kind == .container, config["unprivileged"]?.flag != true { return true }
        return (config.object?.keys ?? []).contains(where: ActionCatalog.isHostKey)
            || disks().contains { VolumeName($0.volume)?.storage == nil && $0.volume != "cdrom" }
    }
}
