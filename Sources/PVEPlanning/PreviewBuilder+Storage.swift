import AgentModel
import AgentService
import StrictJSON

/// Checks on storages and their content.
extension PreviewBuilder {
    /// The type of every storage that the token may see.
    func storageTypes() async throws(HypervisorError) -> [String: String] {
        (try await read(["storage"]).array ?? []).reduce(into: [:]) { types, row in
            if let name = row["storage"]?.string { types[name] = row["type"]?.string }
        }
    }

    func storageActive(_ parameter: String, _ content: String?) async throws(HypervisorError) -> [Check] {
        let content =
            content == "disks" ? guest?.kind.diskContent : content.map { request.fill($0, findings.callContext) }
        if case .storage(let own) = request.target { return try await active("\(own)", on: node, content: content) }
        let name = text(parameter)
        guard !name.isEmpty else { return [] }
        // A clone may name another node as its target.
        let place = request.params["target"]?.string.flatMap(NodeName.init) ?? node
        return try await active(name, on: place, content: content)
    }

    /// Checks that the storage is available and enabled on the node, and takes the content.
    func active(_ name: String, on node: NodeName?, content: String?) async throws(HypervisorError) -> [Check] {
        guard let node else { return [] }
        let known = try await read(["cluster", "resources"], ["type": "storage"]).array ?? []
        let here = known.filter { $0["node"]?.string == node.description }
        var row = here.first { $0["storage"]?.string == name && $0["status"] == "available" }
        if row == nil { row = try await status(of: name, on: node) }
        guard let row else {
            let names = Set(here.compactMap { $0["storage"]?.string }).sorted().joined(separator: ", ")
            return [
                Check(
                    "storage", .block,
                    "node \(node) shows no storage \(name); it has \(names.isEmpty ? "none, or the token lacks Datastore.Audit" : names)"
                )
            ]
        }
        let what = "storage \(name) on node \(node)"
        let takes = Self.list(row["content"])
        if row["status"] == "available" {
            try await activate(name, on: node, row["plugintype"], takes)
        } else if !flag(row, "active", of: what) || !flag(row, "enabled", of: what, absent: true) {
            return [Check("storage", .block, "storage \(name) is not active on node \(node)")]
        }
        if let content, !takes.isEmpty, !takes.contains(content) {
            return [
                Check(
                    "storage", .block,
                    "storage \(name) takes no \(content); it takes \(takes.sorted().joined(separator: ", "))")
            ]
        }
        return space(row, of: what, name) + [Check("storage", .ok, "storage \(name) is active on node \(node)")]
    }

    /// Some types of storage cannot report their size, and report 0.
    private func space(_ row: JSON, of what: String, _ name: String) -> [Check] {
        let isListed = row["status"] != nil
        guard let total = amount(row, isListed ? "maxdisk" : "total", of: what), total > 0,
            let used = amount(row, isListed ? "disk" : "used", of: what)
        else { return [] }
        if used >= total || (!isListed && amount(row, "avail", of: what) == 0) {
            return [Check("storage-space", .block, "storage \(name) is full")]
        }
        guard Double(used) > Double(total) * 0.9 else { return [] }
        return [Check("storage-space", .warn, "storage \(name) is more than nine tenths full")]
    }

    /// Makes PVE activate this storage alone: PVE reports its status only after it has asked all storages of the node,
    /// and one that hangs delays that. PVE looks for no volumes where the read asks for content that the storage does
    /// not take; RBD shows its state only when PVE lists its volumes.
    private func activate(
        _ name: String, on node: NodeName, _ type: JSON?, _ takes: [String]
    ) async throws(HypervisorError) {
        let other = ["vztmpl", "snippets", "iso", "backup", "rootdir"].first { !takes.contains($0) }
        let content = type == "rbd" ? takes.first ?? "images" : other ?? "snippets"
        _ = try await read(["nodes", "\(node)", "storage", name, "content"], ["content": content])
    }

    /// PVE's report on the storage after it has asked all storages of the node; `nil` where it has none of that name.
    private func status(of name: String, on node: NodeName) async throws(HypervisorError) -> JSON? {
        do throws(HypervisorError) {
            let rows = try await read(["nodes", "\(node)", "storage"], ["storage": name]).array ?? []
            return rows.first { $0["storage"]?.string == name }
        } catch {
            guard case .refused(let upstream) = error, upstream.status == 400 else { throw error }
            return nil
        }
    }

