import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

struct TaskTests {
    private let clock = ManualClock(.seconds(1_800_000_000))
    private var driver: Driver {
        Driver(
            Simulator.Options(
                name: "cloud", taskDuration: .seconds(2), now: { [clock] in clock.now }, seed: 1))
    }
    /// A stopped VM of the cloud on a node's own disks, and a running one on shared ones.
    private let stopped = "/nodes/pve2/qemu/136"
    private let running = "/nodes/pve2/qemu/100"

    @Test
    func `a task has its effect at its end`() async throws {
        let driver = driver
        let upid = try #require(try await driver.data("POST", running + "/status/stop").string)
        #expect(try await driver.status(of: upid)["status"] == "running")
        #expect(try await driver.status(of: upid)["exitstatus"] == nil)
        #expect(driver.simulator.guest(100)?.status == "running")
        clock.advance(by: .seconds(2))
        #expect(driver.simulator.guest(100)?.status == "stopped")
        #expect(try await driver.status(of: upid)["exitstatus"] == "OK")
        let log = try await driver.data("GET", "/nodes/pve2/tasks/\(upid)/log").array
        #expect(log?.last?["t"] == "TASK OK")
    }

    @Test
    func `a snapshot locks its guest until it is there`() async throws {
        let driver = driver
        let upid = try #require(try await driver.data("POST", running + "/snapshot", "snapname=before").string)
        #expect(try await driver.data("GET", running + "/config")["lock"] == "snapshot")
        #expect(driver.simulator.guest(100)?.snapshots == [])
        #expect(await driver.refusal("PUT", running + "/config", "cores=1") == "VM is locked (snapshot)")
        clock.advance(by: .seconds(2))
        #expect(driver.simulator.guest(100)?.snapshots == ["before"])
        #expect(driver.simulator.guest(100)?.config["lock"] == nil)
        #expect(try await driver.status(of: upid)["exitstatus"] == "OK")
    }

