import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// What a change of a guest's configuration leaves behind, also where it fails.
struct ConfigChangeTests {
    private let home = Driver("home")
    private let machine = "/nodes/pve/qemu/103"
    private let container = "/nodes/pve/lxc/112"

    @Test(arguments: [
        ("", "a;prod;web;zen", 0), ("case-sensitive=1", "Prod;ZEN;a;prod;web", 1),
        ("ordering=config", "prod;web;zen;a", 0), ("case-sensitive=1,ordering=config", "Prod;web;ZEN;prod;a", 1),
        ("ordering=alphabetical,shape=full", "a;prod;web;zen", 0),
    ])
    func `tags are written as the options of the cluster say`(style: String, written: String, number: Int) async throws
    {
        let driver = Driver(Simulator.Options(name: "cloud", taskDuration: .zero))
        if !style.isEmpty {
            _ = try await driver.data("PUT", "/cluster/options", "tag-style=\(style.replacing("=", with: "%3D"))")
            let shown = try await driver.data("GET", "/cluster/options")["tag-style"]
            #expect(shown?["case-sensitive"]?.integer ?? 0 == Int64(number))
        }
        _ = try await driver.data("PUT", "/nodes/pve2/qemu/100/config", "tags=Prod%3Bweb%3BZEN%3Bprod%3Ba%3BProd")
        #expect(try await driver.data("GET", "/nodes/pve2/qemu/100/config")["tags"]?.string == written)
    }

    @Test
    func `a device that goes is taken out of the boot order, and coming back it is not put in again`() async throws {
        let disk = try #require(try home.config(103)["scsi0"]?.split(separator: ",").first)
        _ = try await home.data("PUT", machine + "/config", "delete=scsi0")
        #expect(try home.config(103)["boot"] == "order=net0")
        _ = try await home.data("PUT", machine + "/config", "delete=net0")
        #expect(try home.config(103)["boot"] == " ")
        let form = "scsi0=\(disk.replacing(":", with: "%3A"))&net0=virtio%2Cbridge%3Dvmbr0"
        _ = try await home.data("PUT", machine + "/config", form)
        #expect(try home.config(103)["scsi0"]?.hasPrefix(disk) == true)
        #expect(try home.config(103)["boot"] == " ")
        _ = try await home.data("PUT", machine + "/config", "boot=order%3Dscsi0")
        _ = try await home.data("PUT", machine + "/config", "ide2=none%2Cmedia%3Dcdrom")
        #expect(try home.config(103)["boot"] == "order=scsi0;ide2")
    }

    @Test
    func `the boot order of a running machine changes with its next start`() async throws {
        _ = try await home.data("PUT", "/nodes/pve/qemu/100/config", "delete=net0")
        #expect(try home.config(100)["net0"] == nil)
        #expect(try home.config(100)["boot"] == "order=scsi0;net0")
        let row = try await home.data("GET", "/nodes/pve/qemu/100/pending").array?.first { $0["key"] == "boot" }
        #expect(row == ["key": "boot", "value": "order=scsi0;net0", "pending": "order=scsi0"])
        try await home.done("POST", "/nodes/pve/qemu/100/status/stop")
        #expect(try home.config(100)["boot"] == "order=scsi0")
    }

