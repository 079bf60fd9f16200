import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

struct DiskTests {
    private let driver = Driver("cloud")
    /// A stopped VM on a node's own disks.
    private let path = "/nodes/pve2/qemu/136"

    @Test
    func `a detached disk becomes unused and an attached one is unused no longer`() async throws {
        _ = try await driver.data("PUT", path + "/config", "scsi1=local-lvm%3A8")
        let volume = "local-lvm:vm-136-disk-1"
        #expect(try driver.config(136)["scsi1"] == volume + ",size=8G")
        _ = try await driver.data("PUT", path + "/unlink", "idlist=scsi1")
        #expect(try driver.config(136)["scsi1"] == nil)
        #expect(try driver.config(136)["unused0"] == volume)
        _ = try await driver.data("PUT", path + "/config", "scsi3=local-lvm%3Avm-136-disk-1")
        #expect(try driver.config(136)["unused0"] == nil)
        // PVE looks at the image for its size (qemu-server, create_disks in PVE/API2/Qemu.pm).
        #expect(try driver.config(136)["scsi3"] == volume + ",size=8G")
        _ = try await driver.data("PUT", path + "/config", "delete=scsi3")
        #expect(try driver.config(136)["unused0"] == volume)
        _ = try await driver.data("PUT", path + "/unlink", "idlist=unused0&force=1")
        #expect(try driver.config(136)["unused0"] == nil)
    }

    @Test
    func `what takes the place of a disk leaves the old one unused`() async throws {
        let before = try #require(try driver.config(136)["scsi0"]?.split(separator: ",").first)
        _ = try await driver.data("PUT", path + "/config", "scsi0=ceph%3A4")
        #expect(try driver.config(136)["scsi0"] == "ceph:vm-136-disk-0,size=4G")
        #expect(try driver.config(136)["unused0"] == String(before))
    }

    @Test(arguments: [("0", "local-lvm:vm-136-disk-0"), ("1", nil)])
    func `a moved disk leaves its old volume unless that is deleted`(delete: String, left: String?) async throws {
        #expect(
            try await driver.done("POST", path + "/move_disk", "disk=scsi0&storage=ceph&delete=\(delete)") == "qmmove")
        #expect(try driver.config(136)["scsi0"]?.hasPrefix("ceph:vm-136-disk-0,") == true)
        #expect(try driver.config(136)["unused0"] == left)
    }

    @Test
    func `a disk can be given to another guest, if that has not changed`() async throws {
        let stale = "disk=scsi0&target-vmid=100&target-disk=scsi5&target-digest=\(String(repeating: "0", count: 40))"
        #expect(
            await driver.refusal("POST", path + "/move_disk", stale)
                == "detected modified configuration - file changed by other user? Try again.")
        try await driver.done("POST", path + "/move_disk", "disk=scsi0&target-vmid=100&target-disk=scsi5")
        #expect(try driver.config(136)["scsi0"] == nil)
        #expect(try driver.config(100)["scsi5"]?.hasPrefix("local-lvm:vm-100-disk-") == true)
    }

    @Test
    func `a container's volume moves and grows`() async throws {
        let container = "/nodes/pve2/lxc/118"
        #expect(
            await driver.refusal("POST", container + "/move_volume", "volume=rootfs&storage=local-lvm")
                == "cannot move volumes of a running container")
        driver.simulator.setRunning(118, false)
        #expect(
            try await driver.done("POST", container + "/move_volume", "volume=rootfs&storage=local-lvm")
                == "move_volume")
        #expect(try driver.config(118)["rootfs"]?.hasPrefix("local-lvm:vm-118-disk-0,") == true)
        #expect(try driver.config(118)["unused0"] == "ceph:vm-118-disk-0")
        #expect(try await driver.done("PUT", container + "/resize", "disk=rootfs&size=%2B8G") == "resize")
        #expect(try driver.config(118)["rootfs"]?.hasSuffix("size=16G") == true)
    }

    @Test
    func `nothing is made on a storage that is full, away or not meant for it`() async throws {
        let new = "scsi2=ceph%3A4"
        driver.simulator.setStorageOnline("ceph", false)
        #expect(await driver.refusal("PUT", path + "/config", new) == "storage 'ceph' is not online")
        #expect(try await driver.data("GET", "/nodes/pve1/storage/ceph/status")["active"] == 0)
        driver.simulator.setStorageOnline("ceph", true)
        driver.simulator.setStorageUse("ceph", used: 40 << 40, of: 40 << 40)
        #expect(await driver.refusal("PUT", path + "/config", new) == "unable to create image: No space left on device")
        #expect(try await driver.data("GET", "/nodes/pve1/storage/ceph/status")["avail"] == 0)
        #expect(
            await driver.refusal("POST", path + "/move_disk", "disk=scsi0&storage=local")
                == "storage 'local' does not support vm images")
        #expect(try driver.config(136)["scsi2"] == nil)
    }
}
