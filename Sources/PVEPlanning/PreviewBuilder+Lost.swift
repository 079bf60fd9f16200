import AgentModel
import AgentService
import FoundationEssentials
import StrictJSON

/// What an action destroys for good.
extension PreviewBuilder {
    /// Everything that exists now and not afterwards, besides the object itself.
    func lost() async throws(HypervisorError) -> [Change] {
        if guest != nil, request.definition.object == .none { return try await lostWithGuest() }
        guard request.definition.effect == .change else { return [] }
        var changes: [Change] = []
        for member in findings.object?.object?.members ?? []
        where !Self.moving.contains(member.key) && !member.value.isNull {
            let isSecret = ParameterDefinition.isSecret(member.key)
            changes.append(
                Change(member.key, from: isSecret ? "<redacted>" : shown(member.key, member.value), to: .null))
        }
        if request.params["object"] == "ipset" {
            if let comment = try await listed()?["comment"] {
                changes.append(Change("comment", from: comment, to: .null))
            }
            for entry in findings.object?.array ?? [] {
                guard let cidr = entry["cidr"]?.string else { continue }
                let note = entry["comment"]?.string.map { " (\($0))" } ?? ""
                changes.append(
                    Change("entry", from: .string((entry["nomatch"]?.flag == true ? "!" : "") + cidr + note), to: .null)
                )
            }
        }
        if request.definition.object == .ha, guest != nil {
            changes += try await haRules().map(Self.leaving)
        }
        return changes
    }

    /// Fields that do not describe the object, or that repeat its path.
    private static let moving: Set<String> = [
        "digest", "next-run", "last_sync", "last_try", "next_sync", "fail_count", "pos", "ipversion", "used",
    ]

    private static func leaving(_ rule: (name: String, others: [String])) -> Change {
        Change("rule \(rule.name)", from: "names it", to: rule.others.isEmpty ? .null : JSON(rule.others))
    }

    private func shown(_ key: String, _ value: JSON) -> JSON {
        switch key {
        case "size": value.amount.map { .string(Self.size(Double($0))) } ?? value
        case "ctime", "snaptime": value.whole.flatMap(Self.time).map { .string($0) } ?? value
        default: value
        }
    }

    private static func time(_ seconds: Int64) -> String? { date(seconds)?.rfc3339 }

    /// `nil` for a time before 1970 or after 2999.
    static func date(_ seconds: Int64) -> Date? {
        guard (0...32_503_680_000).contains(seconds) else { return nil }
        return Date(timeIntervalSince1970: TimeInterval(seconds))
    }

    /// The size of the volumes and archives that changes destroy, in bytes; the largest number if one is not known.
    static func destroyedBytes(by changes: [Change]) -> Int64 {
        changes.filter { $0.to == .null && $0.from["volume"] != nil }.reduce(0) { sum, change in
            guard let bytes = change.from["size"].flatMap(bytes) else { return .max }
            let (total, isTooLarge) = sum.addingReportingOverflow(bytes)
            return isTooLarge ? .max : total
        }
    }

    /// A size as PVE's settings and ``size(_:)`` have it: `32G`.
    private static func bytes(_ size: JSON) -> Int64? {
        let text = size.string ?? size.text
        let power = text.last.flatMap { ["K", "M", "G", "T"].firstIndex(of: String($0)) }.map { $0 + 1 } ?? 0
        guard text.utf8.count <= 30, let number = Double(power > 0 ? text.dropLast() : text[...]), number >= 0 else {
            return nil
        }
        return Int64(exactly: (0..<power).reduce(number) { value, _ in value * 1024 }.rounded(.up))
    }

    /// A number of bytes in readable form: `32G`.
    private static func size(_ bytes: Double) -> String {
        for (unit, factor) in [("T", 1_099_511_627_776.0), ("G", 1_073_741_824), ("M", 1_048_576), ("K", 1024)]
        where bytes >= factor && bytes < 1e18 {
            let tenths = (bytes / factor * 10).rounded() / 10
            return tenths == tenths.rounded() ? "\(Int(tenths))\(unit)" : "\(tenths)\(unit)"
        }
        return "\(bytes < 1e18 && bytes > -1e18 ? String(Int(bytes)) : String(bytes))"
    }

    // MARK: Guests

