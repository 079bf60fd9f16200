import AgentModel
import StrictJSON

/// Everything that a request reaches, so that policy can judge it.
///
/// The guests among it are observed: those that the calls name, or whose volumes they use, as the target is; the others,
/// which an action brings along, by the rows of the cluster's list.
extension Look {
    func findSubjects() async throws(HypervisorError) {
        addTarget()
        for subject in request.namedSubjects { findings.reach.add(subject) }
        let named = request.namedGuests + calls.flatMap { $0.guestIDs.sorted() }.map { ($0, .member) }
        try await add(named, observing: .whole)
        try await add(owners().map { ($0, .source) }, observing: .whole)
        try await addObjectMembers()
        if request.definition.checks.contains(.guestsOnNode) { try await addRunningGuests() }
        if request.definition.checks.contains(.storageUnused) { try await addGuestsOnStorage() }
        if reachesAllFirewalls { try await addAll(.affected) }
        try await addDependents()
        findings.reach.losses = try await losses()
        findings.reach.touches = request.definition.touches.filter { touch in
            touch.live == .dropsFirewall && touch.applies(to: request) && dropsFirewall
        }.map(\.id)
        if !findings.guestStates.isEmpty {
            findings.observed.shown["guests"] = .object(findings.guestStates)
            findings.observed.compared.append("guests")
        }
    }

    /// What a read is about; with `resolving`, the tags and pools of the guests among it, and all guests where it shows
    /// all.
    func findReadSubjects(resolving: Bool) async throws(HypervisorError) {
        addTarget()
        for subject in request.namedSubjects { findings.reach.add(subject) }
        var ids = request.namedGuests
        if case .task(let upid) = request.target, let id = VMID(upid.id) { ids.append((id, .affected)) }
        guard resolving else {
            for (id, role) in ids { findings.reach.add(unseen(id, role)) }
            return
        }
        if let guest { ids.append((guest.id, .target)) }
        try await add(ids, observing: .nothing)
        switch request.target {
        case .inventoryAll, .inventoryRunning, .cluster: try await addAll(.affected)
        case .guest, .node, .nodesAll, .storage, .pool, .tasksAll, .task, .firewall: break
        }
    }

    // MARK: The target, and guests by their numbers

    private func addTarget() {
        let shown = findings.observed.shown
        var subject = Subject(request.target)
        subject.tags = Set(
            (shown["tags"]?.array ?? request.params["tags"]?.array ?? []).compactMap { $0.string?.lowercased() })
        let pool = shown["pool"]?.string ?? (isThere ? nil : request.params["pool"]?.string)
        subject.aliases += Self.pools(pool)
        if case .pool(let pool) = request.target { subject.aliases += pool.subjectNames.dropFirst() }
        findings.reach.add(subject)
    }

    private static func pools(_ name: String?) -> [String] { name.flatMap(PoolName.init)?.subjectNames ?? [] }

    /// How much of a guest's state a plan holds for.
    enum Depth {
        /// All that is compared of a target.
        case whole
        /// Who it is, and the fields of its row.
        case row([String])
        case nothing
    }

    /// Adds guests; one that should be there and cannot be looked at is a block.
    private func add(
        _ ids: [(id: VMID, role: Subject.Role)], observing depth: Depth
    ) async throws(HypervisorError) {
        guard !ids.isEmpty else { return }
        let rows = try await rowsByID()
        for (id, role) in ids where id != guest?.id || depth.isNothing {
            guard let row = rows[id], let found = GuestRef(row: row) else {
                findings.reach.add(unseen(id, role))
                if !depth.isNothing { try await noteUnseen(id) }
                continue
            }
            findings.reach.add(Self.subject(role, found, row))
            try await observe(found, row, depth)
        }
    }

    private static func subject(_ role: Subject.Role, _ guest: GuestRef, _ row: JSON) -> Subject {
        Subject(
            role, guest.description, aliases: pools(row["pool"]?.string), tags: Set(tags(row["tags"]?.string ?? "")))
    }

    /// A guest that the cluster does not list: one that is yet to be, one that is gone, or one that is not shown.
    private func unseen(_ id: VMID, _ role: Subject.Role) -> Subject {
        let kinds = GuestKind.allCases.map { GuestRef(kind: $0, id: id).description }
        let isNew = request.claimedIDs.contains(id)
        let own = isNew ? guest.map { GuestRef(kind: $0.kind, id: id).description } : nil
        let name = own ?? kinds[0]
        return Subject(role, name, aliases: isNew ? [] : kinds.filter { $0 != name })
    }

