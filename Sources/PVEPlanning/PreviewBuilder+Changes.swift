import AgentModel
import AgentService
import StrictJSON

/// What a request would change, as far as the planner can tell beforehand.
extension PreviewBuilder {
    func changes() async throws(HypervisorError) -> [Change] {
        let now = JSON.string(status)
        switch request.definition.changes {
        case .none: return []
        case .status(let next): return [Change("status", from: now, to: .string(next))]
        case .restarted: return [Change("restart", from: false, to: true)]
        case .suspended where guest?.kind == .container: return [Change("status", from: now, to: "stopped")]
        case .suspended:
            return [Change("status", from: now, to: request.params["todisk"] == true ? "suspended" : "paused")]
        case .resumed:
            return [Change("status", from: now, to: "running")]
        case .exists(let next):
            return [Change("exists", from: .bool(!next), to: .bool(next))] + created() + (next ? [] : try await lost())
        case .template: return [Change("template", from: .bool(isTemplate), to: true)]
        case .restored:
            return [
                Change("exists", from: .bool(isThere), to: true),
                Change("content", from: isThere ? "as it is" : .null, to: .string(text("archive"))),
            ] + (isThere ? try await lost() : [])
        case .node(let name):
            return [Change("node", from: node.map { .string($0.description) } ?? .null, to: .string(text(name)))]
        case .snapshot(let name, let exists):
            let snapshot = JSON.string(text(name))
            return [Change("snapshot", from: exists ? .null : snapshot, to: exists ? snapshot : .null)]
        case .rollback: return try await rollbackChanges()
        case .newGuest(let name):
            return [Change("guest", from: .null, to: .string("\(guest?.kind.targetWord ?? "vm")/\(text(name))"))]
        case .config: return configChanges()
        case .pending: return try await pendingChanges()
        case .size: return [sizeChange()]
        case .moved: return movedChanges()
        case .object:
            guard let call = calls.first else { return [] }
            return objectChanges(call) + (call.method == .delete ? try await lost() : [])
        case .pool: return poolChanges()
        case .service:
            let next = ["stop": "dead", "start": "running"][text("command")]
            return [
                next.map { Change("service", from: findings.object?["state"] ?? .null, to: .string($0)) }
                    ?? Change(text("command"), from: .null, to: .string(text("service")))
            ]
        case .nodeStatus(let next):
            return [Change("status", from: findings.object?["status"] ?? .null, to: .string(next))]
        case .guestStatus(let next): return guestChanges("status", .string(next))
        case .guestNode(let name): return guestChanges("node", .string(text(name)))
        case .pruned:
            let gone = (findings.object?.array ?? []).filter { $0["mark"] == "remove" }.compactMap { $0["volid"] }
            return gone.isEmpty
                ? [Change("backups", from: "kept", to: "kept")] : gone.map { Change("backup", from: $0, to: .null) }
        case .downloaded:
            return [
                Change(
                    "volume", from: .null, to: .string(request.fill("{storage}:{content}/{filename}", CallContext())))
            ]
        case .command:
            let words = (request.params["command"]?.array ?? []).compactMap(\.string)
            return [Change("command", from: .null, to: JSON(words))]
        case .told(let name, let key): return [Change(key, from: .null, to: request.params[name] ?? .null)]
        }
    }

    /// The properties of a guest that is created.
    private func created() -> [Change] {
        guard request.definition.expects == .absent, let call = calls.first else { return [] }
        let shown = call.shownParameters
        return shown.members.filter { $0.key != "vmid" }.map {
            Change($0.key, from: .null, to: value($0.key, $0.value))
        }
    }

    private func guestChanges(_ key: String, _ next: JSON) -> [Change] {
        let states = findings.observed.shown["guests"]?.object ?? [:]
        return findings.guests.map { guest in
            Change("\(guest).\(key)", from: states[guest.description]?[key] ?? .null, to: next)
        }
    }

    // MARK: Configurations

