import AgentModel
import StrictJSON

/// The request that takes a change back, ready to be planned.
extension Look {
    /// `nil` where nothing does.
    func undo() async throws(HypervisorError) -> JSON? {
        if let undo = try await undone() { return undo }
        // What was taken first is a way back where there is no other.
        guard let name = request.safetyName(in: findings.surroundings), request.definition.changes != .exists(false)
        else {
            return nil
        }
        return wish("rollback_snapshot", ["snapname": .string(name)])
    }

    private func undone() async throws(HypervisorError) -> JSON? {
        switch request.definition.undo {
        case .none: return nil
        case .action(let name, let target, let arguments):
            var params = JSONObject()
            for argument in arguments { params[argument.name] = value(of: argument) }
            return wish(name, params, on: target.map { request.fill($0, findings.surroundings) })
        case .opposite(let name, let words):
            guard let word = words[text(name)] else { return nil }
            var params = request.params
            params[name] = .string(word)
            return wish(request.action.rawValue, params)
        case .config: return undoConfig()
        case .tags: return undoTags()
        case .pending: return try await undoPending()
        case .migration: return undoMigration().map { wish(request.action.rawValue, $0) }
        case .disk: return undoDisk()
        case .edit: return undoEdit()
        case .pool: return undoPool()
        case .restored:
            return isThere || guest == nil ? nil : wish("delete_\(guest?.kind == .vm ? "vm" : "container")", [:])
        case .guests(let name):
            let changed = (try await changes()).enumerated().filter { $0.element.from != $0.element.to }
            let ids = changed.map { JSON(Int(findings.guests[$0.offset].id.rawValue)) }
            return ids.isEmpty ? nil : wish(name, ["vms": .array(ids)])
        }
    }

    private func wish(_ action: String, _ params: JSONObject, on target: String? = nil) -> JSON {
        [
            "environment": .string(request.environment.description), "action": .string(action),
            "target": .string(target ?? request.target.description), "params": .object(params),
        ]
    }

    private func value(of argument: UndoRule.Argument) -> JSON? {
        switch argument.source {
        case .parameter: request.params[argument.name]
        case .observed(let field): findings.observed.shown[field]
        case .flag(let wanted): status == wanted ? true : nil
        case .text(let text): .string(request.fill(text, findings.surroundings))
        }
    }

    // MARK: Configurations

    private var configure: String { "configure_\(guest?.kind == .vm ? "vm" : "container")" }

    /// The old values of all that was set or deleted; none where one of them is not to be seen.
    private func undoConfig() -> JSON? {
        guard let kind = guest?.kind else { return nil }
        let known = ActionCatalog.configureKeys(of: kind)
        var params = JSONObject()
        var added: [JSON] = []
        for call in calls where call.path.last == "config" {
            let shown = call.json["params"]?.object ?? [:]
            let deleted = (shown["delete"]?.string ?? "").split(separator: ",").map(String.init)
            if shown["force"] == "1", deleted.contains(where: { TextForm.disk(kind).matches($0) }) { return nil }
            let touched = deleted + shown.keys.filter { !["delete", "digest", "force", "revert"].contains($0) }
            for key in touched {
                if ParameterDefinition.isSecret(key) { return nil }
                guard let old = config[key] else {
                    if !deleted.contains(key) { added.append(.string(key)) }
                    continue
                }
                if key == "tags" {
                    params[key] = JSON(Self.tags(old.string ?? ""))
                    continue
                }
                guard let form = known.first(where: { $0.matches(key) })?.form, let value = form.value(shownByPVE: old)
                else { return nil }
                params[key] = value
            }
        }
        if !added.isEmpty { params["delete"] = .array(added) }
        return params.isEmpty ? nil : wish(configure, params)
    }

    private func undoTags() -> JSON? {
        let now = Set(Self.tags(config["tags"]?.string ?? ""))
        let next = Set(request.tags(after: config))
        var params = JSONObject()
        if !now.subtracting(next).isEmpty { params["add"] = JSON(now.subtracting(next).sorted()) }
        if !next.subtracting(now).isEmpty { params["remove"] = JSON(next.subtracting(now).sorted()) }
        return params.isEmpty ? nil : wish(request.action.rawValue, params)
    }

    private func undoPending() async throws(HypervisorError) -> JSON? {
        guard let kind = guest?.kind else { return nil }
        let keys = (request.params["keys"]?.array ?? []).compactMap(\.string)
        var params = JSONObject()
        var deleted: [JSON] = []
        for row in try await readGuest("pending").array ?? [] {
            guard let key = row["key"]?.string, keys.contains(key) else { continue }
            if let next = row["pending"] {
                let form = ActionCatalog.configureKeys(of: kind).first { $0.matches(key) }?.form
                guard !ParameterDefinition.isSecret(key), let value = form?.value(shownByPVE: next) else { return nil }
                params[key] = value
            } else if row["delete"] != nil {
                deleted.append(.string(key))
            }
        }
        if !deleted.isEmpty { params["delete"] = .array(deleted) }
        return params.isEmpty ? nil : wish(configure, params)
    }

