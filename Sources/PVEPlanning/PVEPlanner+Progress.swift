package import AgentModel

/// How far tasks are, by what PVE writes into their logs.
extension PVEPlanner {
    package func reportsProgress(_ type: String) -> Bool { TaskProgress.types.contains(type) }

    package func progress(in lines: [String]) -> Progress? { lines.reversed().lazy.compactMap(TaskProgress.read).first }
}

/// Reads lines that tell how far a task is. The texts hold numbers only, and the disk: no names of PVE's or of guests.
enum TaskProgress {
    /// The types of tasks that write such lines.
    static let types: Set = [
        "qmclone", "vzclone", "qmmove", "move_volume", "qmigrate", "vzmigrate", "vzdump", "qmrestore", "vzrestore",
        "qmcreate", "vzcreate", "qmconfig", "download", "imgcopy", "imgimport",
    ]

    /// The progress that a line tells; `nil` if it tells none.
    static func read(_ line: String) -> Progress? {
        guard line.utf8.count < 400 else { return nil }
        return copied(line) ?? migrated(line) ?? backedUp(line) ?? restored(line) ?? downloaded(line) ?? written(line)
    }

    // qemu-server: QemuServer/BlockJob.pm (of a running machine, with the drive), QemuServer/QemuImage.pm.
    // `drive-scsi0: transferred 1.0 GiB of 2.0 GiB (50.00%) in 3s`
    private static func copied(_ line: String) -> Progress? {
        let form =
            #/(?:drive-([a-z]+[0-9]+): )?transferred ([0-9.]+ [KMGTPE]?i?B) of ([0-9.]+ [KMGTPE]?i?B) \(([0-9]{1,3})(?:\.[0-9]+)?%\)/#
        guard let found = line.firstMatch(of: form)?.output, let percent = percent(found.4) else { return nil }
        let disk = found.1.map { "\($0): " } ?? ""
        return Progress(percent: percent, text: "\(disk)\(found.2) of \(found.3)")
    }

    // qemu-server: QemuMigrate.pm. Memory that is written to is transferred again, so there may be more than there is.
    // `2026-11-28 11:32:34 migration active, transferred 1.9 GiB of 4.0 GiB VM-state, 112.3 MiB/s`
    private static func migrated(_ line: String) -> Progress? {
        let form = #/migration [a-z]+, transferred ([0-9.]+ [KMGTPE]?i?B) of ([0-9.]+ [KMGTPE]?i?B) VM-state/#
        guard let found = line.firstMatch(of: form)?.output else { return nil }
        let text = "memory: \(found.1) of \(found.2)"
        guard let done = bytes(found.1), let all = bytes(found.2), all > 0 else { return Progress(text: text) }
        return Progress(percent: done < all ? Int(done / all * 100) : nil, text: text)
    }

    // qemu-server: VZDump/QemuServer.pm.
    // `INFO:  45% (1.4 GiB of 3.0 GiB) in 9s, read: 160.4 MiB/s, write: 158.1 MiB/s`
    private static func backedUp(_ line: String) -> Progress? {
        let form = #/^INFO: +([0-9]{1,3})% \(([0-9.]+ [KMGTPE]?i?B) of ([0-9.]+ [KMGTPE]?i?B)\) in /#
        guard let found = line.firstMatch(of: form)?.output, let percent = percent(found.1) else { return nil }
        return Progress(percent: percent, text: "\(found.2) of \(found.3)")
    }

    // pve-qemu: vma.c, pbs-restore.c.
    // `progress 5% (read 107413504 bytes, duration 0 sec)`
    private static func restored(_ line: String) -> Progress? {
        let form = #/^progress ([0-9]{1,3})% \(read ([0-9]{1,18}) bytes/#
        guard let found = line.firstMatch(of: form)?.output, let percent = percent(found.1) else { return nil }
        return Progress(percent: percent, text: "\(found.2) bytes read")
    }

    // wget with --progress=dot:giga (pve-common: Tools.pm).
    // ` 32768K ........ ........ ........ ........ 12%  110M 2s`
    private static func downloaded(_ line: String) -> Progress? {
        let form = #/^ *([0-9]{1,15})K [.,+ ]+ ([0-9]{1,3})% /#
        guard let found = line.firstMatch(of: form)?.output, let percent = percent(found.2) else { return nil }
        return Progress(percent: percent, text: "\(found.1) KiB downloaded")
    }

    // dd with status=progress (pve-storage), whose line does not say how much there is.
    // `1073741824 bytes (1.1 GB, 1.0 GiB) copied, 5 s, 215 MB/s`
    private static func written(_ line: String) -> Progress? {
        let form = #/^([0-9]{1,18}) bytes \([^)]{1,40}\) copied, /#
        guard let found = line.firstMatch(of: form)?.output else { return nil }
        return Progress(text: "\(found.1) bytes copied")
    }

    private static func percent(_ text: Substring) -> Int? { Int(text).flatMap { (0...100).contains($0) ? $0 : nil } }

    /// `1.9 GiB`
    private static func bytes(_ text: Substring) -> Double? {
        let parts = text.split(separator: " ")
        guard parts.count == 2, let number = Double(parts[0]),
            let power = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].firstIndex(of: String(parts[1]))
        else { return nil }
        return (0..<power).reduce(number) { size, _ in size * 1024 }
    }
}
