import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

struct BackupTests {
    private let clock = ManualClock(.seconds(1_800_000_000))
    private let driver: Driver

    init() {
        driver = Driver(
            Simulator.Options(name: "home", taskDuration: .zero, now: { [clock] in clock.now }, seed: 1))
    }

    private var backups: [String] { driver.simulator.volumes.filter { $0.contains(":backup/") } }

    @Test
    func `a backup is named after guest and time, and its guest is restored from it`() async throws {
        #expect(
            try await driver.done(
                "POST", "/nodes/pve/vzdump",
                "vmid=100&storage=local&compress=zstd&protected=1&notes-template=%7B%7Bguestname%7D%7D") == "vzdump")
        let volume = "local:backup/vzdump-qemu-100-2027_01_15-08_00_00.vma.zst"
        #expect(backups == [volume])
        let rows = try await driver.data("GET", "/nodes/pve/storage/local/content?content=backup&vmid=100")
        #expect(rows.array?.first?["notes"] == "router")
        #expect(rows.array?.first?["protected"] == 1)
        let before = try driver.config(100)
        let archive = "archive=local%3Abackup%2Fvzdump-qemu-100-2027_01_15-08_00_00.vma.zst"
        #expect(
            await driver.refusal("POST", "/nodes/pve/qemu", "vmid=100&\(archive)")
                == "unable to restore VM 100 - VM 100 already exists on node 'pve'")
        #expect(
            await driver.refusal("POST", "/nodes/pve/qemu", "vmid=100&force=1&\(archive)")
                == "unable to restore VM 100 - vm is running")
        #expect(
            try await driver.done("POST", "/nodes/pve/qemu", "vmid=400&unique=1&name=copy&\(archive)") == "qmrestore")
        let copy = try driver.config(400)
        #expect(copy["name"] == "copy")
        #expect(copy["memory"] == before["memory"])
        for key in ["smbios1", "vmgenid", "net0", "scsi0"] { #expect(copy[key] != before[key]) }
        driver.simulator.setRunning(100, false)
        _ = try await driver.data("PUT", "/nodes/pve/qemu/100/config", "memory=1024&description=later")
        try await driver.done("POST", "/nodes/pve/qemu", "vmid=100&force=1&\(archive)")
        #expect(try driver.config(100)["memory"] == before["memory"])
        #expect(try driver.config(100)["smbios1"] == before["smbios1"])
        #expect(try driver.config(100)["vmgenid"] != before["vmgenid"])
    }

    @Test
    func `a container is restored from its backup, and not from a VM's`() async throws {
        let volume = try #require(driver.simulator.addBackup(of: 110, on: "local")).replacing("/", with: "%2F")
        try await driver.done("POST", "/nodes/pve/lxc", "vmid=401&restore=1&storage=local-lvm&ostemplate=\(volume)")
        #expect(try driver.config(401)["hostname"] == "pihole")
        #expect(
            try await driver.failed("POST", "/nodes/pve/qemu", "vmid=402&archive=\(volume)").contains(
                "is no backup of a VM"))
        #expect(driver.simulator.guest(402) == nil)
    }

    @Test
    func `a task that fails restores nothing and loses nothing`() async throws {
        let volume = try #require(driver.simulator.addBackup(of: 103, on: "local")).replacing("/", with: "%2F")
        let before = try driver.config(103)
        driver.simulator.setStorageOnline("local-lvm", false)
        #expect(
            try await driver.failed("POST", "/nodes/pve/qemu", "vmid=103&force=1&archive=\(volume)")
                == "storage 'local-lvm' is not online")
        #expect(try driver.config(103) == before)
    }

    @Test(arguments: [
        ("nosuch", "could not get storage information for 'nosuch'"),
        ("local-lvm", "can't use storage 'local-lvm' for backups - wrong content type"),
    ])
    func `a backup needs a storage that takes it`(storage: String, reason: String) async throws {
        let exit = try await driver.failed("POST", "/nodes/pve/vzdump", "vmid=100&storage=\(storage)")
        #expect(exit.contains(reason))
        #expect(driver.simulator.guest(100)?.config["lock"] == nil)
    }

    @Test
    func `a locked guest is not saved, the others are`() async throws {
        driver.simulator.setConfig(101, "lock", "migrate")
        #expect(try await driver.failed("POST", "/nodes/pve/vzdump", "vmid=100%2C101&storage=local") == "job errors")
        #expect(backups.count == 1)
        #expect(driver.simulator.guest(101)?.config["lock"] == "migrate")
        #expect(driver.simulator.guest(100)?.config["lock"] == nil)
    }

    /// Days before the newest backup at which there is one, oldest first, and those that are left.
    @Test(arguments: [
        ("keep-last=2", [3, 2, 1, 0], [1, 0]), ("keep-all=1", [3, 2, 1, 0], [3, 2, 1, 0]),
        ("keep-daily=3", [3, 2, 1, 0], [2, 1, 0]), ("keep-weekly=2", [15, 8, 7, 1, 0], [7, 0]),
        ("keep-monthly=2", [40, 16, 1, 0], [16, 0]), ("keep-yearly=2", [380, 370, 16, 0], [370, 0]),
        ("keep-last=1,keep-daily=2", [3, 2, 1, 0], [2, 1, 0]),
    ])
    func `pruning keeps what it is told, and says so before`(keep: String, days: [Int], left: [Int]) async throws {
        var names: [Int: String] = [:]
        for day in days {
            clock.advance(by: .seconds(1_802_000_000 - day * 86400) - clock.now)
            names[day] = driver.simulator.addBackup(of: 100, on: "local")
        }
        let query = "?prune-backups=" + keep.replacing("=", with: "%3D").replacing(",", with: "%2C") + "&vmid=100"
        let rows = try await driver.data("GET", "/nodes/pve/storage/local/prunebackups" + query).array ?? []
        #expect(rows.count { $0["mark"] == "keep" } == left.count)
        #expect(backups.count == days.count)
        let upid = try #require(try await driver.data("DELETE", "/nodes/pve/storage/local/prunebackups" + query).string)
        #expect(upid.contains(":prunebackups:100@local:"))
        #expect(Set(backups) == Set(left.compactMap { names[$0] }))
    }

    @Test
    func `pruning leaves protected backups and those of others alone`() async throws {
        for vmid in [100, 100, 101] {
            driver.simulator.addBackup(of: vmid, on: "local")
            clock.advance(by: .seconds(60))
        }
        let oldest = backups[0].replacing("/", with: "%2F")
        _ = try await driver.data("PUT", "/nodes/pve/storage/local/content/\(oldest)", "protected=1")
        try await driver.done("DELETE", "/nodes/pve/storage/local/prunebackups?prune-backups=keep-last%3D1&vmid=100")
        #expect(backups.count == 3)
        let rows = try await driver.data("GET", "/nodes/pve/storage/local/prunebackups?prune-backups=keep-last%3D1")
        #expect(Set(rows.array?.compactMap { $0["mark"]?.string } ?? []) == ["protected", "keep"])
    }

    @Test
    func `a job names its guests in one way, and a new way takes the place of the old`() async throws {
        _ = try await driver.data("POST", "/cluster/backup", "id=nightly&schedule=21%3A00&vmid=100&storage=local")
        _ = try await driver.data("PUT", "/cluster/backup/nightly", "all=1&exclude=101")
        let job = try await driver.data("GET", "/cluster/backup/nightly")
        #expect(job["vmid"] == nil)
        #expect(job["all"] == 1)
        let tree = try await driver.data("GET", "/cluster/backup/nightly/included_volumes")
        #expect(tree["children"]?.array?.contains { $0["id"] == 101 } == false)
        #expect(tree["children"]?.array?.count == 7)
        let check = await driver.send("POST", "/cluster/backup", "schedule=21%3A00&vmid=100&protected=1")
        #expect(
            FactReplay.json(of: check)["errors"]?["storage"] == "missing property - 'protected' requires this property")
    }
}
