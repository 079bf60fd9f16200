import AgentModel
import AgentService
import StrictJSON

/// The undo for edits of objects.
extension PreviewBuilder {
    /// The opposite edit: it removes what was added, restores the old values of changes, and adds again what was
    /// removed.
    func undoEdit(_ gaps: [EditGap]) async throws(HypervisorError) -> FollowUp? {
        guard let op = request.params["op"]?.string else { return nil }
        if request.params["moveto"] != nil { return undoPlace() }
        let definition = request.definition
        let inPath = Set(request.templates.flatMap(\.placeholders))
        // The parameters that identify the object. A new rule is first unless the request gives its position.
        var params = request.params.members.filter { member in
            inPath.contains(member.key) || definition.parameters.contains { $0.matches(member.key) && $0.agentOnly }
        }.reduce(into: JSONObject()) { $0[$1.key] = $1.value }
        params["safety_snapshot"] = nil
        params["op"] = op == "add" ? "remove" : op == "remove" ? "add" : "change"
        for parameter in definition.parameters
        where parameter.identity != nil && parameter.requiredWhen?.holds(for: params, on: request.target) == true {
            let name = parameter.name
            switch parameter.identity {
            case .place where op == "add": params[name] = request.params[name] ?? 0
            case .name where params[name] == nil && (op != "change" || findings.object?[name] == nil):
                params[name] = request.params[name]
            case .name, .place, nil: break
            }
        }
        switch op {
        case "add": break
        case "remove":
            guard !hidesSecrets, fill(&params, { _ in true }) else { return nil }
            if let comment = try await listed()?["comment"]?.string, !comment.isEmpty {
                params["comment"] = .string(comment)
            }
        default:
            guard undoChange(&params) else { return nil }
        }
        try await noteEdit(gaps)
        return wish(request.action.rawValue, params)
    }

    /// Adds the old values of the changed fields; false where a request cannot give one of them.
    private func undoChange(_ params: inout JSONObject) -> Bool {
        let set = request.params.keys.filter { params[$0] == nil }
        let deleted = (request.params["delete"]?.array ?? []).compactMap(\.string)
        if (set + deleted).contains(where: ParameterDefinition.isSecret) { return false }
        if replacesWhole {
            guard fill(&params, { _ in true }) else { return false }
            // The agent refuses an entry without any setting.
            if request.params["object"] == "ipset-entry", params["nomatch"] == nil { params["nomatch"] = false }
        } else {
            let touched = Set(set + deleted)
            // A job selects its guests in one of these ways; setting another way replaces the old one.
            let ways: Set<String> = ["all", "vmid", "pool", "exclude"]
            let wanted = touched.isDisjoint(with: ways) ? touched : touched.union(ways)
            guard fill(&params, wanted.contains) else { return false }
            let added = set.filter { findings.object?[$0] == nil && !["delete", "rename"].contains($0) }
            if !added.isEmpty { params["delete"] = JSON(added.sorted()) }
        }
        if let name = request.params["rename"] {
            (params["name"], params["rename"]) = (name, request.params["name"])
        }
        return true
    }

    /// Whether PVE replaces the whole object with what the call gives.
    var replacesWhole: Bool { request.templates.contains(where: \.replaces) }

    /// Moves a rule back to its old position.
    private func undoPlace() -> FollowUp? {
        guard let from = request.params["pos"]?.integer, let to = request.params["moveto"]?.integer else { return nil }
        var params = request.params
        // PVE counts positions with the rule still at its old one.
        params["pos"] = JSON(Int(to > from ? to - 1 : to))
        params["moveto"] = JSON(Int(to > from ? from : from + 1))
        return wish(request.action.rawValue, params)
    }

    private func noteEdit(_ gaps: [EditGap]) async throws(HypervisorError) {
        for gap in gaps where gap.when.holds(for: request.params, on: request.target) { try await note(gap.kind) }
    }

    private func note(_ kind: EditGap.Kind) async throws(HypervisorError) {
        switch kind {
        case .entries:
            let members = members
            guard !members.isEmpty else { return }
            losesThePoint = true
            let shown = members.prefix(20).joined(separator: ", ") + (members.count > 20 ? ", …" : "")
            gap("entries", "the set is empty: its \(members.count) entries do not come back: \(shown)")
        case .rules:
            for rule in try await haRules() {
                gap("rule \(rule.name)", "\(request.target) does not come back into the rule")
            }
        case .guestState:
            let wanted = request.params["state"]?.string ?? "started"
            if wanted == "started", status == "stopped" {
                gap("status", "HA starts \(request.target), which runs on")
            } else if ["stopped", "disabled"].contains(wanted), status != "stopped" {
                gap("status", "HA stops \(request.target), which is not started again")
                gap("state", "what runs in \(request.target) ends")
            }
        case .told(let key, let detail): gap(key, detail)
        }
    }