    /// The guest's volumes with their sizes, its snapshots, and its replication jobs.
    private func lostWithGuest() async throws(HypervisorError) -> [Change] {
        guard isThere, let guest else { return [] }
        var changes: [Change] = []
        let volumes = disks().filter { $0.storage != nil && (!$0.isCDROM || $0.isCloudInit) }
        for disk in volumes {
            var from: JSONObject = ["volume": .string(disk.volume)]
            from["size"] = if let size = disk.settings["size"] { size } else { try await storedSize(disk) }
            changes.append(Change(disk.slot, from: .object(from), to: .null))
        }
        if request.params["destroy-unreferenced-disks"] == true {
            changes += try await unreferenced(besides: volumes.map(\.volume))
        }
        for row in try await readGuest("snapshot").array ?? [] {
            guard let name = row["name"]?.string, name != "current" else { continue }
            let taken = row["snaptime"]?.whole.flatMap(Self.time).map { ", taken \($0)" } ?? ""
            changes.append(Change("snapshot", from: .string(name + taken), to: .null))
        }
        guard request.definition.changes == .exists(false) else { return changes }
        for row in try await optional("the replication jobs", ["cluster", "replication"]) {
            guard row["guest"]?.guestID == guest.id, let id = row["id"]?.string else { continue }
            changes.append(
                Change("replication", from: .string("\(id) to \(row["target"]?.string ?? "a node")"), to: .null))
        }
        if request.params["purge"] == true, isManaged {
            changes.append(Change("ha", from: "managed", to: .null))
            changes += try await haRules().map(Self.leaving)
        }
        return changes
    }

    /// What storages report of a volume whose size the configuration does not give.
    private func storedSize(_ disk: Disk) async throws(HypervisorError) -> JSON? {
        guard let node, let storage = disk.storage else { return nil }
        let path = ["nodes", node.description, "storage", storage, "content"]
        let rows = try await optional("storage \(storage)", path)
        return rows.first { $0["volid"]?.string == disk.volume }?["size"].map { shown("size", $0) }
    }

    /// Volumes of the guest's number that its configuration does not name.
    private func unreferenced(besides known: [String]) async throws(HypervisorError) -> [Change] {
        guard let node, let guest else { return [] }
        var changes: [Change] = []
        for place in try await places(with: ["images", "rootdir"])
        where place.isAvailable && (place.isShared || place.node == node.description) {
            let path = ["nodes", node.description, "storage", place.storage, "content"]
            for row in try await optional("storage \(place.storage)", path) {
                guard let volume = row["volid"]?.string, !known.contains(volume), row["content"] != "backup",
                    row["vmid"]?.guestID == guest.id
                else { continue }
                changes.append(
                    Change(
                        "unreferenced",
                        from: ["volume": .string(volume), "size": row["size"].map { shown("size", $0) }],
                        to: .null))
            }
        }
        return changes
    }

    /// A list where PVE gives it; otherwise a warning.
    private func optional(
        _ what: String, _ path: [String], _ query: [String: String] = [:]
    ) async throws(HypervisorError) -> [JSON] {
        do throws(HypervisorError) { return try await read(path, query).array ?? [] } catch {
            guard case .refused(let upstream) = error else { throw error }
            note("losses", "\(what) cannot be read, and may lose more: \(upstream.reason)")
            return []
        }
    }

    // MARK: Rollback

    /// What a rollback to a snapshot stops and changes.
    func rollbackChanges() async throws(HypervisorError) -> [Change] {
        let name = text("snapname")
        var changes = [Change("state", from: "as it is", to: .string("snapshot \(name)"))]
        let old: JSON
        do throws(HypervisorError) { old = try await readGuest("config", query: ["snapshot": name]) } catch {
            // The checks report a missing snapshot.
            guard case .refused(let upstream) = error, upstream.saysAbsent else { throw error }
            return changes
        }
        // A machine whose memory was saved runs afterwards; other guests are stopped unless the request starts them.
        let next = request.params["start"] == true || (guest?.kind == .vm && old["vmstate"] != nil)
        let after = next ? "running" : "stopped"
        if status != after || status != "stopped" {
            changes.append(Change("status", from: .string(status), to: .string(next ? "restarted" : "stopped")))
        }
        let keys = (config.object?.keys ?? []) + (old.object?.keys ?? []).filter { config[$0] == nil }
        for key in keys where !Self.ofSnapshot.contains(key) && config[key] != old[key] {
            let isHidden = ParameterDefinition.isSecret(key)
            let (from, to) = (config[key].map { value(key, $0) }, old[key].map { value(key, $0) })
            changes +=
                isHidden
                ? [Change(key, from: .null, to: "<redacted>")] : difference(key, from: from ?? .null, to: to ?? .null)
        }
        return changes
    }

    /// Keys that only a snapshot's configuration has, and keys that always differ.
    private static let ofSnapshot: Set<String> = [
        "snaptime", "snapstate", "description", "parent", "vmstate", "digest", "lock", "vmgenid", "runningmachine",
        "runningcpu", "runningcpus", "running-nets-host-mtu",
    ]

    // MARK: Checks

