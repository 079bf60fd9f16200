import AgentModel
import AgentService
import StrictJSON

/// The request that reverts a change, ready to be planned.
extension PreviewBuilder {
    /// Returns `nil` where no request reverts the change. ``gaps`` lists what the undo does not restore.
    func undo() async throws(HypervisorError) -> FollowUp? {
        let name = request.safetyName(in: findings.callContext)
        var undo = try await undone().flatMap(acceptable)
        if let found = undo, let reason = rootOnly(in: found) { (undo, noUndo) = (nil, reason) }
        if undo == nil, let name, request.definition.changes != .exists(false) {
            // The safety snapshot is the undo where there is no other.
            gaps = []
            losesThePoint = false
            undo = wish(
                Action.rollbackSnapshot.rawValue,
                ["snapname": .string(name), "start": status == "running" ? true : nil])
            if status == "running" { gap("state", "what runs in \(request.target) ends, and begins anew") }
        }
        if undo != nil, let name { gap("snapshot", "the safety snapshot \(name) stays") }
        return undo
    }

    func gap(_ key: String, _ detail: String) {
        let gap = UndoGap(key, detail)
        if !gaps.contains(gap) { gaps.append(gap) }
    }

    /// A request that would be refused is no undo.
    private func acceptable(_ undo: FollowUp) -> FollowUp? {
        (try? ActionRequest(undo)) == nil ? nil : undo
    }

    private func undone() async throws(HypervisorError) -> FollowUp? {
        switch request.definition.undo {
        case .none: return nil
        case .action(let name, let target, let arguments, let asleep):
            var params = JSONObject()
            for argument in arguments { params[argument.name] = value(of: argument) }
            try await notePower()
            if let asleep, findings.observed.shown["lock"] == "suspended" { return wish(asleep, ["todisk": true]) }
            return wish(name, params, on: target.map { request.fill($0, findings.callContext) })
        case .wake(let name):
            try await notePower()
            return try await canWake() ? wish(name, [:]) : nil
        case .opposite(let name, let words):
            guard let word = words[text(name)] else { return nil }
            var params = request.params
            params[name] = .string(word)
            return wish(request.action.rawValue, params)
        case .config: return undoConfig(by: request.action.rawValue)
        case .tags: return undoTags()
        case .pending: return try await undoPending()
        case .migration: return undoMigration().map { wish(request.action.rawValue, $0) }
        case .attach(let name): return undoDetach(by: name)
        case .detach(let name): return undoAttach(by: name)
        case .moveBack: return undoMove()
        case .edit(let gaps): return try await undoEdit(gaps)
        case .pool: return try await undoPool()
        case .restored:
            return isThere ? nil : guest.map { wish($0.kind.action("delete"), [:]) }
        case .guests(let name):
            let changed = (try await changes()).enumerated().filter { $0.element.from != $0.element.to }
            let ids = changed.map { JSON(Int(findings.guests[$0.offset].id.rawValue)) }
            if case .guestNode(let target) = request.definition.changes {
                return wayBack(of: ids, by: name, from: text(target), to: Set(changed.map(\.element.from)))
            }
            if request.definition.changes == .guestStatus("stopped") {
                gap("state", "what runs in the guests ends, and begins anew")
            }
            return ids.isEmpty ? nil : wish(name, ["vms": .array(ids)])
        }
    }

    /// Moves guests back to the node that they came from; `nil` where they came from several.
    private func wayBack(
        of ids: [JSON], by action: String, from node: String, to origins: Set<JSON>
    ) -> FollowUp? {
        guard origins.count == 1, let origin = origins.first, origin.string != nil, !ids.isEmpty else { return nil }
        var params: JSONObject = ["vms": .array(ids), "target": origin]
        for name in ["max-workers", "with-local-disks"] { params[name] = request.params[name] }
        return wish(action, params, on: "node/\(node)")
    }

    func wish(_ action: String, _ params: JSONObject, on target: String? = nil) -> FollowUp {
        request.followUp(action, params, on: target)
    }

    private func value(of argument: UndoRule.Argument) -> JSON? {
        switch argument.source {
        case .parameter: request.params[argument.name]
        case .observed(let field): findings.observed.shown[field]
        case .flag(let wanted): status == wanted ? true : nil
        case .text(let text): .string(request.fill(text, findings.callContext))
        }
    }

    /// Whether the node's configuration has the address for a wake-up.
    private func canWake() async throws(HypervisorError) -> Bool {
        guard case .node(let node) = request.target else { return false }
        do throws(HypervisorError) {
            return try await read(["nodes", node.description, "config"])["wakeonlan"] != nil
        } catch {
            guard case .refused(let upstream) = error, !upstream.isFromGateway else { throw error }
            note("undo", "PVE does not tell whether \(node) can be woken, so there is no undo: \(upstream.reason)")
            return false
        }
    }

