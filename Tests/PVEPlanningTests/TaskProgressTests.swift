import AgentModel
import Testing

@testable import PVEPlanning

struct TaskProgressTests {
    /// Lines as PVE writes them: recorded, or as its sources and tools form them.
    @Test(
        arguments: [
            ("transferred 0.0 B of 1.0 GiB (0.00%)", 0, "0.0 B of 1.0 GiB"),
            ("transferred 1.0 GiB of 1.0 GiB (100.00%)", 100, "1.0 GiB of 1.0 GiB"),
            ("transferred 31.5 MiB of 1.0 GiB (3.08%)", 3, "31.5 MiB of 1.0 GiB"),
            ("drive-scsi0: transferred 2.0 GiB of 2.0 GiB (100.00%) in 0s, ready", 100, "scsi0: 2.0 GiB of 2.0 GiB"),
            ("drive-virtio15: transferred 512.0 MiB of 2.0 TiB (0.02%) in 1m 4s", 0, "virtio15: 512.0 MiB of 2.0 TiB"),
            (
                "2026-11-28 11:32:33 drive-scsi0: transferred 1.0 GiB of 4.0 GiB (25.00%) in 8s", 25,
                "scsi0: 1.0 GiB of 4.0 GiB"
            ),
            (
                "2026-11-28 11:32:34 migration active, transferred 1.0 GiB of 4.0 GiB VM-state, 112.3 MiB/s", 25,
                "memory: 1.0 GiB of 4.0 GiB"
            ),
            (
                "2026-11-28 11:33:34 migration active, transferred 5.1 GiB of 4.0 GiB VM-state, 112.3 MiB/s, VM dirties lots of memory: 300.0 MiB/s",
                nil, "memory: 5.1 GiB of 4.0 GiB"
            ),
            ("INFO:   0% (24.0 MiB of 2.0 GiB) in 3s, read: 8.0 MiB/s, write: 0 B/s", 0, "24.0 MiB of 2.0 GiB"),
            ("INFO:  45% (1.4 GiB of 3.0 GiB) in 9s, read: 160.4 MiB/s, write: 158.1 MiB/s", 45, "1.4 GiB of 3.0 GiB"),
            ("INFO: 100% (2.0 GiB of 2.0 GiB) in 12s, read: 1.0 MiB/s, write: 0 B/s", 100, "2.0 GiB of 2.0 GiB"),
            ("progress 5% (read 107413504 bytes, duration 0 sec)", 5, "107413504 bytes read"),
            (
                "progress 41% (read 880803840 bytes, zeroes = 2% (25165824 bytes), duration 7 sec)", 41,
                "880803840 bytes read"
            ),
            (" 32768K ........ ........ ........ ........ 12%  110M 2s", 12, "32768 KiB downloaded"),
            ("     0K ........ ........ ........ ........  1% 98.1M 9s", 1, "0 KiB downloaded"),
            ("1073741824 bytes (1.1 GB, 1.0 GiB) copied, 5 s, 215 MB/s", nil, "1073741824 bytes copied"),
        ] as [(String, Int?, String)])
    func `a line that tells how far a task is is understood`(line: String, percent: Int?, text: String) {
        #expect(TaskProgress.read(line) == Progress(percent: percent, text: text))
    }

    @Test(arguments: [
        "", "TASK OK", "no content", "Image resized.", "drive-scsi0: Done.", "drive-scsi0: Cancelling block job",
        "2026-11-28 11:32:34 migration completed, transferred 1.9 MiB VM-state",
        "2026-11-28 11:32:34 average migration speed: 48.6 MiB/s - downtime 12 ms",
        "INFO: backup is sparse: 1.0 GiB (50%) total zero data", "INFO: transferred 2.00 GiB in 12 seconds (1 MiB/s)",
        "INFO: include disk 'scsi0' 'local:110/vm-110-disk-0.qcow2' 2G",
        "Formatting '/var/lib/vz/images/112/vm-112-disk-0.raw', fmt=raw size=1073741824 preallocation=off",
        "/var/lib/vz/images/212/vm-212-disk-0.raw: 11/16384 files (0.0% non-contiguous), 9513/65536 blocks",
        "transferred 1.0 GiB of 1.0 GiB (999.00%)", "transferred x of y (5%)", "progress 101% (read 1 bytes)",
        "progress 5% (read 99999999999999999999999 bytes)", "INFO: 999% (1.0 B of 1.0 B) in 1s",
        String(repeating: "9", count: 100_000) + "% transferred", "progress -5% (read 1 bytes)",
    ])
    func `other lines tell none`(line: String) {
        #expect(TaskProgress.read(line) == nil)
    }
}
