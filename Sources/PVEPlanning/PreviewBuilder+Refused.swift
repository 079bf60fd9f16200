import AgentModel
import AgentService
import StrictJSON

/// Checks for what PVE would refuse for reasons of its own.
extension PreviewBuilder {
    /// Whether the guest in a row of the cluster's list has a process: the row shows a machine's actual run state.
    static func hasProcess(_ row: JSON) -> Bool { row["status"] != "unknown" && row["status"] != "stopped" }

    /// Only a template, or a snapshot on some storages, can share its disks with a copy. Such a copy takes no storage.
    func linkedClone() -> [Check] {
        guard let guest else { return [] }
        let isLinked = request.params["full"]?.flag.map { !$0 } ?? isTemplate
        guard isLinked else { return [] }
        guard isTemplate || request.params["snapname"] != nil else {
            return [
                Check("linked-clone", .block, "\(guest) is no template: only a full copy can be made; leave full out")
            ]
        }
        let given = ["storage", "format"].filter { request.params[$0] != nil }
        guard !given.isEmpty else { return [] }
        return [
            Check(
                "linked-clone", .block,
                "a linked copy stays where \(guest) is; give full: true, or leave \(given.joined(separator: ", ")) out")
        ]
    }

    func outOfHA() -> [Check] {
        guard let guest, isManaged, request.params["purge"] != true else { return [] }
        return [
            Check(
                "ha-resource", .block,
                "HA manages \(guest), and PVE deletes no such guest; give purge: true, or use ha_edit with op: remove first"
            )
        ]
    }

    func poolExists() async throws(HypervisorError) -> [Check] {
        guard let pool = request.params["pool"]?.string else { return [] }
        do throws(HypervisorError) {
            _ = try await read(["pools"], ["poolid": pool])
            return []
        } catch {
            guard case .refused(let upstream) = error, upstream.saysAbsent else { throw error }
            return [Check("pool", .block, "there is no pool \(pool); make it with pool_edit first")]
        }
    }

    /// Checks that a volume exists that the request uses unchanged: a container template, a disk, an image in a drive.
    func volumeIsThere(_ volume: String) async throws(HypervisorError) -> [Check] {
        guard let node, let wanted = VolumeName(volume), let storage = wanted.storage,
            !VolumeName.isNewDisk(volume) || wanted.name.contains("/"), wanted.name != "cloudinit"
        else { return [] }
        // The guest's own volumes exist, including unused ones.
        guard !disks().contains(where: { VolumeName($0.volume) == wanted }) else { return [] }
        let rows = try await volumes(on: "\(storage)", of: node.description)
        guard !rows.contains(where: { $0["volid"]?.string.flatMap { VolumeName($0) } == wanted }) else { return [] }
        return [
            Check("volume-exists", .block, "there is no \(volume) on node \(node), or the token may not see it there")
        ]
    }

    /// PVE does not delete a pool, set or group that is not empty.
    func emptied() -> [Check] {
        guard let call = calls.first, call.method == .delete, call["force"] != "1", let object = findings.object else {
            return []
        }
        let name: String
        let left: Int
        if case .pool(let pool) = request.target {
            (name, left) = ("pool \(pool)", object["members"]?.array?.count ?? 0)
        } else {
            guard ["ipset", "groups"].contains(call.path.dropLast().last ?? "") else { return [] }
            (name, left) = (call.shownPath, object.array?.count ?? 0)
        }
        guard left > 0 else { return [] }
        return [
            Check("not-empty", .block, "\(name) has \(left) \(left == 1 ? "entry" : "entries"); remove those first")
        ]
    }

    /// Blocks stopping a service without which PVE could not be reached.
    func dispensable() -> [Check] {
        let service = text("service")
        guard text("command") == "stop", ["pvedaemon", "pveproxy", "pve-cluster"].contains(service) else { return [] }
        return [Check("service", .block, "PVE does not stop \(service) through itself; restart it instead")]
    }

    /// A storage that limits a guest's backups refuses one above the limit, unless older ones may be removed.
    func backupRoom() async throws(HypervisorError) -> [Check] {
        guard let guest, let node, request.params["remove"] != true else { return [] }
        guard request.params["prune-backups"] == nil else {
            return [Check("backup-limit", .block, "prune-backups removes nothing by itself; give remove: true with it")]
        }
        let storage = text("storage")
        let definitions = try await read(["storage"]).array ?? []
        let row = definitions.first { $0["storage"]?.string == storage }
        guard let limit = keptBackups(row?["prune-backups"]?.string ?? "", of: storage), limit > 0 else { return [] }
        let backups = try await read(
            ["nodes", "\(node)", "storage", storage, "content"], ["content": "backup", "vmid": "\(guest.id)"])
        let own = (backups.array ?? []).filter { row in
            row["subtype"].map { $0.string == guest.kind.rawValue } ?? true
                && !flag(row, "protected", of: row["volid"]?.string ?? "a backup")
        }
        guard UInt64(own.count) >= limit else { return [] }
        return [
            Check(
                "backup-limit", .block,
                "storage \(storage) keeps \(limit) backups of a guest, and \(guest) has \(own.count) there; "
                    + "give remove: true, or delete some")
        ]
    }

    /// How many backups a rule keeps; `nil` for all.
    private func keptBackups(_ rule: String, of storage: String) -> UInt64? {
        var kept: UInt64 = 0
        for part in rule.split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1).map(String.init)
            guard pair.count == 2 else { continue }
            if pair[0] == "keep-all" { return nil }
            guard let amount = JSON.string(pair[1]).amount else {
                unclear("prune-backups of storage \(storage)", pair[0], .string(pair[1]), "no amount")
                continue
            }
            kept = kept.addingReportingOverflow(amount).overflow ? .max : kept + amount
        }
        return kept
    }
}
