import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// Work on many guests, and the tasks that one task starts.
struct BulkTests {
    private let home = Driver("home")

    private func log(of upid: String) async throws -> [String] {
        try await home.data("GET", "/nodes/pve/tasks/\(upid)/log").array?.compactMap { $0["t"]?.string } ?? []
    }

    private func tasks(of vmid: Int) async throws -> [String] {
        try await home.data("GET", "/nodes/pve/tasks?vmid=\(vmid)").array?.compactMap { row in
            row["type"]?.string.map { "\($0): \(row["status"]?.string ?? "")" }
        } ?? []
    }

    /// Gives a stopped VM a bridge that is missing.
    private func prepare() {
        home.simulator.setConfig(103, "net0", "virtio=BC:24:11:00:00:01,bridge=vmbr99")
    }

    @Test
    func `a node's bulk start says OK whatever became of the guests`() async throws {
        prepare()
        let (upid, status) = try await home.task("POST", "/nodes/pve/startall", "force=1&vms=103%2C112")
        #expect(status["exitstatus"] == "OK")
        #expect(
            try await log(of: upid) == [
                "Starting VM 103", "Starting CT 112", "Starting VM 103 failed: bridge 'vmbr99' does not exist",
                "TASK OK",
            ])
        #expect(home.simulator.guest(112)?.status == "running")
        #expect(try await tasks(of: 103) == ["qmstart: bridge 'vmbr99' does not exist"])
    }

    @Test
    func `a bulk start of the cluster fails with the guests that did not start`() async throws {
        prepare()
        let form = "vms=103&vms=112&vms=100"
        let (upid, status) = try await home.task("POST", "/cluster/bulk-action/guest/start", form)
        #expect(status["exitstatus"] == "Some guests failed to start: 103")
        let lines = try await log(of: upid)
        #expect(lines.first == "Starting guests: 103, 112, 100")
        #expect(lines.contains("WARN: Skipping VM 100, already running."))
        #expect(lines.contains("WARN: Starting VM 103 failed: bridge 'vmbr99' does not exist"))
        #expect(home.simulator.guest(112)?.status == "running")
        let again = try await home.task("POST", "/cluster/bulk-action/guest/start", "vms=112")
        #expect(again.status["exitstatus"] == "Some guests failed to start: 112")
        #expect(try await log(of: again.upid).contains("WARN: 500 CT 112 already running"))
    }

    @Test
    func `a node's bulk stop says OK of a guest that goes on running, the cluster's names it`() async throws {
        let clock = ManualClock(.seconds(1_000_000))
        let driver = Driver(Simulator.Options(name: "home", taskDuration: .seconds(1), now: { clock.now }, seed: 1))
        driver.simulator.setAnswersShutdown(100, false)
        func end(_ path: String, _ form: String) async throws -> String? {
            let upid = try #require(try await driver.data("POST", path, form).string)
            clock.advance(by: .seconds(2))
            #expect(try await driver.status(of: upid)["status"] == "running")
            clock.advance(by: .seconds(60))
            return try await driver.status(of: upid)["exitstatus"]?.string
        }
        #expect(try await end("/nodes/pve/stopall", "vms=100%2C110&timeout=30&force-stop=0") == "OK")
        #expect(driver.simulator.guest(100)?.status == "running")
        #expect(driver.simulator.guest(110)?.status == "stopped")
        let cluster = "/cluster/bulk-action/guest/shutdown"
        #expect(
            try await end(cluster, "vms=100&vms=110&timeout=30&force-stop=0") == "Some guests failed to shutdown 100")
        #expect(try await end(cluster, "vms=100&timeout=30") == "OK")
        #expect(driver.simulator.guest(100)?.status == "stopped")
    }

    @Test
    func `a bulk start takes the locks of backups for leftovers of a crash`() async throws {
        home.simulator.setConfig(101, "lock", "backup")
        home.simulator.setConfig(102, "lock", "snapshot")
        let (upid, _) = try await home.task("POST", "/nodes/pve/startall", "force=1&vms=112")
        #expect(try await log(of: upid).first == "removed left over backup lock from '101'!")
        #expect(try home.config(101)["lock"] == nil)
        #expect(try home.config(102)["lock"] == "snapshot")
    }

    @Test
    func `a list of guests for the cluster is no text with commas`() async throws {
        #expect(
            await home.refusal("POST", "/cluster/bulk-action/guest/start", "vms=103%2C112")
                == "Parameter verification failed.")
    }

    @Test
    func `a guest that is made and started gets a second task, whose end says nothing about the first`() async throws {
        let machine = "vmid=200&scsi0=local-lvm%3A1&net0=virtio%2Cbridge%3Dvmbr99&start=1"
        let (upid, status) = try await home.task("POST", "/nodes/pve/qemu", machine)
        #expect(status["exitstatus"] == "OK")
        #expect(try await log(of: upid).contains("Execute autostart"))
        #expect(try await tasks(of: 200) == ["qmstart: bridge 'vmbr99' does not exist", "qmcreate: OK"])
        #expect(home.simulator.guest(200)?.status == "stopped")
        let container =
            "vmid=201&ostemplate=local%3Avztmpl%2Fdebian-13-standard_13.1-2_amd64.tar.zst&storage=local-lvm"
            + "&net0=name%3Deth0%2Cbridge%3Dvmbr99&start=1"
        try await home.done("POST", "/nodes/pve/lxc", container)
        #expect(try await tasks(of: 201) == ["vzstart: bridge 'vmbr99' does not exist", "vzcreate: OK"])
    }

    @Test
    func `a guest that is restored and started gets a second task too`() async throws {
        let backup = try #require(home.simulator.addBackup(of: 103, on: "local"))
        let archive = backup.replacing(":", with: "%3A").replacing("/", with: "%2F")
        home.simulator.setBridges([], on: "pve")
        try await home.done("POST", "/nodes/pve/qemu", "vmid=200&archive=\(archive)&start=1")
        #expect(try await tasks(of: 200) == ["qmstart: bridge 'vmbr0' does not exist", "qmrestore: OK"])
        #expect(home.simulator.guest(200)?.status == "stopped")
    }

    @Test
    func `a stop that overrules ends the shutdown that runs`() async throws {
        let clock = ManualClock(.seconds(1_000_000))
        let driver = Driver(Simulator.Options(name: "home", taskDuration: .seconds(1), now: { clock.now }, seed: 1))
        driver.simulator.setAnswersShutdown(100, false)
        let path = "/nodes/pve/qemu/100/status/"
        let shutdown = try #require(try await driver.data("POST", path + "shutdown", "timeout=300").string)
        let stop = try #require(try await driver.data("POST", path + "stop", "overrule-shutdown=1").string)
        #expect(try await driver.status(of: shutdown)["exitstatus"] == "received interrupt")
        clock.advance(by: .seconds(2))
        #expect(try await driver.status(of: stop)["exitstatus"] == "OK")
        #expect(driver.simulator.guest(100)?.status == "stopped")
        driver.simulator.setHA(100, wanted: "stopped")
        #expect(
            await driver.refusal("POST", path + "stop", "overrule-shutdown=1") == "Parameter verification failed.")
    }

    @Test
    func `a machine that starts frozen waits for a resume`() async throws {
        home.simulator.setConfig(103, "freeze", "1")
        let path = "/nodes/pve/qemu/103/status/"
        try await home.done("POST", path + "start")
        #expect(try await home.data("GET", path + "current")["qmpstatus"] == "prelaunch")
        #expect(try await home.data("GET", path + "current")["status"] == "running")
        #expect(await home.refusal("POST", path + "shutdown") == "VM is paused - cannot shutdown")
        #expect(try await home.failed("POST", path + "start") == "VM 103 already running")
        try await home.done("POST", path + "resume")
        #expect(try await home.data("GET", path + "current")["qmpstatus"] == "running")
        try await home.done("POST", path + "suspend")
        try await home.done("POST", path + "reset")
        #expect(try await home.data("GET", path + "current")["qmpstatus"] == "prelaunch")
    }

    @Test
    func `a machine that runs tells of its cards`() async throws {
        let path = "/nodes/pve/qemu/100/status/current"
        #expect(try await home.data("GET", path)["nics"]?["tap100i0"]?["netin"] != nil)
        home.simulator.setRunning(100, false)
        #expect(try await home.data("GET", path)["nics"] == nil)
    }
}
