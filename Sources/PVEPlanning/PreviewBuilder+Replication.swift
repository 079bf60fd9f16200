import AgentModel
import AgentService
import StrictJSON

/// Checks on the volumes that a guest's replication includes.
extension PreviewBuilder {
    /// PVE replicates all volumes of the guest and of its snapshots, except those on shared storages and those with
    /// `replicate=0`. It begins no job where it cannot replicate one of them.
    func replicable() async throws(HypervisorError) -> [Check] {
        guard request.params["op"] == "add", let guest, let node, isThere else { return [] }
        let rows = (try await read(["cluster", "resources"], ["type": "storage"]).array ?? []).filter {
            $0["node"]?.string == node.description
        }
        var hasAny = false
        var checks: [Check] = []
        for (place, config) in try await configsWithSnapshots() {
            for disk in disks(in: config) where takesPart(disk, of: guest) {
                let what = "\(disk.slot) of \(place)"
                guard let storage = disk.storage else {
                    checks.append(
                        unable("\(what) is \(JSON.string(disk.volume).shown), which is no volume of a storage"))
                    continue
                }
                guard let row = rows.first(where: { $0["storage"]?.string == storage }) else {
                    hasAny = true
                    checks.append(
                        Check(
                            "replication", .warn,
                            "node \(node) shows no storage \(storage), so whether \(what) can be replicated is not known"
                        ))
                    continue
                }
                guard !flag(row, "shared", of: "storage \(storage)"), VolumeName(disk.volume)?.owner == guest.id else {
                    continue
                }
                hasAny = true
                if row["plugintype"] != "zfspool" {
                    let type = row["plugintype"]?.string ?? "of an unknown type"
                    checks.append(unable("\(what) is on storage \(storage) (\(type)), which cannot replicate"))
                }
            }
        }
        guard !hasAny, checks.isEmpty else { return checks }
        return [
            Check(
                "replication", .block,
                "\(guest) has no volume that can be replicated: those on shared storages, and those with replicate=0, are "
                    + "left out")
        ]
    }

    private func unable(_ why: String) -> Check {
        Check(
            "replication", .block,
            "\(why); move it to a storage of type zfspool, leave it out with replicate=0, or let it go")
    }

    private func takesPart(_ disk: Disk, of guest: GuestRef) -> Bool {
        !disk.isCDROM && flag(.object(disk.settings), "replicate", of: "\(disk.slot) of \(guest)", absent: true)
    }

    /// The present configuration and the configuration of each snapshot, with their names.
    private func configsWithSnapshots() async throws(HypervisorError) -> [(place: String, config: JSON)] {
        guard let guest else { return [] }
        var found = [(place: "\(guest)", config: config)]
        for row in try await readGuest("snapshot").array ?? [] {
            guard let name = row["name"]?.string, name != "current" else { continue }
            found.append(
                ("snapshot \(name) of \(guest)", try await readGuest("config", query: ["snapshot": name])))
        }
        return found
    }
}
