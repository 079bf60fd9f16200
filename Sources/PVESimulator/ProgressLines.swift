/// Lines by which workers tell how far they are, as in Proxmox VE's task logs.
enum ProgressLine {
    /// PVE::Format::render_bytes with one decimal: `1.5 GiB`.
    static func rendered(_ bytes: Int) -> String {
        var value = Double(bytes)
        var unit = 0
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        while value >= 1024, unit < units.count - 1 { (value, unit) = (value / 1024, unit + 1) }
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }

    /// A copy by `qemu-img`, or by the running machine itself if `drive` is given (QemuImage.pm, BlockJob.pm).
    static func copied(_ disk: Disk, _ percent: Int, drive: String? = nil) -> String {
        let amount = "\(rendered(disk.bytes / 100 * percent)) of \(rendered(disk.bytes)) (\(percent).00%)"
        guard let drive else { return "transferred \(amount)" }
        return "drive-\(drive): transferred \(amount) in 1s\(percent == 100 ? ", ready" : "")"
    }

    /// The memory of a machine that moves while it runs (QemuMigrate.pm).
    static func migrated(_ megabytes: Int) -> String {
        let bytes = megabytes << 20
        return "migration active, transferred \(rendered(bytes / 2)) of \(rendered(bytes)) VM-state, 112.5 MiB/s"
    }

    /// VZDump/QemuServer.pm; containers are packed by `tar`, which does not tell.
    static func backedUp(_ bytes: Int, _ percent: Int) -> String {
        let number = String(repeating: " ", count: percent < 10 ? 2 : percent < 100 ? 1 : 0) + "\(percent)"
        let amount = "\(rendered(bytes / 100 * percent)) of \(rendered(bytes))"
        return "INFO: \(number)% (\(amount)) in 1s, read: 512.0 MiB/s, write: 498.2 MiB/s"
    }

    /// `vma`, which unpacks the backup of a machine.
    static func restored(_ bytes: Int, _ percent: Int) -> String {
        "progress \(percent)% (read \(bytes / 100 * percent) bytes, duration 1 sec)"
    }

    /// `wget --progress=dot:giga`.
    static func downloaded(_ bytes: Int, _ percent: Int) -> String {
        let number = String(bytes / 100 * percent >> 10)
        let padding = String(repeating: " ", count: max(0, 6 - number.count))
        let dots = "........ ........ ........ ........"
        return "\(padding)\(number)K \(dots) \(percent < 100 ? " " : "")\(percent)%  112M 1s"
    }
}
