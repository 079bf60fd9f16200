import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

struct GuestLifeTests {
    private let home = Driver("home")
    private let cloud = Driver("cloud")
    private let template = "local%3Avztmpl%2Fdebian-13-standard_13.1-2_amd64.tar.zst"

    @Test
    func `a container is created from a template, started, cloned, made a template and removed`() async throws {
        let form =
            "vmid=200&ostemplate=\(template)&storage=local-lvm&hostname=box&memory=256&net0=name%3Deth0%2Cbridge%3Dvmbr0"
        #expect(try await home.done("POST", "/nodes/pve/lxc", form + "&start=1") == "vzcreate")
        let box = try #require(home.simulator.guest(200))
        #expect(box.kind == "lxc")
        #expect(box.name == "box")
        #expect(box.status == "running")
        #expect(box.config["rootfs"] == "local-lvm:vm-200-disk-0,size=4G")
        #expect(box.config["lock"] == nil)
        #expect(
            await home.refusal("POST", "/nodes/pve/lxc/200/clone", "newid=201&full=1")
                == "Cannot do full clones on a running container without snapshots")
        #expect(try await home.done("POST", "/nodes/pve/lxc/200/status/shutdown") == "vzshutdown")
        #expect(try await home.done("POST", "/nodes/pve/lxc/200/clone", "newid=201&hostname=twin") == "vzclone")
        #expect(try home.config(201)["hostname"] == "twin")
        #expect(try home.config(201)["net0"] != home.config(200)["net0"])
        #expect(try await home.data("POST", "/nodes/pve/lxc/201/template") == .null)
        #expect(try home.config(201)["template"] == "1")
        #expect(try home.config(201)["rootfs"] == "local-lvm:base-201-disk-0,size=4G")
        #expect(try await home.done("POST", "/nodes/pve/lxc/201/clone", "newid=202") == "vzclone")
        #expect(try home.config(202)["rootfs"]?.hasPrefix("local-lvm:base-201-disk-0/vm-202-disk-0") == true)
        #expect(try await home.failed("DELETE", "/nodes/pve/lxc/201").contains("still in use by linked clone"))
        #expect(try await home.done("DELETE", "/nodes/pve/lxc/202") == "vzdestroy")
        #expect(try await home.done("DELETE", "/nodes/pve/lxc/201") == "vzdestroy")
        #expect(home.simulator.guest(201) == nil)
    }

    @Test(arguments: [
        ("qemu", "vmid=200&scsi0=local%3A8", "storage 'local' does not support vm images"),
        (
            "lxc", "vmid=200&ostemplate=local%3Avztmpl%2Fx.tar.gz&rootfs=local%3A8",
            "storage 'local' does not support container directories"
        ),
        ("qemu", "vmid=200&scsi0=nosuch%3A8", "storage 'nosuch' does not exist"),
    ])
    func `no guest is created where its disks cannot be`(kind: String, form: String, reason: String) async {
        #expect(await home.refusal("POST", "/nodes/pve/\(kind)", form) == reason)
        #expect(home.simulator.guest(200) == nil)
    }

    @Test
    func `a created guest can be put under the HA manager`() async throws {
        try await cloud.done("POST", "/nodes/pve1/qemu", "vmid=300&scsi0=ceph%3A8&ha-managed=1&start=1")
        #expect(try await cloud.data("GET", "/cluster/ha/resources/vm:300")["state"] == "started")
        #expect(try await cloud.data("GET", "/nodes/pve1/qemu/300/status/current")["ha"]?["managed"] == 1)
    }

    @Test
    func `a container moves with a restart`() async throws {
        let container = "/nodes/pve2/lxc/118"
        #expect(
            await cloud.refusal("POST", container + "/migrate", "target=pve3")
                == "can't migrate running container without --online or --restart")
        #expect(try await cloud.done("POST", container + "/migrate", "target=pve3&restart=1") == "vzmigrate")
        #expect(cloud.simulator.guest(118)?.node == "pve3")
        #expect(cloud.simulator.guest(118)?.status == "running")
    }

    @Test
    func `a migration brings disks to the storage it is told`() async throws {
        let path = "/nodes/pve2/qemu/136"
        #expect(
            try await cloud.done("POST", path + "/migrate", "target=pve1&targetstorage=local-lvm%3Aceph") == "qmigrate"
        )
        #expect(cloud.simulator.guest(136)?.node == "pve1")
        #expect(try cloud.config(136)["scsi0"]?.hasPrefix("ceph:vm-136-disk-0") == true)
    }

    @Test
    func `a migration needs a node that is up and its storage there`() async throws {
        cloud.simulator.setNodeOnline("pve3", false)
        #expect(try await cloud.failed("POST", "/nodes/pve2/qemu/136/migrate", "target=pve3") == "migration aborted")
        #expect(cloud.simulator.guest(136)?.node == "pve2")
        #expect(cloud.simulator.guest(136)?.config["lock"] == nil)
        cloud.simulator.setStorage("local-lvm", type: "lvmthin", options: ["nodes": "pve2", "content": "images"])
        #expect(
            await cloud.refusal("POST", "/nodes/pve2/qemu/136/migrate", "target=pve1")
                == "storage 'local-lvm' is not available on node 'pve1'")
        let answer = try await cloud.data("GET", "/nodes/pve2/qemu/136/migrate")
        #expect(answer["not_allowed_nodes"]?["pve1"]?["unavailable_storages"] == ["local-lvm"])
        #expect(answer["allowed_nodes"] == [])
    }

    @Test
    func `a running container keeps some changes for its next start`() async throws {
        let path = "/nodes/pve/lxc/110"
        _ = try await home.data("PUT", path + "/config", "hostname=other&memory=1024&tty=3&features=nesting%3D0")
        #expect(try home.config(110)["memory"] == "1024")
        #expect(try home.config(110)["hostname"] == "other")
        #expect(try home.config(110)["tty"] == nil)
        let row = try await home.data("GET", path + "/pending").array?.first { $0["key"] == "tty" }
        #expect(row == ["key": "tty", "pending": 3])
        _ = try await home.data("PUT", path + "/config", "revert=features")
        try await home.done("POST", path + "/status/reboot")
        #expect(try home.config(110)["tty"] == "3")
        #expect(try home.config(110)["features"] == "nesting=1")
    }

    @Test
    func `a change of the cloud-init drive waits until it is made anew`() async throws {
        let path = "/nodes/pve/qemu/103"
        _ = try await home.data("PUT", path + "/config", "ide2=local-lvm%3Acloudinit&ciuser=admin")
        try await home.done("POST", path + "/status/start")
        _ = try await home.data("PUT", path + "/config", "ciuser=debian")
        #expect(
            try await home.data("GET", path + "/cloudinit") == [
                ["key": "ciuser", "value": "admin", "pending": "debian"]
            ])
        _ = try await home.data("PUT", path + "/cloudinit")
        #expect(try await home.data("GET", path + "/cloudinit") == [["key": "ciuser", "value": "debian"]])
    }

    @Test
    func `a VM suspended to disk is locked until it is resumed`() async throws {
        let path = "/nodes/pve/qemu/100/status"
        #expect(
            await home.refusal("POST", path + "/suspend", "statestorage=local-lvm") == "Parameter verification failed.")
        #expect(try await home.done("POST", path + "/suspend", "todisk=1") == "qmsuspend")
        #expect(home.simulator.guest(100)?.status == "stopped")
        #expect(try home.config(100)["lock"] == "suspended")
        #expect(try await home.done("POST", path + "/resume") == "qmresume")
        #expect(home.simulator.guest(100)?.status == "running")
        #expect(try home.config(100)["lock"] == nil)
    }
}