    /// A key's value in readable form: numbers and flags by the key's form, settings split into parts.
    func value(_ key: String, _ shown: JSON) -> JSON {
        let text = shown.string ?? shown.text
        if let settings = PropertyString.settings(key, text) { return .object(settings) }
        if key == "tags" { return JSON(TagStyle.list(text)) }
        if key == "description" { return .string(Self.trimmed(text)) }
        let form = Self.form(of: key, in: request)
        return form?.value(shownByPVE: shown) ?? shown
    }

    /// The text without trailing white space, which PVE adds or removes.
    static func trimmed(_ text: String) -> String {
        String(text.reversed().drop(while: \.isWhitespace).reversed())
    }

    /// Tags as policy compares them.
    static func tags(_ text: String) -> [String] {
        text.split(whereSeparator: { ";, ".contains($0) }).map { $0.lowercased() }.sorted()
    }

    /// The form of a key of a guest's configuration, or of the request's own parameters.
    static func form(of key: String, in request: ActionRequest) -> ParameterDefinition.Form? {
        let own = request.definition.parameters.first { $0.matches(key) }?.form
        guard own == nil, let kind = request.target.guest?.kind else { return own }
        return ActionCatalog.configureKeys(of: kind).first { $0.matches(key) }?.form
    }

    private func configChanges() -> [Change] {
        var changes: [Change] = []
        for call in calls where call.path.last == "config" {
            let shown = call.shownParameters
            let (deleted, set) = call.configKeys
            for key in deleted {
                let isHidden = ParameterDefinition.isSecret(key)
                changes += difference(
                    key, from: config[key].map { isHidden ? .null : value(key, $0) } ?? .null, to: .null)
            }
            for key in set {
                guard let next = shown[key] else { continue }
                if ParameterDefinition.isSecret(key) {
                    changes.append(Change(key, from: .null, to: next))
                } else if key == "tags" {
                    changes.append(tagChange(next.string ?? ""))
                } else {
                    changes += difference(key, from: config[key].map { value(key, $0) } ?? .null, to: value(key, next))
                }
            }
            if let boot = boot(after: call) {
                changes.append(Change("boot", from: config["boot"] ?? .null, to: .string(boot)))
            }
        }
        let differing = changes.filter(\.changesSomething)
        return differing.isEmpty ? changes : differing
    }

    /// The tags as PVE would write them. Spellings that PVE treats as the same tags are no change.
    private func tagChange(_ sent: String) -> Change {
        let now = TagStyle.list(config["tags"]?.string ?? "")
        let next = findings.tagStyle.written(TagStyle.list(sent))
        let isSame = findings.tagStyle.written(now) == next
        return Change("tags", from: JSON(now), to: JSON(isSame ? now : next))
    }

    /// A setting that exists before and after is compared part by part.
    func difference(_ key: String, from: JSON, to: JSON) -> [Change] {
        guard let before = from.object, var after = to.object else { return [Change(key, from: from, to: to)] }
        if before["mac"] != nil, after["mac"] == nil { after["mac"] = "made by PVE" }
        if before["size"] != nil, after["size"] == nil, before["volume"] == after["volume"] {
            after["size"] = before["size"]
        }
        let keys = before.keys + after.keys.filter { before[$0] == nil }
        let parts = keys.filter { before[$0] != after[$0] }
        return parts.isEmpty
            ? [Change(key, from: from, to: from)]
            : parts.map { Change("\(key).\($0)", from: before[$0] ?? .null, to: after[$0] ?? .null) }
    }

    private func pendingChanges() async throws(HypervisorError) -> [Change] {
        let rows = try await readGuest("pending").array ?? []
        let keys = (request.params["keys"]?.array ?? []).compactMap(\.string)
        return rows.filter { $0["key"]?.string.map(keys.contains) == true }.map { row in
            let key = row["key"]?.string ?? ""
            let next = ParameterDefinition.isSecret(key) ? .null : row["pending"]
            return Change("pending.\(key)", from: next ?? (row["delete"] == nil ? .null : "deleted"), to: .null)
        }
    }

