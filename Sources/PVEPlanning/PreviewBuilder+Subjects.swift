import AgentModel
import AgentService
import StrictJSON

/// Everything that a request reaches, so that policy can judge it.
///
/// It reads the state of guests that the calls name, or whose volumes they use, as fully as the target's. For guests
/// that an action only affects, it takes the rows of the cluster's list.
extension PreviewBuilder {
    func findSubjects() async throws(HypervisorError) {
        addTarget()
        for subject in request.namedSubjects { add(subject) }
        addPlaces()
        let named = request.namedGuests + calls.flatMap { $0.guestIDs.sorted() }.map { ($0, .member) }
        try await add(named, observing: .whole)
        try await addOwners()
        try await addVolumeUsers()
        try await addObjectMembers()
        if request.definition.checks.contains(.guestsOnNode) { try await addRunningGuests() }
        if request.definition.checks.contains(.storageUnused) { try await addGuestsOnStorage() }
        if reachesAllFirewalls { try await addAll(.affected, firewalls: true) }
        try await addDependents()
        (findings.reach.losses, findings.reach.gains) = try await marksMoved()
        findings.reach.liveEscalations = request.definition.escalations.filter { touch in
            touch.live.map { touch.applies(to: request) && holds($0) } ?? false
        }.map(\.id)
        if let guest, request.definition.escalations.contains(where: dropsFirewall) {
            addAliases(["firewall/\(guest)"])
        }
        guard !findings.guestStates.isEmpty else { return }
        let states = findings.guestStates.sorted { $0.key < $1.key }
        findings.observed.shown["guests"] = .object(
            states.reduce(into: JSONObject()) { $0.append($1.key, $1.value) })
        findings.observed.compared.append("guests")
    }

    private func dropsFirewall(_ touch: RiskEscalation) -> Bool {
        touch.live == .dropsFirewall && findings.reach.liveEscalations.contains(touch.id)
    }

    /// Finds what a read is about. `resolving` adds the tags and pools of the guests among it, and all guests where the
    /// read may show any.
    func findReadSubjects(resolving: Bool) async throws(HypervisorError) {
        addTarget()
        for subject in request.namedSubjects { add(subject) }
        var ids = request.namedGuests
        if case .task(let upid) = request.target {
            let numbers = upid.id.split { !$0.isASCII || !$0.isNumber }
            ids += numbers.compactMap { VMID($0) }.map { ($0, .affected) }
        }
        guard resolving else {
            for (id, role) in ids { add(unseen(id, role)) }
            return
        }
        if let guest { ids.append((guest.id, .target)) }
        try await add(ids, observing: .nothing)
        switch request.target {
        case .inventoryAll, .inventoryRunning, .cluster, .tasksAll: try await addAll(.affected)
        case .pool(let pool):
            try await addAll(.member) { Self.pools($0["pool"]?.string).contains("pool/\(pool)") }
        case .storage(let storage) where request.params["vmid"] == nil && request.definition.showsGuests:
            let ids = try await storedVolumes(on: storage).flatMap(Self.owners)
            try await add(ids.map { ($0, .source) }, observing: .nothing)
        case .guest, .node, .nodesAll, .storage, .task, .firewall: break
        }
    }

    // MARK: The list

    /// Adds a subject. A subject that is already listed keeps its role, and gains the new aliases and tags.
    func add(_ subject: Subject) {
        if let place = subjectPlaces[subject.name] {
            findings.reach.merge(subject, at: place)
        } else {
            subjectPlaces[subject.name] = findings.reach.subjects.count
            findings.reach.append(subject)
        }
    }

    /// Adds names to the target.
    private func addAliases(_ aliases: [String]) { findings.reach.merge(Subject(.target, "", aliases: aliases), at: 0) }

