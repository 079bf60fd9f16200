import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// What Proxmox VE refuses a token, whatever its privileges, and what it takes privileges on other guests for. Texts from
/// qemu-server (src/PVE/API2/Qemu.pm), pve-container (src/PVE/LXC.pm, src/PVE/API2/LXC.pm), pve-storage
/// (src/PVE/Storage.pm) and the recordings.
struct PrivilegeTests {
    private static let machine = "/nodes/pve2/qemu/136"
    private static let container = "/nodes/pve2/lxc/118"
    private static let paths = "Only root can pass arbitrary filesystem paths."

    @Test(arguments: [
        ("args=-x", "only root can set 'args' config"), ("lock=backup", "only root can set 'lock' config"),
        ("hookscript=local%3Asnippets%2Fa.sh", "only root can set 'hookscript' config"),
        ("ivshmem=size%3D1", "only root can set 'ivshmem' config"),
        ("parallel0=%2Fdev%2Fparport0", "only root can set 'parallel0' config"),
        ("serial0=%2Fdev%2FttyS0", "only root can set 'serial0' config for real devices"),
        ("usb0=host%3D1234%3A5678", "only root can set 'usb0' config for real devices"),
        ("hostpci0=0000%3A00%3A1f.0", "only root can set 'hostpci0' config for non-mapped devices"),
        ("scsi5=%2Fdev%2Fsda", paths), ("scsi5=%2Fvar%2Flib%2Fvz%2Fimages%2F101%2Fvm-101-disk-0.raw", paths),
        ("scsi5=local-lvm%3A0%2Cimport-from%3D%2Fetc%2Fpasswd", paths),
        ("scsi5=local-lvm%3Avm-136-disk-9", "volume 'local-lvm:vm-136-disk-9' does not exist"),
        (
            "scsi5=local-lvm%3A0%2Cimport-from%3Dlocal%3Aimport%2Fnone.qcow2",
            "volume 'local:import/none.qcow2' does not exist"
        ),
        ("delete=hookscript", "only root can set 'hookscript' config"),
    ])
    func `a machine keeps these, with every privilege`(form: String, refusal: String) async throws {
        let driver = Driver("cloud")
        let before = try driver.config(136)
        #expect(await driver.refusal("PUT", Self.machine + "/config", form) == refusal)
        #expect(try driver.config(136) == before)
        if form.hasPrefix("delete") || refusal.hasPrefix("volume") { return }
        #expect(await driver.refusal("POST", "/nodes/pve2/qemu", "vmid=700&" + form) == refusal)
    }

    @Test(arguments: [
        "serial0=socket", "usb0=spice", "usb0=mapping%3Dstick", "scsi5=local-lvm%3A1", "ide2=none%2Cmedia%3Dcdrom",
    ])
    func `these take privileges only`(form: String) async throws {
        _ = try await Driver("cloud").data("PUT", Self.machine + "/config", form)
    }

    @Test(arguments: [
        ("mp0=%2Fetc%2Cmp%3D%2Fmnt", "mount point type bind is only allowed for root@pam"),
        ("mp0=%2Fdev%2Fsda1%2Cmp%3D%2Fmnt", "mount point type device is only allowed for root@pam"),
        ("dev0=%2Fdev%2Fkvm", "configuring device passthrough is only allowed for root@pam"),
        ("hookscript=local%3Asnippets%2Fa.sh", "changing the hookscript is only allowed for root@pam"),
        ("features=fuse%3D1", "changing feature flags (except nesting) is only allowed for root@pam"),
    ])
    func `a container keeps these`(form: String, refusal: String) async throws {
        let driver = Driver("cloud")
        let text = "Permission check failed (\(refusal))"
        #expect(await driver.refusal("PUT", Self.container + "/config", form) == text)
        let make = "vmid=701&ostemplate=local%3Avztmpl%2Fx.tar.gz&rootfs=local-lvm%3A1&"
        #expect(await driver.refusal("POST", "/nodes/pve2/lxc", make + form) == text)
    }