    /// The entries of the edited address set.
    var members: [String] { (findings.object?.array ?? []).compactMap { $0["cidr"]?.string } }

    /// The HA rules that name the guest, and the other resources that they name.
    func haRules() async throws(HypervisorError) -> [(name: String, others: [String])] {
        guard let guest, request.params["purge"] != false else { return [] }
        let sid = request.fill("{sid}", findings.callContext)
        let rows: [JSON]
        do throws(HypervisorError) { rows = try await read(["cluster", "ha", "rules"]).array ?? [] } catch {
            guard case .refused(let upstream) = error, !upstream.isFromGateway else { throw error }
            // There are no HA rules before PVE 9.
            if upstream.status != 501 {
                note("ha-rules", "the rules of HA that name \(guest) cannot be read: \(upstream.reason)")
            }
            return []
        }
        return rows.compactMap { row in
            let named = Self.list(row["resources"])
            guard let name = row["rule"]?.string, named.contains(sid) else { return nil }
            return (name, named.filter { $0 != sid })
        }
    }

    /// The row of an address set or group in the list of all; it has fields that the object itself does not show.
    func listed() async throws(HypervisorError) -> JSON? {
        guard let call = calls.last, call.method == .delete,
            ["ipset", "group"].contains(request.params["object"]?.string),
            let name = call.path.last
        else { return nil }
        let rows = try await read(call.path.dropLast()).array ?? []
        return rows.first { ($0["name"] ?? $0["group"])?.string == name }
    }

    /// Fields that identify the object, or that follow from others.
    private static let derived: Set<String> = [
        "digest", "storage", "sid", "rule", "order", "id", "guest", "jobnum", "source", "remove_job", "type", "pos",
        "ipversion", "name", "next-run", "schedule-next", "last_sync", "last_try", "next_sync", "fail_count",
    ]

    /// Adds the object's present values; false where a request has no form for one of them.
    private func fill(_ params: inout JSONObject, _ wanted: (String) -> Bool) -> Bool {
        for member in findings.object?.object?.members ?? [] where params[member.key] == nil && wanted(member.key) {
            guard
                let parameter = request.definition.parameters.first(where: { $0.matches(member.key) && !$0.agentOnly }),
                parameter.when.holds(for: params, on: request.target)
            else {
                if !Self.derived.contains(member.key) {
                    gap(member.key, "no request of this action gives it back")
                }
                continue
            }
            guard let value = parameter.form.value(shownByPVE: member.value) else { return false }
            params[member.key] = value
        }
        return true
    }

    /// PVE does not show passwords and keys, so an object that has any cannot be made again from what PVE shows.
    private var hidesSecrets: Bool {
        ["cifs", "pbs", "rbd", "cephfs", "esxi", "iscsi"].contains(findings.object?["type"]?.string ?? "")
            || (findings.object?.object?.keys ?? []).contains(where: ParameterDefinition.isSecret)
    }

    func undoPool() async throws(HypervisorError) -> FollowUp? {
        var params = request.params
        switch params["op"]?.string {
        case "add": return wish(request.action.rawValue, ["op": "remove"])
        case "remove":
            let comment = findings.object?["comment"]?.string.map { JSON.string($0) }
            return wish(request.action.rawValue, ["op": "add", "comment": comment])
        case "change":
            params["comment"] = .string(findings.object?["comment"]?.string ?? "")
            return wish(request.action.rawValue, params)
        default: return try await undoMembers()
        }
    }

    /// Reverts only actual joins and leaves; guests that came from another pool return to it.
    private func undoMembers() async throws(HypervisorError) -> FollowUp? {
        let isJoin = request.params["op"] == "join"
        let members = (findings.object?["members"]?.array ?? []).compactMap(\.string)
        func moves(_ name: String) -> Bool { members.contains { $0.hasSuffix("/\(name)") } != isJoin }
        let vms = (request.params["vms"]?.array ?? []).filter { moves($0.text) }
        let storage = (request.params["storage"]?.array ?? []).filter { moves($0.string ?? "") }
        let rows = try await rowsByID()
        let origins = Set(isJoin ? vms.map { id in VMID(id.text).flatMap { rows[$0]?["pool"]?.string } ?? "" } : [])
        if let origin = origins.first, !origin.isEmpty {
            // A request can name only one pool.
            guard origins.count == 1, storage.isEmpty else { return nil }
            return wish(
                request.action.rawValue, ["op": "join", "vms": .array(vms), "allow-move": true], on: "pool/\(origin)")
        }
        guard origins.count <= 1 else { return nil }
        return wish(
            request.action.rawValue,
            [
                "op": isJoin ? "leave" : "join", "vms": vms.isEmpty ? nil : .array(vms),
                "storage": storage.isEmpty ? nil : .array(storage),
            ])
    }
}
