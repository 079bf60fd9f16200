import AgentModel
import AgentService
import StrictJSON

/// What an action brings along: owners and users of volumes, members of objects, guests on what goes down, and what is lost.
extension PreviewBuilder {
    /// Texts may name so many guests by volumes.
    private static let maximumOwners = 200

    /// The owners of volumes and archives: those in the calls, those of the guest's own disks and of its snapshots', and
    /// that of the object. An archive's owner may be out of reach; it is known by its row.
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
            // Backups that a rule of retention marks.
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

    /// The guests that a row of a storage's content belongs to.
    static func owners(_ row: JSON) -> [VMID] {
        VolumeName.owners(in: row["volid"]?.string ?? "")
            + (row["vmid"].flatMap { VMID($0.string ?? $0.text) }.map { [$0] } ?? [])
    }

    /// Owners of the disks that a snapshot has: of the one that is named, or of all where the guest goes.
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
                // One that is not there is the checks' to tell.
                guard case .refused(let upstream) = error, upstream.saysAbsent else { throw error }
            }
        }
        return owners
    }

    /// Guests other than the target that have a volume in their configuration which the request names.
    func addVolumeUsers() async throws(HypervisorError) {
        for volume in existingVolumes {
            for user in try await users(of: volume) { add(Subject(.affected, user)) }
        }
    }

    /// Volumes of guests that the request deletes or attaches.
    private var existingVolumes: [String] {
        var volumes = disks(in: .object(request.params)).filter { disk in
            request.params[disk.slot]?.string.map { !VolumeName.isNewDisk($0) } ?? false
        }.map(\.volume)
        for case .volumeUnused(let name) in request.definition.checks { volumes.append(text(name)) }
        return volumes.filter { VolumeName($0)?.storage != nil }
    }

    // MARK: Members

    /// Guests that a pool, a rule of HA or a backup job has now, or gets.
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

    /// A list as requests have it, or in one text as PVE writes it.
    static func list(_ value: JSON?) -> [String] {
        (value?.array ?? value.map { [$0] } ?? []).flatMap { element in
            (element.string ?? element.text).split(whereSeparator: { ",; ".contains($0) }).map(String.init)
        }
    }

    /// Those that go down with their node.
    func addRunningGuests() async throws(HypervisorError) {
        guard case .node(let node) = request.target else { return }
        try await addAll(.affected, fields: ["name", "node", "status"]) { row in
            row["node"]?.string == node.description && Self.hasProcess(row) && !isTemplate(row)
        }
    }

    /// Those whose disks or backups are on a storage whose definition changes or goes. Where it cannot be looked into
    /// everywhere, configurations tell.
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

    /// Aliases, sets, groups and options of the cluster's firewall are those of every guest; its rules are the nodes' own.
    var reachesAllFirewalls: Bool {
        guard request.target == .firewall(.cluster) else { return false }
        return calls.contains { $0.path.count > 2 && $0.path[2] != "rules" }
    }

    /// Guests that HA keeps together with those that move.
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
            // That it does not tell is a check's to say.
            guard case .refused(let upstream) = error, !upstream.isFromGateway else { throw error }
            return
        }
        let sids = (found["dependent-ha-resources"]?.array ?? []).compactMap(\.string)
        try await add(
            sids.compactMap { VMID($0.split(separator: ":").last ?? "") }.map { ($0, .affected) },
            observing: .row(["name", "node", "status"]))
    }

    // MARK: What is lost, and what only the target tells

    /// Tags and pools that guests do not have any more afterwards.
    func losses() async throws(HypervisorError) -> [String] {
        var losses: [String] = []
        let now = Set(Self.tags(config["tags"]?.string ?? ""))
        for call in calls where call.path.last == "config" {
            let deletes = call["delete"]?.split(separator: ",").contains("tags") == true
            guard let next = call["tags"] ?? (deletes ? "" : nil) else { continue }
            losses += now.subtracting(Self.tags(next)).sorted().map { "tag/\($0)" }
        }
        guard case .pool(let pool) = request.target, let op = request.params["op"]?.string,
            op == "join" || op == "leave"
        else { return losses }
        let rows = try await rowsByID()
        for id in request.namedGuests.map(\.id) {
            guard let now = rows[id]?["pool"]?.string, op == "leave" || now != pool.description else { continue }
            for name in Self.pools(now) {
                if op == "join" { add(Subject(.affected, name)) }
                if !losses.contains(name) { losses.append(name) }
            }
        }
        return losses
    }

    func holds(_ test: RiskEscalation.LiveTest) -> Bool {
        switch test {
        case .dropsFirewall: dropsFirewall
        case .copiesHost: copiesHost
        }
    }

    /// Whether a network device that is set would be without a firewall, on a guest that has one on it or on another.
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

    /// Whether the guest has a hold on its node, which a copy would have as well.
    private var copiesHost: Bool {
        guard let guest else { return false }
        if guest.kind == .container, config["unprivileged"]?.flag != true { return true }
        return (config.object?.keys ?? []).contains(where: ActionCatalog.isHostKey)
            || disks().contains { VolumeName($0.volume)?.storage == nil && $0.volume != "cdrom" }
    }
}