    /// Notes what a stop ends for good, and which pending changes it applies.
    private func notePower() async throws(HypervisorError) {
        switch request.definition.changes {
        case .status("stopped"):
            guard status != "stopped" else { return }
            gap("state", "what runs in \(request.target) ends, and begins anew")
            if status == "paused" { gap("status", "\(request.target) is paused; it runs afterwards") }
            for row in try await readGuest("pending").array ?? [] {
                guard row["pending"] != nil || row["delete"] != nil, let key = row["key"]?.string else { continue }
                gap("pending.\(key)", "the pending change of \(key) takes effect with the stop")
            }
        case .nodeStatus("offline"):
            gap("guests", "the guests of \(request.target) stop; those without onboot do not start with it again")
        default: break
        }
    }

    // MARK: Configurations

    /// The action that sets any key of the guest's configuration.
    var configure: String { (guest?.kind ?? .container).action("configure") }

    /// Restores the old values of all keys that were set or deleted; `nil` where one of them cannot be read or set.
    func undoConfig(by action: String) -> FollowUp? {
        guard let kind = guest?.kind else { return nil }
        let known = ActionCatalog.configureKeys(of: kind)
        var params = JSONObject()
        var added: [String] = []
        for call in calls where call.path.last == "config" {
            let (deleted, set) = call.configKeys
            if call["force"] == "1", deleted.contains(where: { TextForm.disk(kind).matches($0) }) { return nil }
            if set.isEmpty, deleted.isEmpty { continue }
            if let old = config["boot"], boot(after: call) != nil { params["boot"] = old }
            let drives = deleted.filter { key in config[key]?.string.flatMap { disk(key, $0) }?.isCDROM == true }
            if config["boot"]?.string?.contains("order=") == true, let drive = drives.first {
                gap("boot", "PVE may put \(drive) at the end of the order when it comes back")
            }
            noteUnused(after: call)
            for key in deleted + set {
                if ParameterDefinition.isSecret(key) { return nil }
                guard let old = config[key] else {
                    if !deleted.contains(key) { added.append(key) }
                    continue
                }
                guard let form = known.first(where: { $0.matches(key) })?.form,
                    let value = oldValue(key, old, form, isGone: deleted.contains(key))
                else { return nil }
                params[key] = value
            }
        }
        if !added.isEmpty { params["delete"] = JSON(added) }
        return params.isEmpty ? nil : wish(action, params)
    }

    /// A key's old value in the form of a request; `nil` where no token may set it.
    private func oldValue(
        _ key: String, _ old: JSON, _ form: ParameterDefinition.Form, isGone: Bool
    ) -> JSON? {
        let text = old.string ?? old.text
        if key == "tags" {
            noteTags()
            return JSON(TagStyle.list(text))
        }
        if key == "description" { return .string(Self.trimmed(text)) }
        guard let disk = disk(key, text) else { return form.value(shownByPVE: old) }
        guard disk.volume == "none" || disk.storage != nil else {
            noUndo = UndoGap(
                key, "\(disk.volume) is the node's own, and PVE lets only root@pam itself give it: no undo")
            return nil
        }
        if isGone, disk.isCloudInit, let storage = disk.storage {
            gap("\(key).volume", "the cloud-init drive is made anew")
            return .string("\(storage):cloudinit")
        }
        return form.value(shownByPVE: old)
    }

    private func undoTags() -> FollowUp? {
        let style = findings.tagStyle
        let now = TagStyle.list(config["tags"]?.string ?? "")
        let next = request.tags(in: findings.callContext)
        noteTags()
        let (old, new) = (Set(now.map(style.name)), Set(next.map(style.name)))
        let (lost, gained) = (old.subtracting(new), new.subtracting(old))
        var params = JSONObject()
        if !lost.isEmpty { params["add"] = JSON(now.filter { lost.contains(style.name(of: $0)) }) }
        if !gained.isEmpty { params["remove"] = JSON(next.filter { gained.contains(style.name(of: $0)) }) }
        return params.isEmpty ? nil : wish(request.action.rawValue, params)
    }

    /// PVE rewrites all tags whenever any tag is set.
    private func noteTags() {
        let now = TagStyle.list(config["tags"]?.string ?? "")
        let style = findings.tagStyle
        let isMoved = style.keepsOrder && request.definition.undo == .tags && now.count > 1
        guard isMoved || style.written(now) != now else { return }
        gap("tags", "PVE writes tags as \(style.written(now).joined(separator: ", ")); their order may be another")
    }

    private func undoPending() async throws(HypervisorError) -> FollowUp? {
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
}

extension Call {
    /// The keys that a change of a configuration deletes, and those that it sets.
    var configKeys: (deleted: [String], set: [String]) {
        let deleted = (self["delete"] ?? "").split(whereSeparator: { ",; ".contains($0) }).map(String.init)
        return (deleted, parameters.map(\.name).filter { !["delete", "digest", "force", "revert"].contains($0) })
    }
}
