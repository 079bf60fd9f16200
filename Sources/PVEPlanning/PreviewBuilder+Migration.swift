import AgentModel
import AgentService
import StrictJSON

/// Checks on migrations to another node.
extension PreviewBuilder {
    func migration() async throws(HypervisorError) -> [Check] {
        guard let guest, let node, isThere, findings.observed.shown["lock"]?.string == nil,
            try await canAskForPreconditions(text("target"))
        else { return [] }
        let isOn = status != "stopped"
        var checks: [Check] = []
        // HA migrates a running guest live, or stops it and starts it on the target, as the request says.
        let asksHA = request.params["mode"] != nil
        if isOn, !asksHA {
            let flag = guest.kind == .vm ? "online" : "restart"
            if request.params[flag] != true {
                return [Check("online", .block, "\(guest) is running; give \(flag): true, or stop it first")]
            }
        }
        checks += try await obstacles(to: guest, on: node.description, isOn: isOn, takesDisks: asksHA)
        return checks + (try await targetStorages())
    }

    /// The same checks for each of many guests. PVE leaves a guest that is on the target already, so that is a block.
    func guestsMove() async throws(HypervisorError) -> [Check] {
        let target = text("target")
        guard try await canAskForPreconditions(target) else { return [] }
        let rows = try await rowsByID()
        var checks: [Check] = []
        for guest in findings.guests {
            let state = findings.guestStates[guest.description] ?? .null
            guard let place = rows[guest.id]?["node"]?.string, state["readable"] != false,
                state["lock"]?.string == nil
            else { continue }
            guard place != target else {
                checks.append(Check("guests", .block, "\(guest) is on \(target) already; leave it out"))
                continue
            }
            let isOn = state["status"] != "stopped"
            if isOn, request.target == .cluster, request.params["online"] != true {
                checks.append(Check("online", .block, "\(guest) is running; give online: true, or leave it out"))
                continue
            }
            if isOn, guest.kind == .container {
                checks.append(Check("restart", .warn, "\(guest) is shut down, moved, and started there"))
            }
            checks += try await obstacles(to: guest, on: place, isOn: isOn, takesDisks: false)
        }
        return checks
    }

    /// Whether to ask PVE: without quorum, or for a node that is offline, other checks report the problem.
    private func canAskForPreconditions(_ target: String) async throws(HypervisorError) -> Bool {
        guard await isQuorate() else { return false }
        return try await !nodeOnline(target).contains { $0.level == .block }
    }

    /// What PVE reports against the migration, except what the request allows.
    private func obstacles(
        to guest: GuestRef, on node: String, isOn: Bool, takesDisks: Bool
    ) async throws(HypervisorError) -> [Check] {
        let found: JSON
        do throws(HypervisorError) { found = try await preconditions(of: guest, on: node) } catch {
            guard case .refused(let upstream) = error, !upstream.isFromGateway else { throw error }
            return [Check("migration", .block, "PVE does not tell whether \(guest) can move: \(upstream.reason)")]
        }
        var checks: [Check] = []
        let disks = found["local_disks"]?.array ?? []
        let images = disks.filter { disk in
            let what = disk["volid"]?.string ?? "a disk"
            return flag(disk, "cdrom", of: what) && !flag(disk, "is_cloudinit", of: what)
        }
        checks += images.map { image in
            let slot = image["drivename"]?.string ?? "a drive"
            return Check(
                "cdrom", .block,
                "\(slot) of \(guest) holds \(image["volid"]?.string ?? "an image"), which only \(node) has; "
                    + "eject it: configure_vm {\"\(slot)\": \"none,media=cdrom\"}")
        }
        let local = disks.filter { !images.contains($0) }.compactMap { $0["volid"]?.string }
        if isOn, !local.isEmpty, !takesDisks, request.params["with-local-disks"] != true {
            let verb = local.count == 1 ? "is" : "are"
            checks.append(
                Check(
                    "local-disks", .block,
                    "\(local.joined(separator: ", ")) of \(guest) \(verb) local; give with-local-disks: true"))
        }
        let resources = (found["local_resources"]?.array ?? []).compactMap(\.string)
        if !resources.isEmpty {
            let names = resources.joined(separator: ", ")
            checks.append(Check("local-resources", .block, "\(guest) uses what only its node has: \(names)"))
        }
        return checks + reasons(against: guest, found)
    }