    @Test
    func `a card that cannot be plugged stays pending, and the rest of the change is done`() async throws {
        let path = "/nodes/pve/qemu/100"
        home.simulator.setAnswersShutdown(100, false)
        let before = try #require(try home.config(100)["net0"])
        let form = "net0=virtio%2Cbridge%3Dvmbr0%2Ctag%3D7&description=new"
        let exit = try await home.failed("POST", path + "/config", form)
        #expect(
            exit
                == "400 Parameter verification failed. net0: hotplug problem - error on hot-unplugging device 'net0' - "
                + "still busy in guest? ")
        #expect(try home.config(100)["description"] == "new")
        #expect(try home.config(100)["net0"] == before)
        let row = try await home.data("GET", path + "/pending").array?.first { $0["key"] == "net0" }
        #expect(row?["value"]?.string == before)
        #expect(row?["pending"]?.string?.hasSuffix(",bridge=vmbr0,tag=7") == true)
    }

    @Test
    func `a card moves to another bridge while the machine runs, if that is there`() async throws {
        let path = "/nodes/pve/qemu/100/config"
        let card = try #require(try home.config(100)["net0"])
        let moved = card.replacing("vmbr0", with: "vmbr9")
        let form = "net0=" + moved.replacing(":", with: "%3A").replacing("=", with: "%3D").replacing(",", with: "%2C")
        #expect(await home.refusal("PUT", path, form) == "Parameter verification failed.")
        #expect(try home.config(100)["net0"] == card)
        home.simulator.setBridges(["vmbr0", "vmbr9"], on: "pve")
        _ = try await home.data("PUT", path, form)
        #expect(try home.config(100)["net0"] == moved)
    }

    @Test
    func `a container whose bridge is missing takes every other change, and the call fails`() async throws {
        let form = "net0=name%3Deth0%2Cbridge%3Dvmbr99&memory=2048&mp0=local-lvm%3A2%2Cmp%3D%2Fdata"
        #expect(await home.refusal("PUT", container + "/config", form) == "bridge 'vmbr99' does not exist")
        #expect(try home.config(112)["memory"] == "2048")
        #expect(try home.config(112)["net0"]?.contains("bridge=vmbr99") == true)
        #expect(try home.config(112)["mp0"] == "local-lvm:vm-112-disk-1,mp=/data,size=2G")
        // It goes on failing until the bridge is right again, and it goes on writing.
        #expect(
            await home.refusal("PUT", container + "/config", "memory=1024") == "bridge 'vmbr99' does not exist")
        #expect(try home.config(112)["memory"] == "1024")
        #expect(try await home.failed("POST", container + "/status/start") == "bridge 'vmbr99' does not exist")
    }

    @Test
    func `a running container into which nothing can be plugged keeps its file`() async throws {
        home.simulator.setHotplugProblem(110, "failed to change apparmor profile: Invalid argument")
        let form = "mp0=local-lvm%3A2%2Cmp%3D%2Fdata&memory=2048"
        let before = try home.config(110)
        #expect(await home.refusal("PUT", "/nodes/pve/lxc/110/config", form) == "Parameter verification failed.")
        #expect(try home.config(110) == before)
    }

    /// What is sent in place of the card's address and bridge, and whether the file is written before it fails.
    @Test(
        arguments: [
            ("BC:24:11:00:00:01", "vmbr99", true), (nil, "vmbr99", false), ("BC:24:11:00:00:01", "vmbr0", true),
            (nil, "vmbr0", nil),
        ] as [(String?, String, Bool?)])
    func `a card that cannot follow the one of a running container leaves none`(
        address: String?, bridge: String, isLost: Bool?
    ) async throws {
        if isLost == true, bridge == "vmbr0" { home.simulator.setHotplugProblem(110, "failed to run lxc-device") }
        let before = try home.config(110)
        let card = try #require(before["net0"])
        let old = try #require(card.split(separator: ",").first { $0.hasPrefix("hwaddr=") })
        let new = card.replacing("bridge=vmbr0", with: "bridge=\(bridge)")
            .replacing(old, with: address.map { "hwaddr=\($0)" } ?? String(old)).replacing("ip=dhcp", with: "ip=manual")
        let form =
            "memory=4096&net0="
            + new.replacing(":", with: "%3A").replacing("=", with: "%3D").replacing(",", with: "%2C")
        let path = "/nodes/pve/lxc/110"
        guard let isLost else {
            _ = try await home.data("PUT", path + "/config", form)
            #expect(try home.config(110)["net0"] == new)
            return
        }
        #expect(await home.refusal("PUT", path + "/config", form) == "Parameter verification failed.")
        guard isLost else { return #expect(try home.config(110) == before) }
        #expect(try home.config(110)["net0"] == nil)
        #expect(try home.config(110)["memory"] == "4096")
        let row = try await home.data("GET", path + "/pending").array?.first { $0["key"] == "net0" }
        #expect(row?["value"] == nil && row?["pending"]?.string == new)
    }

    @Test
    func `a card that cannot be taken out of a running container stays`() async throws {
        home.simulator.setHotplugProblem(110, "can't delete interface veth110i0")
        let before = try home.config(110)
        #expect(
            await home.refusal("PUT", "/nodes/pve/lxc/110/config", "delete=net0") == "Parameter verification failed.")
        #expect(try home.config(110) == before)
    }

    @Test(arguments: [
        ("delete=memory", "unable to delete required option 'memory'"),
        ("delete=ostype", "unable to delete required option 'ostype'"),
        ("unprivileged=0", "unable to modify read-only option: 'unprivileged'"),
        ("delete=unprivileged", "unable to delete read-only option: 'unprivileged'"),
    ])
    func `some options of a container are fixed`(form: String, reason: String) async {
        #expect(await home.refusal("PUT", container + "/config", form) == reason)
    }

    @Test
    func `a container is unprivileged unless it is told otherwise`() async throws {
        let template = "ostemplate=local%3Avztmpl%2Fdebian-13-standard_13.1-2_amd64.tar.zst&storage=local-lvm"
        try await home.done("POST", "/nodes/pve/lxc", "vmid=200&" + template)
        #expect(try home.config(200)["unprivileged"] == "1")
        try await home.done("POST", "/nodes/pve/lxc", "vmid=201&unprivileged=0&" + template)
        #expect(try home.config(201)["unprivileged"] == nil)
    }

    @Test(arguments: [
        ("delete=net0&tags=x", "update VM 103: -delete net0 -tags x"),
        ("revert=memory%2Ccores", "update VM 103: -revert memory,cores"),
        ("cipassword=secret1", "update VM 103: -cipassword <hidden>"),
    ])
    func `the log of a change begins with everything that was asked`(form: String, line: String) async throws {
        let (upid, _) = try await home.task("POST", machine + "/config", form)
        let log = try await home.data("GET", "/nodes/pve/tasks/\(upid)/log")
        #expect(log.array?.first?["t"]?.string == line)
    }
}
