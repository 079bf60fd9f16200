import PVESimulator
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
    func `a migration moves the guest at its end`() async throws {
        let driver = driver
        #expect(
            await driver.refusal("POST", running + "/migrate", "target=pve1")
                == "can't migrate running VM without --online")
        let upid = try #require(try await driver.data("POST", running + "/migrate", "target=pve1&online=1").string)
        #expect(driver.simulator.guest(100)?.node == "pve2")
        #expect(driver.simulator.guest(100)?.config["lock"] == "migrate")
        clock.advance(by: .seconds(2))
        #expect(driver.simulator.guest(100)?.node == "pve1")
        #expect(try await driver.status(of: upid)["exitstatus"] == "OK")
        #expect(
            await driver.refusal("GET", running + "/config")
                == "Configuration file 'nodes/pve2/qemu-server/100.conf' does not exist")
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
        clock.advance(by: .seconds(2))
        #expect(driver.simulator.guest(100)?.status == "running")
        clock.advance(by: .seconds(2))
        #expect(driver.simulator.guest(100)?.status == "stopped")
    }
}