    /// Reports what remains to go back to, and its age.
    func lossChecks() async throws(HypervisorError) -> [Check] {
        switch request.definition.changes {
        case .rollback, .snapshot(_, false): return try await snapshotAge()
        case .restored where isThere: return try await backupsLeft(of: guest?.id)
        case .exists(false) where guest != nil && isThere: return try await backupsLeft(of: guest?.id)
        case .exists(false):
            guard findings.object?["content"] == "backup" else { return [] }
            return try await backupsLeft(of: findings.object?["vmid"]?.guestID)
        case .pruned:
            let rows = findings.object?.array ?? []
            func ids(_ mark: String) -> Set<String> {
                Set(
                    rows.filter { ($0["mark"] == "remove") == (mark == "remove") }.compactMap {
                        $0["vmid"]?.guestID?.description
                    })
            }
            return ids("remove").subtracting(ids("keep")).sorted().map { id in
                Check("backups", .warn, "no backup of guest \(id) is kept on \(request.target)")
            }
        case .object where calls.first?.method == .delete && request.definition.checks.contains(.storageUnused):
            guard case .storage(let own) = request.target else { return [] }
            let count = try await storedVolumes(on: own).count
            return count == 0
                ? [] : [Check("losses", .warn, "\(count) volumes on storage \(own) are out of reach without it")]
        default: return []
        }
    }

    private func snapshotAge() async throws(HypervisorError) -> [Check] {
        let name = text("snapname")
        let row = try await readGuest("snapshot").array?.first { $0["name"]?.string == name }
        guard let taken = row?["snaptime"]?.whole.flatMap(Self.time) else { return [] }
        let loss = request.definition.changes == .rollback ? "; what was written since then is lost" : ""
        return [Check("snapshot", .ok, "snapshot \(name) was taken \(taken)\(loss)")]
    }

    /// A storage on one node.
    private struct Place {
        let storage: String
        let node: String
        let isShared: Bool
        let isAvailable: Bool
    }

    /// The places of storages that take one of the contents; a shared storage is listed once.
    private func places(with contents: [String]) async throws(HypervisorError) -> [Place] {
        var found: [Place] = []
        for row in try await read(["cluster", "resources"], ["type": "storage"]).array ?? [] {
            guard let storage = row["storage"]?.string, let node = row["node"]?.string,
                !Set(Self.list(row["content"])).isDisjoint(with: contents)
            else { continue }
            let place = Place(
                storage: storage, node: node, isShared: row["shared"]?.flag == true,
                isAvailable: row["status"] == "available")
            if place.isShared, let other = found.firstIndex(where: { $0.storage == storage }) {
                if place.isAvailable, !found[other].isAvailable { found[other] = place }
            } else {
                found.append(place)
            }
        }
        return found.sorted { ($0.storage, $0.node) < ($1.storage, $1.node) }
    }

    /// The newest backup of a guest besides the one that the request names, and the storages that could not be looked at.
    func newestBackup(
        of id: VMID
    ) async throws(HypervisorError) -> (newest: (volume: String, time: Int64)?, unseen: [String]) {
        var (newest, unseen): ((volume: String, time: Int64)?, [String]) = (nil, [])
        for place in try await places(with: ["backup"]) {
            let name = "\(place.storage)\(place.isShared ? "" : " of node \(place.node)")"
            guard place.isAvailable else {
                unseen.append("\(name) (not available)")
                continue
            }
            do throws(HypervisorError) {
                let path = ["nodes", place.node, "storage", place.storage, "content"]
                for row in try await read(path, ["content": "backup", "vmid": "\(id)"]).array ?? [] {
                    guard let volume = row["volid"]?.string, volume != request.params["volume"]?.string,
                        row["content"] == "backup", row["vmid"]?.guestID == id,
                        let time = row["ctime"]?.whole, time >= newest?.time ?? .min
                    else { continue }
                    newest = (volume, time)
                }
            } catch {
                unseen.append("\(name) (\(ServiceError(error, planner.settings.name, during: "its backups").detail))")
            }
        }
        return (newest, unseen)
    }

    /// Reports the newest backup that remains, or that none does.
    private func backupsLeft(of id: VMID?) async throws(HypervisorError) -> [Check] {
        guard let id else { return [] }
        let (newest, unseen) = try await newestBackup(of: id)
        let blind = unseen.isEmpty ? "" : "; not looked at: storage \(unseen.joined(separator: ", "))"
        guard let newest else {
            return [Check("backups", .warn, "no backup of guest \(id) remains that the token sees\(blind)")]
        }
        let time = Self.time(newest.time).map { " of \($0)" } ?? ""
        return [
            Check(
                "backups", unseen.isEmpty ? .ok : .warn,
                "the newest backup of guest \(id) that remains is \(newest.volume)\(time)\(blind)")
        ]
    }

    /// Warns where a new guest with the same name and configuration could not be told from this one.
    func identityChecks() -> [Check] {
        guard let guest, isThere, request.target == .guest(guest) else { return [] }
        let shown = findings.observed.shown
        switch guest.kind {
        case .vm:
            guard ["uuid", "vmgenid", "ctime"].allSatisfy({ shown[$0]?.isNull ?? true }) else { return [] }
            return [
                Check(
                    "identity", .warn,
                    "\(guest) has no uuid, vmgenid or creation time: a new one of the same name and configuration cannot be told from it"
                )
            ]
        case .container:
            guard shown["hwaddrs"]?.array?.isEmpty ?? true else { return [] }
            return [
                Check(
                    "identity", .warn,
                    "\(guest) has no network device: a new one of the same name and configuration cannot be told from it"
                )
            ]
        }
    }
}