    /// Deleting a storage's definition makes the disks on it unavailable.
    func storageUnused() async throws(HypervisorError) -> [Check] {
        guard let call = calls.first, call.method == .delete, case .storage(let own) = request.target else { return [] }
        let disks = try await storedVolumes(on: own).filter { $0["content"] == "images" || $0["content"] == "rootdir" }
        var ids = Set(disks.compactMap(owner))
        for (other, config) in try await unseenPlaces(of: own).isEmpty ? [] : configurations()
        where Self.hasVolume(on: own, config) { ids.insert(other.id) }
        guard !ids.isEmpty else { return [] }
        let shown = ids.sorted().prefix(20).map(\.description).joined(separator: ", ") + (ids.count > 20 ? ", …" : "")
        return [Check("storage-used", .block, "disks of guests \(shown) are on storage \(own); move them first")]
    }

    /// Warns of places where the storage's content cannot be read, for a change that may concern it.
    func storageSeen() async throws(HypervisorError) -> [Check] {
        guard let call = calls.first, call.method != .post, case .storage(let own) = request.target else { return [] }
        return try await unseenPlaces(of: own).map { place in
            Check("storage-unseen", .warn, "\(place): what is there is not known, only what configurations name")
        }
    }

    /// The places where the storage should be but is not available.
    func unseenPlaces(of storage: StorageName) async throws(HypervisorError) -> [String] {
        let rows = try await read(["cluster", "resources"], ["type": "storage"]).array ?? []
        let places = rows.filter { $0["storage"]?.string == storage.description }
        if places.isEmpty { return ["storage \(storage) is on no node"] }
        return places.filter { $0["status"] != "available" }.map { row in
            "storage \(storage) is \(row["status"]?.string ?? "unknown") on node \(row["node"]?.string ?? "?")"
        }
    }

    static func hasVolume(on storage: StorageName, _ config: JSON) -> Bool {
        (config.object?.members ?? []).contains { member in
            PropertyString.settings(member.key, member.value.string ?? "")?["volume"]?.string?
                .hasPrefix("\(storage):") == true
        }
    }

    /// The content of a storage on all nodes where it is available.
    func storedVolumes(on storage: StorageName) async throws(HypervisorError) -> [JSON] {
        let rows = try await read(["cluster", "resources"], ["type": "storage"]).array ?? []
        let able = rows.filter { $0["storage"]?.string == storage.description && $0["status"] == "available" }
        var found: [JSON] = []
        for node in able.compactMap({ $0["node"]?.string }).sorted() {
            found += try await volumes(on: "\(storage)", of: node)
            if able.first?["shared"]?.flag == true { break }
        }
        return found
    }

    func volumes(on storage: String, of node: String) async throws(HypervisorError) -> [JSON] {
        try await read(["nodes", node, "storage", storage, "content"]).array ?? []
    }

    func volumeExists(_ volume: String, _ isBackup: Bool) -> [Check] {
        guard let row = findings.object else {
            return [Check("volume-exists", .block, "there is no \(volume) on \(request.target)")]
        }
        guard (row["content"] == "backup") == isBackup else {
            return [
                Check(
                    "volume-kind", .block,
                    isBackup ? "\(volume) is no backup; use delete_volume" : "\(volume) is a backup; use delete_backup")
            ]
        }
        return []
    }

    func volumeUnprotected(_ volume: String) -> [Check] {
        guard flag(findings.object, "protected", of: volume) else { return [] }
        return [Check("protected", .block, "\(volume) is protected; unset that first")]
    }

    func volumeUnused(_ volume: String) async throws(HypervisorError) -> [Check] {
        guard !volume.isEmpty else { return [] }
        let users = try await users(of: volume)
        // A guest may attach its own unused volume.
        let others = users.filter { $0 != guest?.description || !isUnused(volume) }
        guard !others.isEmpty else { return [] }
        return [Check("volume-used", .block, "\(volume) is used by \(others.joined(separator: ", "))")]
    }

    private func isUnused(_ volume: String) -> Bool {
        disks().contains { $0.slot.hasPrefix("unused") && VolumeName($0.volume) == VolumeName(volume) }
    }

    func volumeIsNew() -> [Check] {
        guard findings.object != nil else { return [] }
        return [
            Check("volume-exists", .block, "\(text("filename")) is on \(request.target) already; take another name")
        ]
    }

    /// Checks that the backup exists, and is of the target's kind of guest.
    func archive(_ volume: String) async throws(HypervisorError) -> [Check] {
        guard let guest, let node, let colon = volume.firstIndex(of: ":") else { return [] }
        let storage = String(volume[..<colon])
        let rows = try await read(["nodes", node.description, "storage", storage, "content"], ["content": "backup"])
        guard let row = rows.array?.first(where: { $0["volid"]?.string == volume }) else {
            return [Check("archive", .block, "there is no backup \(volume) for node \(node)")]
        }
        let word = guest.kind.rawValue
        let kind = row["subtype"]?.string ?? (volume.contains("vzdump-lxc") || volume.contains("/ct/") ? "lxc" : "qemu")
        return kind == word ? [] : [Check("archive", .block, "\(volume) is no backup of a \(guest.kind.noun)")]
    }
}