    private func sizeChange() -> Change {
        let slot = text("disk")
        let now = PropertyString.settings(slot, config[slot]?.string ?? "")?["size"]
        var next = text("size")
        if next.hasPrefix("+"), let old = now?.string.flatMap(Self.bytes), let more = Self.bytes(next) {
            next = Int(exactly: (old + more) / 1_073_741_824).map { "\($0)G" } ?? next
        }
        return Change("\(slot).size", from: now ?? .null, to: .string(next))
    }

    private func movedChanges() -> [Change] {
        let slot = text("disk")
        let now = disks().first { $0.slot == slot }
        let storage = Change(
            "\(slot).storage", from: now?.storage.map { .string($0) } ?? .null, to: .string(text("storage")))
        guard let format = request.params["format"] else { return [storage] }
        let change = Change("\(slot).format", from: now.map { .string($0.format) } ?? .null, to: format)
        return change.changesSomething && !storage.changesSomething
            ? [change]
            : [storage, change].filter {
                $0.changesSomething || $0 == storage
            }
    }

    // MARK: Objects

    private func objectChanges(_ call: Call) -> [Change] {
        let shown = call.shownParameters
        guard call.method != .delete else { return [Change("exists", from: true, to: false)] }
        let deleted = (shown["delete"]?.string ?? "").split(whereSeparator: { ", ;".contains($0) }).map(String.init)
        // A call that replaces the whole object removes the fields that it does not give.
        let dropped = replacesWhole && call.method == .put ? ["comment", "nomatch"].filter { shown[$0] == nil } : []
        let removals = deleted + dropped.filter { findings.object?[$0] != nil }
        return removals.map { key in
            Change(key, from: ParameterDefinition.isSecret(key) ? .null : findings.object?[key] ?? .null, to: .null)
        }
            + shown.members.filter { $0.key != "digest" && $0.key != "delete" }.map { member in
                guard call.method == .put, let now = findings.object?[member.key] else {
                    return Change(member.key, from: .null, to: member.value)
                }
                let hidden = ParameterDefinition.isSecret(member.key)
                // PVE may answer with a number where it was sent a text: values that read the same are no change.
                let same = same(member.key, now, member.value)
                return Change(member.key, from: hidden ? .null : same ? member.value : now, to: member.value)
            }
    }

    private func same(_ key: String, _ now: JSON, _ next: JSON) -> Bool {
        let form = Self.form(of: key, in: request)
        let values = [now, next].map { form?.value(shownByPVE: $0) ?? $0 }
        if values[0] == values[1] { return true }
        let texts = [now, next].map { $0.string ?? $0.text }
        guard ["content", "nodes", "vmid", "exclude", "resources", "prune-backups"].contains(key) else {
            return texts[0] == texts[1]
        }
        let parts = values.map { value in
            Set(Self.list(value.array == nil ? .string(value.string ?? value.text) : value))
        }
        return parts[0] == parts[1]
    }

    private func poolChanges() -> [Change] {
        let members = Set((findings.object?["members"]?.array ?? []).compactMap(\.string))
        let named =
            (request.params["vms"]?.array ?? []).map { ("guest \($0.text)", "/\($0.text)") }
            + (request.params["storage"]?.array ?? []).compactMap(\.string).map { ("storage \($0)", "/\($0)") }
        switch request.params["op"]?.string {
        case "add":
            return [
                Change("exists", from: false, to: true), Change("comment", from: .null, to: .string(text("comment"))),
            ]
        case "remove": return [Change("exists", from: true, to: false)]
        case "change":
            return [Change("comment", from: findings.object?["comment"] ?? .null, to: .string(text("comment")))]
        case let op:
            return named.map { name, suffix in
                Change(name, from: .bool(members.contains { $0.hasSuffix(suffix) }), to: .bool(op == "join"))
            }
        }
    }
}

extension Change {
    /// Whether the change has an effect. A hidden value may differ even where both sides look the same.
    var changesSomething: Bool { from != to || ParameterDefinition.isSecret(key) }
}
