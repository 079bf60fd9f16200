import AgentModel
import AgentService
import StrictJSON

/// Finds and checks the object of an edit that is not about a guest.
extension PreviewBuilder {
    /// Reads the object, and keeps a hash that counters and times do not change.
    func findObject() async throws(HypervisorError) {
        let place = findings.callContext
        switch request.definition.object {
        case .none: break
        case .call: try await findEdited()
        case .at(let path, let fields): try await find(request.path(path, place), fields: fields)
        case .row(let path, let key, let value, let fields):
            let wanted = request.fill(value, place)
            let list = try await read(request.path(path, place)).array ?? []
            note(wanted, list.first { ($0[key]?.string ?? $0[key]?.text) == wanted }, fields: fields)
        case .pool:
            do throws(HypervisorError) {
                let found = try await read(["pools"], ["poolid": request.fill("{pool}", place)])
                let pool = found.array?.first ?? found
                let members = (pool["members"]?.array ?? []).compactMap { $0["id"]?.string }.sorted()
                note(
                    "/pools/" + request.fill("{pool}", place),
                    ["comment": pool["comment"] ?? .null, "members": JSON(members)], fields: nil)
            } catch {
                guard case .refused(let upstream) = error, upstream.saysAbsent else { throw error }
                note("/pools/" + request.fill("{pool}", place), nil, fields: nil)
            }
        case .ha:
            let path = guest == nil ? "/cluster/ha/rules/{rule}" : "/cluster/ha/resources/{sid}"
            try await find(request.path(path, place), fields: nil)
        case .pruned:
            guard let call = calls.first else { break }
            var query: [String: String] = [:]
            for name in ["prune-backups", "type", "vmid"] { query[name] = call[name] }
            let rows = try await read(call.path, query).array ?? []
            let kept = rows.map { ["volid": $0["volid"] ?? .null, "mark": $0["mark"] ?? .null] as JSON }
            note(call.shownPath, .array(kept.sorted { $0.text < $1.text }), fields: nil)
        }
    }

    /// What a call changes: the object at its path, or the list that it adds to.
    private func findEdited() async throws(HypervisorError) {
        guard let call = calls.first else { return }
        if call.path.first == "nodes", findings.node == nil { findings.node = NodeName(call.path[1]) }
        var path = call.path
        if path == ["storage"], let name = call["storage"] { path.append(name) }
        try await find(path, fields: nil)
    }

    private func find(_ path: [String], fields: [String]?) async throws(HypervisorError) {
        let name = Call(.get, path).shownPath
        do throws(HypervisorError) {
            var found = try await read(path)
            if path.dropLast().last == "aliases" { found = try await withDigest(found, of: path) }
            note(name, found, fields: fields)
        } catch {
            // This PVE version has no HA rules; a check reports that.
            guard case .refused(let upstream) = error,
                upstream.saysAbsent || (error.isUnknownPath && path.starts(with: ["cluster", "ha", "rules"]))
            else { throw error }
            note(name, nil, fields: fields)
        }
    }

    /// PVE compares the digest of an alias, but shows that digest only in the list of aliases.
    private func withDigest(_ alias: JSON, of path: [String]) async throws(HypervisorError) -> JSON {
        let rows = try await read(path.dropLast()).array ?? []
        let own = rows.first { $0["name"]?.string?.lowercased() == path.last?.lowercased() }
        guard var shown = alias.object, let digest = own?["digest"] else { return alias }
        shown["digest"] = digest
        return .object(shown)
    }

    private func note(_ name: String, _ found: JSON?, fields: [String]?) {
        findings.object = found
        var object: JSONObject = ["path": .string(name), "exists": .bool(found != nil)]
        if let found { object["hash"] = .string(PlanDigest.hash(Self.stable(found, fields))) }
        findings.observed.shown["object"] = .object(object)
        findings.observed.compared.append("object")
    }

    /// The object without the fields that change by themselves.
    private static func stable(_ value: JSON, _ fields: [String]?) -> JSON {
        switch value {
        case .array(let elements): return .array(elements.map { stable($0, fields) })
        case .object(let object):
            var kept = JSONObject()
            for member in object.members where fields?.contains(member.key) ?? !volatile.contains(member.key) {
                kept.append(
                    member.key,
                    unordered.contains(member.key) ? sorted(member.value) : stable(member.value, nil))
            }
            return .object(kept)
        case .null, .bool, .integer, .number, .string: return value
        }
    }

    private static let volatile: Set<String> = [
        "digest", "next-run", "last_sync", "last_try", "next_sync", "fail_count",
    ]
    /// Lists in one text whose order has no meaning.
    private static let unordered: Set<String> = ["content", "nodes", "vmid", "exclude", "resources"]

    private static func sorted(_ value: JSON) -> JSON {
        guard let text = value.string else { return value }
        return JSON(text.split(whereSeparator: { ",; ".contains($0) }).map(String.init).sorted())
    }

    // MARK: Checks

    /// Checks that the object exists, or does not exist, as the operation needs.
    func objectFits() -> [Check] {
        guard let call = calls.first, let object = findings.observed.shown["object"], let path = object["path"]?.string
        else { return [] }
        let adds = request.params["op"]?.string.map { $0 == "add" } ?? (call.path == ["storage"])
        let isList = request.definition.object == .call && call.method == .post && call.path != ["storage"]
        if adds, !isList, object["exists"] == true {
            return [Check("object-exists", .block, "\(path) exists already; change it instead")]
        }
        if isList || !adds, object["exists"] == false {
            return [Check("object-exists", .block, "there is no \(path)")]
        }
        if let given = call["digest"], let now = findings.object?["digest"]?.string, given != now {
            return [Check("digest", .block, "\(path) has another digest than params.params.digest; leave that out")]
        }
        return []
    }

    /// Checks that joining guests are in no other pool unless they may move, and that leaving guests are in the pool.
    func members() async throws(HypervisorError) -> [Check] {
        guard let op = request.params["op"]?.string, op == "join" || op == "leave" else { return [] }
        let pool = request.fill("{pool}", CallContext())
        let rows = try await guestRows()
        var checks: [Check] = []
        for id in (request.params["vms"]?.array ?? []).compactMap(\.integer) {
            guard let row = rows.first(where: { $0["vmid"]?.whole == id }) else {
                checks.append(Check("members", .block, "\(planner.settings.name) shows no guest \(id)"))
                continue
            }
            let now = row["pool"]?.string
            if op == "leave", now != pool {
                checks.append(Check("members", .block, "guest \(id) is not in pool \(pool)"))
            } else if op == "join", let now, now != pool, request.params["allow-move"] != true {
                checks.append(
                    Check("members", .block, "guest \(id) is in pool \(now); give allow-move: true to move it"))
            }
        }
        return checks
    }
}