    private func addTarget() {
        let shown = findings.observed.shown
        var subject = Subject(request.target)
        subject.tags = Set(
            (shown["tags"]?.array ?? request.params["tags"]?.array ?? []).compactMap { $0.string?.lowercased() })
        let named = [shown["name"], request.params["name"], request.params["hostname"]].compactMap { $0?.string }
        if guest != nil, isThere ? shown["name"]?.string != nil : true { subject.guestNames = named }
        subject.node = guest.flatMap { _ in shown["node"]?.string.flatMap(NodeName.init) ?? request.node }
        let pool = shown["pool"]?.string ?? (isThere ? nil : request.params["pool"]?.string)
        subject.aliases += Self.pools(pool)
        if case .pool(let pool) = request.target { subject.aliases += pool.subjectNames.dropFirst() }
        add(subject)
    }

    static func pools(_ name: String?) -> [String] { name.flatMap(PoolName.init)?.subjectNames ?? [] }

    /// Adds the nodes of the calls, the nodes and storages of the edited object, and the storages of the disks that the
    /// calls work on.
    private func addPlaces() {
        let object = findings.object ?? .null
        for call in calls where call.path.first == "nodes" && call.path.count > 1 {
            if let node = NodeName(call.path[1]) { add(Subject(.affected, "node/\(node)")) }
        }
        if request.definition.object != .none, object.object != nil {
            for key in ["node", "nodes", "target"] {
                for name in Self.list(object[key]) where NodeName(String(name.prefix { $0 != ":" })) != nil {
                    add(Subject(.affected, "node/\(name.prefix { $0 != ":" })"))
                }
            }
            if let storage = object["storage"]?.string { add(Subject(.affected, "storage/\(storage)")) }
        }
        for disk in touchedDisks {
            if let storage = disk.storage { add(Subject(.affected, "storage/\(storage)")) }
        }
    }

    /// The guest's disks that the calls work on: the named disk, those whose slots change, or all.
    private var touchedDisks: [Disk] {
        guard guest != nil, isThere else { return [] }
        let all = disks()
        if let slot = request.params["disk"]?.string { return all.filter { $0.slot == slot } }
        let isWhole = calls.contains { call in
            let last = call.path.last ?? ""
            return ["snapshot", "rollback", "clone", "template", "migrate", "vzdump", "qemu", "lxc"].contains(last)
                || (call.method == .delete && call.path.first == "nodes")
        }
        if isWhole { return all }
        let keys = Set(request.params.keys + (request.params["delete"]?.array ?? []).compactMap(\.string))
        return all.filter { keys.contains($0.slot) }
    }

    // MARK: Guests by their numbers

    /// How much of a guest's state must not change for a plan to remain valid.
    enum Depth {
        /// Everything that is compared for a target.
        case whole
        /// The guest's identity, and these fields of its row.
        case row([String])
        case nothing
    }

    /// Adds guests; a guest that should exist but cannot be read is a block.
    func add(
        _ ids: [(id: VMID, role: Subject.Role)], observing depth: Depth
    ) async throws(HypervisorError) {
        guard !ids.isEmpty else { return }
        let rows = try await rowsByID()
        for (id, role) in ids where id != guest?.id || depth.isNothing {
            guard let row = rows[id], let found = GuestRef(row: row) else {
                add(unseen(id, role))
                if !depth.isNothing { try await noteUnseen(id) }
                continue
            }
            add(Self.subject(role, found, row))
            if case .guestNode = request.definition.changes, let node = row["node"]?.string {
                add(Subject(.affected, "node/\(node)"))
            }
            try await observe(found, row, depth)
        }
    }

    static func subject(_ role: Subject.Role, _ guest: GuestRef, _ row: JSON) -> Subject {
        Subject(
            role, guest.description, aliases: pools(row["pool"]?.string), tags: Set(tags(row["tags"]?.string ?? "")),
            guestNames: row["name"]?.string.map { [$0] } ?? [], node: row["node"]?.string.flatMap(NodeName.init))
    }

