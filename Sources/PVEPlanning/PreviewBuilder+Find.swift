import AgentModel
import AgentService
import StrictJSON

/// Finds what a request is about.
extension PreviewBuilder {
    /// Finds only the location of the target, for reads; they read the rest themselves.
    func findPlace() async throws(HypervisorError) {
        if let guest {
            findings.node = request.node
            if findings.node == nil { findings.node = try await planner.hypervisor.locate(guest)?.node }
            findings.checks = [
                findings.node.map { Check("guest-exists", .ok, "\(guest) is on node \($0)") } ?? missing(guest)
            ]
        } else {
            try await findServingNode()
        }
    }

    /// The target: its guest with configuration and status, the node that serves it, the guests that are meant.
    func findTarget() async throws(HypervisorError) {
        guard let guest else {
            try await findServingNode()
            if request.templates.contains(where: { !$0.computed.isEmpty }) { try await findGuests() }
            return
        }
        let place = try await planner.hypervisor.locate(guest)
        switch (request.definition.expects, place) {
        case (.present, nil): absent(guest, missing(guest))
        case (.absent, _):
            findings.node = request.node
            findings.observed = Observed(shown: ["exists": .bool(try await isTaken(guest.id))], compared: ["exists"])
        case (.either, nil):
            findings.node = request.node
            absent(guest, nil)
            if try await isTaken(guest.id) {
                findings.checks.append(Check("new-id", .block, "id \(guest.id) is taken by a guest of another kind"))
            } else if request.node == nil {
                findings.checks.append(
                    Check("node", .block, "there is no \(guest) yet: name the node that gets it in params.node"))
            }
        case (.present, let place?), (.either, let place?): try await find(guest, at: place)
        }
    }

    /// How the cluster writes tags; read only where the request changes tags.
    func findTagStyle() async throws(HypervisorError) {
        let isAboutTags =
            request.params["tags"] != nil || request.templates.contains { $0.computed.contains(.tags) }
        guard isAboutTags else { return }
        do throws(HypervisorError) {
            findings.tagStyle = TagStyle(shownByPVE: try await read(["cluster", "options"])["tag-style"])
        } catch {
            guard case .refused(let upstream) = error, !upstream.isFromGateway else { throw error }
            findings.checks.append(
                Check(
                    "tag-style", .warn,
                    "PVE does not tell how it writes tags, so they may come out otherwise: \(upstream.reason)"))
        }
    }

    /// Whether a guest of any kind has the number: machines and containers share the numbers.
    private func isTaken(_ id: VMID) async throws(HypervisorError) -> Bool {
        try await guestRows().contains { $0["vmid"]?.guestID == id }
    }

    private func absent(_ guest: GuestRef, _ check: Check?) {
        findings.observed = Observed(shown: ["exists": false], compared: ["exists"])
        if request.definition.expects == .present {
            findings.observed = Observed(shown: ["node": .null, "exists": false], compared: ["node", "exists"])
        }
        if let check { findings.checks.append(check) }
    }

    /// Reads the guest's configuration and status where the cluster has it.
    private func find(_ guest: GuestRef, at place: GuestPlace) async throws(HypervisorError) {
        findings.node = place.node
        if let named = request.node ?? request.endpointNode, named != place.node {
            findings.observed = Observed(shown: ["node": .string(place.node.description)], compared: ["node"])
            findings.checks.append(
                Check("guest-exists", .block, "\(guest) is on node \(place.node), not on \(named)"))
            return
        }
        do throws(HypervisorError) {
            let (config, status) = try await planner.state(of: guest, on: place.node)
            findings.config = config
            findings.observed =
                GuestView(guest, on: place.node, config: config, status: status, pool: place.pool).observed
            findings.checks.append(Check("guest-exists", .ok, "\(guest) is on node \(place.node)"))
        } catch {
            if let check = await silenceCheck(of: place.node.description, error) {
                findings.observed = Observed(shown: ["node": .string(place.node.description)], compared: ["node"])
                findings.checks.append(check)
                return
            }
            guard case .refused(let upstream) = error, upstream.saysMissing else { throw error }
            absent(guest, missing(guest))
        }
    }

    private func missing(_ guest: GuestRef) -> Check {
        Check(
            "guest-exists", .block,
            "\(planner.settings.name) shows no \(guest): the id is wrong, or the token lacks VM.Audit on /vms/\(guest.id)"
        )
    }

    /// A node that can answer for the target, where a call needs one: the named one, or one that has the storage.
    private func findServingNode() async throws(HypervisorError) {
        guard case .storage(let storage) = request.target,
            request.templates.contains(where: { $0.placeholders.contains("node") })
        else { return }
        findings.node = request.node
        if findings.node != nil { return }
        let rows = try await read(["cluster", "resources"], ["type": "storage"]).array ?? []
        let own = rows.filter { $0["storage"]?.string == storage.description }
        let able = own.filter { $0["status"]?.string == "available" }.compactMap {
            $0["node"]?.string.flatMap(NodeName.init)
        }
        findings.node = able.min()
        guard findings.node == nil else { return }
        let cure =
            own.isEmpty
            ? "\(planner.settings.name) shows no storage \(storage): the name is wrong, or the token lacks Datastore.Audit"
            : "storage \(storage) is not available on any node"
        findings.checks.append(Check("storage", .block, cure))
    }

