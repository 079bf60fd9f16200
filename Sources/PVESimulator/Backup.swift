import FoundationEssentials

/// The part of a guest that a backup holds.
struct Archive: Sendable {
    var kind: Guest.Kind
    var config: Config
}

/// Which of several backups are kept.
struct Retention: Sendable {
    private var keep: [String: Int]

    /// Parses `keep-last=3,keep-daily=7`; `nil` keeps all backups.
    init(_ text: String?) {
        keep = PropertyList(text ?? "keep-all=1", leading: "").items.reduce(into: [:]) { $0[$1.key] = Int($1.value) }
    }

    /// The maximum number of backups kept per guest; 0 means no limit.
    var limit: Int {
        keep["keep-all"] ?? 0 == 0 ? keep.values.reduce(0) { $0.addingReportingOverflow($1).partialValue } : 0
    }

    /// For each backup of one guest, newest first, whether it is kept. The first of each hour, day, week, month or year
    /// counts, once those that a finer rule keeps are left out.
    func keeps(_ times: [Int]) -> [Bool] {
        guard keep["keep-all"] ?? 0 == 0, !keep.isEmpty else { return times.map { _ in true } }
        var marks: [Bool?] = times.indices.map { $0 < keep["keep-last"] ?? 0 ? true : nil }
        for (rule, span) in Self.spans {
            guard let count = keep[rule], count > 0 else { continue }
            let before = Set(times.indices.filter { marks[$0] == true }.map { span(times[$0]) })
            var new: Set<String> = []
            for index in times.indices where marks[index] == nil && !before.contains(span(times[index])) {
                if new.contains(span(times[index])) {
                    // A coarser rule does not consider it again.
                    marks[index] = false
                } else if new.count < count {
                    new.insert(span(times[index]))
                    marks[index] = true
                } else {
                    break
                }
            }
        }
        return marks.map { $0 ?? false }
    }

    /// The period that one rule groups backups by: the hour, the day, the week from Monday, and so on.
    private static let spans: [(String, @Sendable (Int) -> String)] = [
        ("keep-hourly", { String($0 / 3600) }), ("keep-daily", { String($0 / 86400) }),
        ("keep-weekly", { String(($0 / 86400 + 3) / 7) }), ("keep-monthly", { String(utc($0).prefix(7)) }),
        ("keep-yearly", { String(utc($0).prefix(4)) }),
    ]
}

/// A second since 1970 as `2026-11-20T03:00:01Z`.
private func utc(_ second: Int) -> String { Date(timeIntervalSince1970: TimeInterval(second)).formatted(.iso8601) }

extension ClusterState {
    /// The guests that a backup job or call names, on all nodes.
    func guestsToBackUp(_ options: [String: String]) -> [Guest] {
        let named = Format.list(options["vmid"] ?? "").compactMap { Int($0) }
        guard named.isEmpty else { return named.compactMap { guests[$0] } }
        let excluded = Set(Format.list(options["exclude"] ?? ""))
        return sortedGuests.filter { guest in
            !excluded.contains(String(guest.vmid)) && options["pool"].map { $0 == guest.pool } ?? true
        }
    }

    /// Saves a backup and returns the name of its volume.
    mutating func addBackup(of guest: Guest, to storage: StorageDefinition, _ call: EndpointCall) -> String {
        let compression = ["zstd": ".zst", "1": ".lzo", "lzo": ".lzo", "gzip": ".gz"][call["compress"] ?? "0"] ?? ""
        let format = (guest.kind == .vm ? "vma" : "tar") + compression
        let time = String(utc(second).map { $0 == "T" ? "-" : $0 == "-" || $0 == ":" ? "_" : $0 }.dropLast())
        let name = "vzdump-\(guest.kind.word)-\(guest.vmid)-\(time).\(format)"
        let notes = call["notes-template"].map { template in
            template.replacing("{{guestname}}", with: guest.name).replacing("{{vmid}}", with: String(guest.vmid))
                .replacing("{{node}}", with: guest.node).replacing("{{cluster}}", with: clusterName ?? "")
        }
        var volume = Volume(
            id: "\(storage.id):backup/\(name)", content: "backup", format: format, bytes: guest.diskBytes / 4,
            time: second, vmid: guest.vmid, notes: notes, isProtected: call.flag("protected"))
        var config = guest.config
        for key in ["lock", "parent"] { config[key] = nil }
        volume.archive = Archive(kind: guest.kind, config: config)
        volumes.removeAll { $0.id == volume.id }
        volumes.append(volume)
        return volume.id
    }

    /// The action that pruning would take for each backup on a storage: `keep`, `remove`, `protected` or `renamed`.
    func pruneMarks(
        on storage: StorageDefinition, _ keep: String?, kind: String?, vmid: Int?
    ) -> [(volume: Volume, mark: String)] {
        let retention = Retention(keep ?? storage.options["prune-backups"])
        let wanted = volumes.filter { volume in
            volume.storage == storage.id && volume.content == "backup" && vmid.map { $0 == volume.vmid } ?? true
                && kind.map { $0 == volume.backupKind } ?? true
        }
        var marks = wanted.reduce(into: [:]) { $0[$1.id] = $1.hasBackupName ? "keep" : "renamed" }
        for volume in wanted where volume.isProtected { marks[volume.id] = "protected" }
        let groups = Dictionary(grouping: wanted.filter { marks[$0.id] == "keep" }) {
            "\($0.backupKind)/\($0.vmid ?? 0)"
        }
        for group in groups.values {
            let sorted = group.sorted { ($0.time, $0.id) > ($1.time, $1.id) }
            for (volume, isKept) in zip(sorted, retention.keeps(sorted.map(\.time))) where !isKept {
                marks[volume.id] = "remove"
            }
        }
        return wanted.sorted { $0.id < $1.id }.map { ($0, marks[$0.id] ?? "keep") }
    }
}

extension Volume {
    /// `qemu` or `lxc`, by the name of a backup.
    var backupKind: String { id.contains("vzdump-lxc-") ? "lxc" : "qemu" }

    /// Whether the backup still has the name that PVE gave it.
    fileprivate var hasBackupName: Bool { id.contains(/vzdump-(qemu|lxc)-\d+-\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d\./) }
}