    /// A guest that the cluster does not list: it does not exist yet, does not exist any more, or is hidden.
    private func unseen(_ id: VMID, _ role: Subject.Role) -> Subject {
        let kinds = GuestKind.allCases.map { GuestRef(kind: $0, id: id).description }
        let isNew = request.claimedIDs.contains(id)
        let own = isNew ? guest.map { GuestRef(kind: $0.kind, id: id).description } : nil
        let name = own ?? kinds[0]
        guard isNew else { return Subject(role, name, aliases: kinds.filter { $0 != name }) }
        // A clone has the tags of what it is made from.
        let given = [request.params["name"], request.params["hostname"]].compactMap { $0?.string }
        return Subject(
            role, name, aliases: Self.pools(request.params["pool"]?.string),
            tags: findings.reach.subjects.first?.tags ?? [], guestNames: given,
            node: (request.params["target"]?.string).flatMap(NodeName.init) ?? request.node)
    }

    private func noteUnseen(_ id: VMID) async throws(HypervisorError) {
        findings.guestStates["guest/\(id)"] = ["exists": false]
        guard !request.claimedIDs.contains(id), try await !idIsFree(id.description).isEmpty else { return }
        block("the request reaches guest \(id), which the token may not see: it lacks VM.Audit on /vms/\(id)")
    }

    func block(_ detail: String, as id: String = "subject") { note(id, detail, .block) }

    /// Records a check that a read for another purpose produced.
    func note(_ id: String, _ detail: String, _ level: Check.Level = .warn) {
        let check = Check(id, level, detail)
        if !findings.checks.contains(check) { findings.checks.append(check) }
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
                let (config, status) = try await planner.state(of: guest, on: node)
                let view = GuestView(guest, on: node, config: config, status: status, pool: row["pool"]?.string)
                    .observed
                // The list lags some seconds behind the configuration.
                add(Subject(.affected, guest.description, tags: Set(Self.tags(config["tags"]?.string ?? ""))))
                findings.guestStates[guest.description] = .object(
                    view.shown.members.filter { view.compared.contains($0.key) }
                        .reduce(into: JSONObject()) { $0[$1.key] = $1.value })
            } catch {
                if let why = await silence(of: node.description, error) { return unreadable(guest, why) }
                unreadable(
                    guest, ServiceError(error, planner.settings.name, during: "its configuration on \(node)").detail)
            }
        }
    }

    private func unreadable(_ guest: GuestRef, _ why: String) {
        findings.guestStates[guest.description] = ["readable": false]
        block("\(guest), which the request reaches, cannot be read: \(why)")
    }

    /// Adds all guests that the token sees, or those that `isMeant` picks. It is a block where the token may not see
    /// all guests. PVE's access control on `path` tells whether it does.
    func addAll(
        _ role: Subject.Role, fields: [String] = ["name"], firewalls: Bool = false, path: String = "/vms",
        where isMeant: (JSON) -> Bool = { _ in true }
    ) async throws(HypervisorError) {
        let isChange = request.definition.effect == .change
        for row in try await guestRows() where isMeant(row) {
            guard let found = GuestRef(row: row) else { continue }
            var subject = Self.subject(role, found, row)
            if firewalls { subject.aliases.append("firewall/\(found)") }
            add(subject)
            if isChange { try await observe(found, row, .row(fields)) }
        }
        guard isChange else { return }
        var seesAll = false
        for place in Set([path, "/vms"]) where !seesAll {
            seesAll = try await granted(on: place)?.contains("VM.Audit") == true
        }
        if !seesAll {
            block("the request may reach guests that the token does not see: it needs VM.Audit on \(path)")
        }
        // A guest that rules name by number must be visible, or must not exist.
        let rows = try await rowsByID()
        for id in watched.sorted() where rows[id] == nil { try await noteUnseen(id) }
    }
}

extension PreviewBuilder.Depth {
    fileprivate var isNothing: Bool {
        if case .nothing = self { true } else { false }
    }
}