    /// The guests that a request for many means: those that it names, or all guests of the node that it fits.
    private func findGuests() async throws(HypervisorError) {
        let rows = try await guestRows()
        let wanted = request.params["vms"]?.array.map { Set($0.compactMap { $0.integer.map { Int($0) } }) }
        for row in rows {
            guard let guest = GuestRef(row: row), !isTemplate(row) else { continue }
            if let wanted {
                if wanted.contains(Int(guest.id.rawValue)) { findings.guests.append(guest) }
            } else if row["node"]?.string == request.fill("{node}", CallContext()), isMeant(row) {
                findings.guests.append(guest)
            }
        }
        findings.guests.sort()
        try await attempt { () throws(HypervisorError) in
            do throws(HypervisorError) { _ = try await read(["cluster", "bulk-action", "guest"]) } catch {
                guard error.isUnknownPath else { throw error }
                findings.hasBulkActions = false
            }
        }
        if wanted != nil, findings.hasBulkActions, request.definition.changes == .guestStatus("running") {
            try await leaveOutRunning(rows)
        }
    }

    /// The cluster's start of many guests fails for containers that already run. It skips machines that run, and
    /// resumes machines that are paused.
    private func leaveOutRunning(_ rows: [JSON]) async throws(HypervisorError) {
        for row in rows where Self.hasProcess(row) {
            guard let guest = GuestRef(row: row), findings.guests.contains(guest), let node = row["node"]?.string
            else { continue }
            try await attempt { () throws(HypervisorError) in
                let path = ["nodes", node, guest.kind.rawValue, guest.id.description, "status", "current"]
                let status = try await read(path)
                let now = status["qmpstatus"] ?? status["status"]
                guard status["status"] == "running", now != "paused" else { return }
                findings.guests.removeAll { $0 == guest }
                findings.leftOut.insert(guest.id.rawValue)
                note("already-running", "\(guest) runs already; it is left out", .ok)
            }
        }
    }

    /// Whether a request for all guests of a node means this one.
    private func isMeant(_ row: JSON) -> Bool {
        switch request.definition.changes {
        case .guestStatus(let next): Self.hasProcess(row) == (next == "stopped")
        default: true
        }
    }

    /// All guests of the cluster that the token may see.
    func guestRows() async throws(HypervisorError) -> [JSON] {
        let found = try await read(["cluster", "resources"], ["type": "vm"])
        guard let rows = found.array else {
            throw .invalid("the list of guests is \(found.kind), not a list", mayHaveExecuted: false)
        }
        for row in rows where row["type"]?.string.flatMap(GuestKind.init) != nil && GuestRef(row: row) == nil {
            unclear("a row of the list of guests", "vmid", row["vmid"] ?? .null, "no guest's id")
        }
        return rows
    }

    /// All guests of the cluster that the token may see, by number.
    func rowsByID() async throws(HypervisorError) -> [VMID: JSON] {
        try await guestRows().reduce(into: [:]) { rows, row in
            if let guest = GuestRef(row: row) { rows[guest.id] = row }
        }
    }
}

extension PVEPlanner {
    /// A guest's configuration and status, read at the same time.
    func state(of guest: GuestRef, on node: NodeName) async throws(HypervisorError) -> (config: JSON, status: JSON) {
        let base = ["nodes", node.description, guest.kind.rawValue, guest.id.description]
        async let current = result(of: Call(.get, base + ["status", "current"]))
        let config = try await hypervisor.read(Call(.get, base + ["config"]))
        return (config, try await current.get())
    }

    /// `async let` forgets the type of an error; a result keeps it.
    private func result(of call: Call) async -> Result<JSON, HypervisorError> {
        do throws(HypervisorError) { return .success(try await hypervisor.read(call)) } catch {
            return .failure(error)
        }
    }
}

extension GuestRef {
    /// The guest of a row of `/cluster/resources`.
    init?(row: JSON) {
        guard let kind = row["type"]?.string.flatMap(GuestKind.init), let id = row["vmid"]?.guestID
        else { return nil }
        self.init(kind: kind, id: id)
    }
}

extension PVERejection {
    /// Whether PVE's message says that a guest or a node does not exist.
    var saysMissing: Bool {
        status == 500
            && ["does not exist", "hostname lookup", "no such cluster node"].contains { reason.contains($0) }
    }

    /// Whether PVE's message says that an object does not exist; no other refusal tells that.
    var saysAbsent: Bool {
        (status == 500 || status == 400)
            && ([reason] + errors.values).contains { text in
                ["does not exist", "no rule at position", "no such", "not ha managed", "in the enumeration"].contains {
                    text.lowercased().contains($0)
                }
            }
    }
}