    private func noteUnseen(_ id: VMID) async throws(HypervisorError) {
        findings.guestStates["guest/\(id)"] = ["exists": false]
        guard !request.claimedIDs.contains(id), try await !idIsFree(id.description).isEmpty else { return }
        findings.checks.append(
            Check(
                "subject", .block,
                "the request reaches guest \(id), which the token may not see: it lacks VM.Audit on /vms/\(id)"))
    }

    private func observe(_ guest: GuestRef, _ row: JSON, _ depth: Depth) async throws(HypervisorError) {
        guard findings.guestStates[guest.description] == nil else { return }
        switch depth {
        case .nothing: break
        case .row(let fields):
            findings.guestStates[guest.description] = .object(
                fields.reduce(into: JSONObject()) { $0[$1] = row[$1] ?? .null })
        case .whole:
            guard let node = row["node"]?.string.flatMap(NodeName.init) else {
                return unreadable(guest, "no node has it")
            }
            do throws(HypervisorError) {
                let (config, status) = try await site.state(of: guest, on: node)
                let view = GuestView(guest, on: node, config: config, status: status, pool: row["pool"]?.string)
                    .observed
                // The list is some seconds behind; the configuration is not.
                findings.reach.add(
                    Subject(.affected, guest.description, tags: Set(Self.tags(config["tags"]?.string ?? ""))))
                findings.guestStates[guest.description] = .object(
                    view.shown.members.filter { view.compared.contains($0.key) }
                        .reduce(into: JSONObject()) { $0[$1.key] = $1.value })
            } catch {
                unreadable(guest, ServiceError(error, site.facts.name, during: "its configuration on \(node)").detail)
            }
        }
    }

    private func unreadable(_ guest: GuestRef, _ why: String) {
        findings.guestStates[guest.description] = ["readable": false]
        findings.checks.append(Check("subject", .block, "\(guest), which the request reaches, cannot be read: \(why)"))
    }

    // MARK: What an action brings along

    /// The owners of volumes and archives: those in the calls, those of the guest's own disks, and that of the object.
    private func owners() -> [VMID] {
        var owners = calls.flatMap(\.ownerIDs)
        owners += disks().compactMap { VolumeName($0.volume)?.owner }
        switch findings.object {
        case .array(let rows)?:
            // Backups that a rule of retention marks.
            for row in rows where row["mark"] == "remove" {
                owners += VolumeName.owners(in: row["volid"]?.string ?? "")
                if let id = row["vmid"].flatMap({ VMID($0.text) }) { owners.append(id) }
            }
        case let row?:
            if row["volid"] != nil, let id = row["vmid"].flatMap({ VMID($0.string ?? $0.text) }) { owners.append(id) }
        case nil: break
        }
        var seen: Set<VMID> = []
        return owners.filter { seen.insert($0).inserted }
    }

    /// Guests that a pool, a rule of HA or a backup job has now, or gets.
    private func addObjectMembers() async throws(HypervisorError) {
        let object = findings.object ?? .null
        switch request.definition.object {
        case .pool where !["join", "leave"].contains(request.params["op"]?.string):
            for member in (object["members"]?.array ?? []).compactMap(\.string) {
                let parts = member.split(separator: "/")
                if parts.first == "storage", let name = parts.last {
                    findings.reach.add(Subject(.member, "storage/\(name)"))
                } else if let id = parts.last.flatMap({ VMID($0) }) {
                    try await add([(id, .member)], observing: .row(["name"]))
                }
            }
        case .ha where guest == nil:
            let texts = Self.list(object["resources"])
            try await add(
                texts.compactMap { VMID($0.split(separator: ":").last ?? "") }.map { ($0, .member) },
                observing: .row(["name"]))
            for node in Self.list(object["nodes"]) {
                findings.reach.add(Subject(.affected, "node/\(node.prefix { $0 != ":" })"))
            }
        case .at(let path, _) where path.hasPrefix("/cluster/backup"):
            for job in [JSON.object(request.params), object] { try await addJobMembers(job) }
        case .none, .call, .at, .row, .pool, .ha, .pruned: break
        }
    }

    private func addJobMembers(_ job: JSON) async throws(HypervisorError) {
        if let all = job["all"], all != 0, all != false { try await addAll(.member) }
        let ids = Self.list(job["vmid"]) + Self.list(job["exclude"])
        try await add(ids.compactMap { VMID($0) }.map { ($0, .member) }, observing: .row(["name"]))
        if let pool = job["pool"]?.string {
            findings.reach.add(Subject(.affected, "pool/\(pool)"))
            try await addAll(.member) { Self.pools($0["pool"]?.string).contains("pool/\(pool)") }
        }
    }