    @Test
    func `a migration locks the guest, brings it over locked, and lets it go`() async throws {
        let driver = driver
        #expect(
            await driver.refusal("POST", running + "/migrate", "target=pve1")
                == "can't migrate running VM without --online")
        let upid = try #require(try await driver.data("POST", running + "/migrate", "target=pve1&online=1").string)
        var seen: [[String?]] = []
        for _ in 0..<4 {
            let guest = try #require(driver.simulator.guest(100))
            seen.append([guest.node, guest.config["lock"], try await driver.status(of: upid)["exitstatus"]?.string])
            clock.advance(by: .seconds(2) / 3 + .milliseconds(1))
        }
        #expect(
            seen == [["pve2", nil, nil], ["pve2", "migrate", nil], ["pve1", "migrate", nil], ["pve1", nil, "OK"]])
        let started = try await driver.data("GET", "/nodes/pve1/tasks?vmid=100").array
        #expect(started?.map { $0["type"] } == ["qmstart"])
        #expect(started?.first?["user"] == "root@pam")
        #expect(
            await driver.refusal("GET", running + "/config")
                == "Configuration file 'nodes/pve2/qemu-server/100.conf' does not exist")
    }

    @Test
    func `what needs the file of a guest waits until it has moved`() async throws {
        let driver = driver
        _ = try await driver.data("POST", running + "/migrate", "target=pve1&online=1")
        let stop = try #require(try await driver.data("POST", running + "/status/stop").string)
        let log = try await driver.data("GET", "/nodes/pve2/tasks/\(stop)/log").array
        #expect(log?.map { $0["t"] } == ["trying to acquire lock..."])
        clock.advance(by: .seconds(2))
        #expect(
            try await driver.status(of: stop)["exitstatus"]
                == "unable to find configuration file for VM 100 on node 'pve2'")
        #expect(driver.simulator.guest(100)?.status == "running")
    }

    @Test(arguments: [true, false])
    func `a container is shut down for its move and started where it is then`(isInterrupted: Bool) async throws {
        let driver = driver
        driver.simulator.addGuest(
            400, isContainer: true, on: "pve2", config: ["rootfs": "nfs:400/vm-400-disk-0.raw,size=8G"], isRunning: true
        )
        driver.simulator.setStorage("nfs", type: "nfs", options: ["content": "rootdir", "shared": "1"])
        let path = "/nodes/pve2/lxc/400/migrate"
        let upid = try #require(try await driver.data("POST", path, "target=pve1&restart=1").string)
        #expect(driver.simulator.guest(400)?.status == "running")
        clock.advance(by: .seconds(1))
        #expect(driver.simulator.guest(400)?.status == "stopped")
        if isInterrupted { _ = try await driver.data("DELETE", "/nodes/pve2/tasks/\(upid)") }
        clock.advance(by: .seconds(1))
        #expect(driver.simulator.guest(400)?.status == "running")
        #expect(driver.simulator.guest(400)?.config["lock"] == nil)
        #expect(driver.simulator.guest(400)?.node == (isInterrupted ? "pve2" : "pve1"))
        let started = try await driver.data("GET", "/nodes/pve1/tasks?vmid=400").array
        #expect(started?.map { $0["type"] } == (isInterrupted ? [] : ["vzstart"]))
    }

    @Test
    func `a clone is another guest with an identity of its own`() async throws {
        let driver = driver
        _ = try await driver.data("POST", running + "/clone", "newid=500&name=copy")
        #expect(driver.simulator.guest(500)?.config["lock"] == "clone")
        clock.advance(by: .seconds(2))
        let source = try #require(driver.simulator.guest(100))
        let copy = try #require(driver.simulator.guest(500))
        #expect(copy.name == "copy")
        for key in ["smbios1", "vmgenid", "net0", "scsi0"] { #expect(copy.config[key] != source.config[key]) }
        #expect(copy.config["memory"] == source.config["memory"])
    }

    @Test
    func `a task that is stopped undoes what it began`() async throws {
        let driver = driver
        let upid = try #require(try await driver.data("POST", running + "/clone", "newid=500").string)
        _ = try await driver.data("DELETE", "/nodes/pve2/tasks/\(upid)")
        #expect(try await driver.status(of: upid)["exitstatus"] == "received interrupt")
        #expect(driver.simulator.guest(500) == nil)
    }

    @Test
    func `a start that has to wait for a shutdown begins after it`() async throws {
        let driver = driver
        _ = try await driver.data("POST", running + "/status/shutdown")
        let start = try #require(try await driver.data("POST", running + "/status/start").string)
        clock.advance(by: .seconds(2))
        #expect(driver.simulator.guest(100)?.status == "stopped")
        clock.advance(by: .seconds(2))
        #expect(driver.simulator.guest(100)?.status == "running")
        #expect(try await driver.status(of: start)["exitstatus"] == "OK")
    }

    @Test
    func `held tasks end when they are released`() async throws {
        let driver = driver
        driver.simulator.holdTasks()
        let upid = try #require(try await driver.data("POST", running + "/status/stop").string)
        clock.advance(by: .seconds(3600))
        #expect(driver.simulator.activeTasks == [upid])
        driver.simulator.releaseTasks()
        #expect(driver.simulator.guest(100)?.status == "stopped")
    }

    @Test
    func `the HA manager acts on a guest that it manages`() async throws {
        let driver = driver
        _ = try await driver.data("POST", "/cluster/ha/resources", "sid=vm%3A100")
        let upid = try #require(try await driver.data("POST", running + "/status/stop").string)
        #expect(upid.contains(":hastop:"))
        for _ in 0..<3 {
            #expect(driver.simulator.guest(100)?.status == "running")
            clock.advance(by: .seconds(2))
        }
        #expect(try await driver.status(of: upid)["exitstatus"] == "OK")
        #expect(driver.simulator.guest(100)?.status == "stopped")
    }

    @Test
    func `a resource that was removed is shown as such until the HA manager lets go of it`() async throws {
        let driver = driver
        _ = try await driver.data("POST", "/cluster/ha/resources", "sid=vm%3A100")
        _ = try await driver.data("DELETE", "/cluster/ha/resources/vm:100")
        let status = "/cluster/ha/status/current"
        let rows = try await driver.data("GET", status).array?.filter { $0["type"] == "service" }
        #expect(rows?.map { $0["state"] } == ["deleting"])
        clock.advance(by: .seconds(2))
        #expect(try await driver.data("GET", status).array?.contains { $0["type"] == "service" } == false)
    }
}