    @Test func `a privileged container keeps its features, and takes the right to change the node`() async throws {
        var driver = Driver("cloud")
        driver.simulator.setConfig(118, "unprivileged", nil)
        #expect(
            await driver.refusal("PUT", Self.container + "/config", "features=nesting%3D1")
                == "Permission check failed (changing feature flags for privileged container is only allowed for root@pam)"
        )
        driver.authorization = try Self.token(
            of: driver, ["/vms": ["VM.Allocate", "VM.Config.Disk"], "/storage": ["Datastore.AllocateSpace"]])
        let make = "vmid=701&ostemplate=local%3Avztmpl%2Fx.tar.gz&rootfs=local-lvm%3A1&unprivileged=0"
        #expect(await driver.refusal("POST", "/nodes/pve2/lxc", make) == "Permission check failed (/, Sys.Modify)")
    }

    private static func token(of driver: Driver, _ privileges: [String: Set<String>]) throws -> String {
        driver.simulator.setTokens(
            .list([.init(id: "agent@pve!few", secret: "00000000-0000-0000-0000-000000000009", privileges: privileges)]))
        return "PVEAPIToken=agent@pve!few=00000000-0000-0000-0000-000000000009"
    }

    @Test func `a volume of another guest takes privileges on that guest`() async throws {
        var driver = Driver("cloud")
        let volume = try #require(try driver.config(100)["scsi0"]?.split(separator: ",").first)
        let encoded = volume.replacing(":", with: "%3A").replacing("/", with: "%2F")
        let config = ["VM.Config.Disk", "VM.Config.Options", "VM.Allocate"]
        driver.authorization = try Self.token(
            of: driver,
            [
                "/vms/136": Set(config), "/vms/100": ["VM.Audit"],
                "/storage": ["Datastore.AllocateSpace", "Datastore.Audit"],
            ])
        #expect(
            await driver.refusal("PUT", Self.machine + "/config", "scsi5=\(encoded)")
                == "Permission check failed (/vms/100, VM.Config.Disk)")
        #expect(
            await driver.refusal("PUT", Self.machine + "/config", "scsi5=local-lvm%3A0%2Cimport-from%3D\(encoded)")
                == "Permission check failed (/vms/100, VM.Clone)")
        driver.authorization = try Self.token(
            of: driver,
            [
                "/vms/136": Set(config), "/vms/100": ["VM.Config.Disk", "VM.Clone"],
                "/storage": ["Datastore.AllocateSpace", "Datastore.Audit"],
            ])
        _ = try await driver.data("PUT", Self.machine + "/config", "scsi5=local-lvm%3A0%2Cimport-from%3D\(encoded)")
        let imported = try #require(try driver.config(136)["scsi5"])
        #expect(imported.hasPrefix("local-lvm:vm-136-disk-") && !imported.contains("import-from"), "\(imported)")
        _ = try await driver.data("PUT", Self.machine + "/config", "scsi6=\(encoded)")
    }

    @Test(arguments: [
        ("usb0=mapping%3Dstick", "/mapping/usb/stick, Mapping.Use"),
        ("hostpci0=mapping%3Dcard", "/mapping/pci/card, Mapping.Use"),
        ("virtiofs0=dirid%3Dshare", "/mapping/dir/share, Mapping.Use"),
        ("rng0=source%3D%2Fdev%2Fhwrng", "/mapping/hwrng, Mapping.Use"),
        ("ide2=cdrom%2Cmedia%3Dcdrom", "/, Sys.Console"),
        ("unused3=local-lvm%3Avm-100-disk-0", "/vms/100, VM.Config.Disk"),
    ])
    func `what the node has takes privileges on it`(form: String, missing: String) async throws {
        var driver = Driver("cloud")
        driver.authorization = try Self.token(
            of: driver, ["/vms/136": ["VM.Config.HWType", "VM.Config.Disk"], "/storage": ["Datastore.Audit"]])
        #expect(await driver.refusal("PUT", Self.machine + "/config", form) == "Permission check failed (\(missing))")
    }

    @Test func `a backup takes privileges on the guest that it is of, and a file is root's`() async throws {
        var driver = Driver("cloud")
        for form in ["archive=%2Fetc%2Fpasswd", "archive=%2Fdev%2Fsda"] {
            #expect(await driver.refusal("POST", "/nodes/pve2/qemu", "vmid=700&" + form) == Self.paths)
        }
        #expect(await driver.refusal("POST", "/nodes/pve2/lxc", "vmid=701&ostemplate=%2Fetc%2Fpasswd") == Self.paths)
        driver.authorization = try Self.token(
            of: driver, ["/vms": ["VM.Allocate"], "/storage": ["Datastore.AllocateSpace", "Datastore.Audit"]])
        let archive = "local%3Abackup%2Fvzdump-qemu-100-2026_11_20-03_00_01.vma.zst"
        #expect(
            await driver.refusal("POST", "/nodes/pve2/qemu", "vmid=700&archive=\(archive)")
                == "Permission check failed (/vms/100, VM.Backup)")
    }

    @Test func `a protected guest keeps its disks`() async throws {
        let driver = Driver("cloud")
        driver.simulator.setConfig(136, "protection", "1")
        #expect(
            try await driver.failed("POST", Self.machine + "/config", "delete=scsi0")
                == "can't remove drive 'scsi0' - protection mode enabled")
        #expect(try driver.config(136)["scsi0"] != nil)
    }

    @Test func `a disk goes to another guest where both can spare and take it`() async throws {
        let driver = Driver("cloud")
        func refusal(_ form: String, from vmid: Int = 136) async -> String {
            await driver.refusal("POST", "/nodes/pve2/qemu/\(vmid)/move_disk", form)
        }
        #expect(
            await refusal("disk=scsi0&target-vmid=100&target-disk=scsi0")
                == "Target disk key 'scsi0' is already in use for VM '100'")
        #expect(
            await refusal("disk=scsi0&target-vmid=136&target-disk=scsi7", from: 100)
                == "Cannot move disk to another VM while the source VM is running - detach first")
        driver.simulator.move(100, to: "pve3")
        #expect(
            await refusal("disk=scsi0&target-vmid=100&target-disk=scsi7")
                == "Both VMs need to be on the same node (pve2 != pve3)")
    }

    @Test(arguments: [
        ("type=node-affinity&nodes=pve9&resources=vm%3A136", "cannot use non-existent node(s) pve9."),
        ("type=node-affinity&nodes=pve2%3A1&resources=vm%3A100", "cannot use unmanaged resource(s) vm:100."),
        ("type=resource-affinity&affinity=positive&resources=vm%3A136", "400 Rule 'r11' is invalid."),
    ])
    func `a rule of the HA manager is about what it has`(form: String, refusal: String) async throws {
        let driver = Driver("cloud")
        driver.simulator.setHA(136, wanted: "stopped")
        #expect(
            await driver.refusal("POST", "/cluster/ha/rules", "rule=r11&" + form) == "create ha rule failed: \(refusal)"
        )
    }
}