    /// A list as requests have it, or in one text as PVE writes it.
    private static func list(_ value: JSON?) -> [String] {
        (value?.array ?? value.map { [$0] } ?? []).flatMap { element in
            (element.string ?? element.text).split(whereSeparator: { ",; ".contains($0) }).map(String.init)
        }
    }

    /// All guests that the token sees, or those that `isMeant` picks. Where it may not see all, that is a block.
    private func addAll(
        _ role: Subject.Role, fields: [String] = ["name"], where isMeant: (JSON) -> Bool = { _ in true }
    ) async throws(HypervisorError) {
        for row in try await guestRows() where isMeant(row) {
            guard let found = GuestRef(row: row) else { continue }
            findings.reach.add(Self.subject(role, found, row))
            if request.definition.effect == .change { try await observe(found, row, .row(fields)) }
        }
        if request.definition.effect == .change, let granted = try await granted(on: "/vms"),
            !granted.contains("VM.Audit"),
            !findings.checks.contains(where: { $0.id == "subject" })
        {
            findings.checks.append(
                Check(
                    "subject", .block,
                    "the request may reach guests that the token does not see: it lacks VM.Audit on /vms"))
        }
    }

    /// Those that go down with their node.
    private func addRunningGuests() async throws(HypervisorError) {
        guard case .node(let node) = request.target else { return }
        try await addAll(.affected, fields: ["name", "node", "status"]) { row in
            row["node"]?.string == node.description && row["status"] != "stopped" && row["template"] != 1
        }
    }

    /// Those whose disks or backups are on a storage whose definition changes or goes.
    private func addGuestsOnStorage() async throws(HypervisorError) {
        guard let call = calls.first, call.method != .post, case .storage(let own) = request.target else { return }
        do throws(HypervisorError) {
            let rows = try await storedVolumes(on: own)
            let ids = Set(rows.compactMap { $0["vmid"].flatMap { VMID($0.string ?? $0.text) } })
            try await add(ids.sorted().map { ($0, .affected) }, observing: .row(["name"]))
        } catch {
            guard case .refused(let upstream) = error else { throw error }
            findings.checks.append(
                Check("subject", .block, "what is on storage \(own) cannot be read: \(upstream.reason)"))
        }
    }

    /// Aliases, sets, groups and options of the cluster's firewall are those of every guest; its rules are the nodes' own.
    private var reachesAllFirewalls: Bool {
        guard request.target == .firewall(.cluster) else { return false }
        return calls.contains { $0.path.count > 2 && $0.path[2] != "rules" }
    }

    /// Guests that HA keeps together with one that moves.
    private func addDependents() async throws(HypervisorError) {
        guard case .node = request.definition.changes, findings.observed.shown["ha"]?["managed"] == 1, isThere,
            findings.observed.shown["lock"]?.string == nil
        else { return }
        let found = try await readGuest("migrate", query: ["target": text("target")])
        let sids = (found["dependent-ha-resources"]?.array ?? []).compactMap(\.string)
        try await add(
            sids.compactMap { VMID($0.split(separator: ":").last ?? "") }.map { ($0, .affected) },
            observing: .row(["name", "node", "status"]))
    }

    // MARK: What is lost

    /// Tags and pools that guests do not have any more afterwards.
    private func losses() async throws(HypervisorError) -> [String] {
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
                if op == "join" { findings.reach.add(Subject(.affected, name)) }
                if !losses.contains(name) { losses.append(name) }
            }
        }
        return losses
    }

    /// Whether a network device that is set would be without a firewall, on a guest that has one on it or on another.
    private var dropsFirewall: Bool {
        func devices(_ object: JSONObject?) -> [JSONObject] {
            (object?.members ?? []).filter { ParameterDefinition.isNetworkDevice($0.key) }
                .map { PropertyString.settings($0.key, $0.value.string ?? "") ?? [:] }
        }
        let isGuarded = devices(config.object).contains { device in
            device["firewall"]?.string.map { !["0", "off", "no", "false"].contains($0) } ?? false
        }
        return isGuarded && devices(request.params).contains { $0["firewall"] != "1" }
    }
}

extension Look.Depth {
    fileprivate var isNothing: Bool {
        if case .nothing = self { true } else { false }
    }
}