    private func undoDisk() -> JSON? {
        let slot = text("disk")
        let now = disks().first { $0.slot == slot }
        switch request.action.rawValue {
        case "attach_disk": return wish("detach_disk", ["disk": .string(slot)])
        case "move_disk":
            guard let storage = now?.storage else { return nil }
            return wish("move_disk", ["disk": .string(slot), "storage": .string(storage)])
        default:
            guard let now, request.params["destroy"] != true, !slot.hasPrefix("unused") else { return nil }
            var params: JSONObject = ["disk": .string(slot), "volume": .string(now.volume)]
            if let path = now.settings["mp"] { params["path"] = path }
            // The size is the volume's own.
            for option in now.settings.members where !["volume", "mp", "size"].contains(option.key) {
                guard let form = ActionCatalog.diskOptions.first(where: { $0.name == option.key })?.form,
                    let value = form.value(shownByPVE: option.value)
                else { return nil }
                params[option.key] = value
            }
            return wish("attach_disk", params)
        }
    }

    // MARK: Objects

    /// The same edit the other way round: added is removed, changed gets its old values, removed is added again.
    private func undoEdit() -> JSON? {
        guard let op = request.params["op"]?.string, request.params["moveto"] == nil else { return nil }
        let definition = request.definition
        let inPath = Set(request.templates.flatMap(\.placeholders))
        // What tells which object it is; a new rule goes first unless it has a place.
        var params = request.params.members.filter { member in
            inPath.contains(member.key) || definition.parameters.contains { $0.matches(member.key) && $0.isOwn }
        }.reduce(into: JSONObject()) { $0[$1.key] = $1.value }
        params["safety_snapshot"] = nil
        params["op"] = op == "add" ? "remove" : op == "remove" ? "add" : "change"
        for name in ["id", "rule", "name", "group", "cidr", "type"]

        where params[name] == nil && isIdentity(name, params) && (op != "change" || findings.object?[name] == nil) {
            params[name] = request.params[name]
        }
        switch op {
        case "add":
            if isIdentity("pos", params) { params["pos"] = request.params["pos"] ?? 0 }
        case "remove":
            guard !hidesSecrets, fill(&params, { _ in true }) else { return nil }
        default:
            let set = request.params.keys.filter { params[$0] == nil }
            let deleted = (request.params["delete"]?.array ?? []).compactMap(\.string)
            if (set + deleted).contains(where: ParameterDefinition.isSecret) { return nil }
            guard fill(&params, { set.contains($0) || deleted.contains($0) }) else { return nil }
            if let name = request.params["rename"] {
                (params["name"], params["rename"]) = (name, request.params["name"])
            }
            let added = set.filter { findings.object?[$0] == nil && !["delete", "rename"].contains($0) }
            if !added.isEmpty { params["delete"] = JSON(added.sorted()) }
        }
        return wish(request.action.rawValue, params)
    }

    /// Whether the parameter tells the object apart in a request with these others.
    private func isIdentity(_ name: String, _ params: JSONObject) -> Bool {
        request.definition.parameters.contains { parameter in
            parameter.name == name && parameter.requiredWhen?.holds(for: params, on: request.target) == true
        }
    }

    /// Puts the object's present values in; false where one has no form that a request takes.
    private func fill(_ params: inout JSONObject, _ wanted: (String) -> Bool) -> Bool {
        for member in findings.object?.object?.members ?? [] where params[member.key] == nil && wanted(member.key) {
            guard
                let parameter = request.definition.parameters.first(where: { $0.matches(member.key) && !$0.isOwn }),
                parameter.when.holds(for: params, on: request.target)
            else { continue }
            guard let value = parameter.form.value(shownByPVE: member.value) else { return false }
            params[member.key] = value
        }
        return true
    }

    /// PVE shows no passwords and keys: what has any cannot be made again from what is seen.
    private var hidesSecrets: Bool {
        ["cifs", "pbs", "rbd", "cephfs", "esxi", "iscsi"].contains(findings.object?["type"]?.string ?? "")
            || (findings.object?.object?.keys ?? []).contains(where: ParameterDefinition.isSecret)
    }

    private func undoPool() -> JSON? {
        var params = request.params
        switch params["op"]?.string {
        case "add": return wish("pool_edit", ["op": "remove"])
        case "remove":
            let comment = findings.object?["comment"]?.string.map { JSON.string($0) }
            return wish("pool_edit", ["op": "add", "comment": comment])
        case "change": params["comment"] = .string(findings.object?["comment"]?.string ?? "")
        case "join":
            if params["allow-move"] == true { return nil }
            params["op"] = "leave"
            params["allow-move"] = nil
        default: params["op"] = "join"
        }
        return wish("pool_edit", params)
    }
}