    /// The reason that PVE lists for a node that cannot take the guest.
    private func reasons(against guest: GuestRef, _ found: JSON) -> [Check] {
        let target = text("target")
        let refused = found["not_allowed_nodes"] ?? found["not-allowed-nodes"]
        guard let reasons = refused?[target]?.object else { return [] }
        let isMapped = request.params["targetstorage"] != nil || request.params["target-storage"] != nil
        return reasons.members.filter { !(isMapped && $0.key.hasPrefix("unavailable")) }.map { member in
            let texts = (member.value.array ?? []).compactMap { $0.string ?? $0["sid"]?.string }.sorted()
            let words = member.key.split(whereSeparator: { "_-".contains($0) }).joined(separator: " ")
            return Check(
                "migration", .block, "\(target) cannot take \(guest): \(words) \(texts.joined(separator: ", "))")
        }
    }

    /// What PVE answers about moving the guest to the target.
    func preconditions(of guest: GuestRef, on node: String) async throws(HypervisorError) -> JSON {
        try await read(
            ["nodes", node, guest.kind.rawValue, guest.id.description, "migrate"], ["target": text("target")])
    }

    // MARK: Storages of the target

    /// Checks that the storages for the disks are active on the target. PVE does not report them for containers
    /// beforehand.
    private func targetStorages() async throws(HypervisorError) -> [Check] {
        guard let guest, let target = NodeName(text("target")) else { return [] }
        let content = guest.kind == .vm ? "images" : "rootdir"
        let map = StorageMap(request)
        let own = guest.kind == .vm && map.isEmpty ? [] : disks().filter { !$0.isImage }.compactMap(\.storage)
        var checks: [Check] = []
        for name in Set(own.map { map[$0] } + map.targets).sorted() {
            checks += try await active(name, on: target, content: content).filter { $0.level != .ok }
        }
        return checks
    }

    /// The request that moves a guest back in the same way, with its disks to the storages where they are now.
    func undoMigration() -> JSONObject? {
        guard let guest else { return nil }
        let isVM = guest.kind == .vm
        var params: JSONObject = ["target": findings.observed.shown["node"]]
        if status != "stopped" { params[isVM ? "online" : "restart"] = true }
        if request.params["with-local-disks"] == true { params["with-local-disks"] = true }
        let map = StorageMap(request)
        var back: [String: String] = [:]
        for storage in Set(disks().filter { !$0.isImage }.compactMap(\.storage)).sorted() {
            // Disks from two storages that went to the same one cannot be told apart any more.
            if let other = back.updateValue(storage, forKey: map[storage]), other != storage { return nil }
        }
        let pairs = back.filter { $0.key != $0.value }.map { "\($0.key):\($0.value)" }.sorted()
        if !pairs.isEmpty { params[isVM ? "targetstorage" : "target-storage"] = .string(pairs.joined(separator: ",")) }
        return params
    }
}

/// The target storage of each source storage: `a:b` maps one, `b` all others, `1` keeps the names.
private struct StorageMap {
    private var pairs: [String: String] = [:]
    private var rest: String?

    init(_ request: ActionRequest) {
        let text = (request.params["targetstorage"] ?? request.params["target-storage"])?.string ?? ""
        for entry in text.split(whereSeparator: { ",; ".contains($0) }) where entry != "1" {
            let parts = entry.split(separator: ":").map(String.init)
            if parts.count == 2 { pairs[parts[0]] = parts[1] } else { rest = String(entry) }
        }
    }

    var isEmpty: Bool { pairs.isEmpty && rest == nil }
    var targets: [String] { Array(pairs.values) + (rest.map { [$0] } ?? []) }
    subscript(storage: String) -> String { pairs[storage] ?? rest ?? storage }
}

extension PreviewBuilder.Disk {
    /// Whether the disk is an image in a drive: it stays where it is, as other guests may use it.
    fileprivate var isImage: Bool { settings["media"] == "cdrom" && !volume.contains("cloudinit") }
}
