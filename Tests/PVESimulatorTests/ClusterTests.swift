import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

struct ClusterTests {
    private let driver = Driver("cloud")

    @Test
    func `a node that is down cannot be asked, and its guests are unknown`() async throws {
        driver.simulator.setNodeOnline("pve2", false)
        let response = await driver.send("GET", "/nodes/pve2/qemu/100/status/current")
        #expect(FactReplay.reason(of: response) == "No route to host")
        let rows = try await driver.data("GET", "/cluster/resources").array ?? []
        #expect(rows.first { $0["vmid"] == 100 }?["status"] == "unknown")
        #expect(rows.first { $0["id"] == "node/pve2" }?["status"] == "offline")
        let members = try await driver.data("GET", "/cluster/status").array ?? []
        #expect(members.first { $0["name"] == "pve2" }?["online"] == 0)
        driver.simulator.setNodeOnline("pve2", true)
        #expect(try await driver.data("GET", "/nodes/pve2/qemu/100/status/current")["status"] == "running")
    }

    @Test
    func `without a majority guests can be stopped and nothing else`() async throws {
        driver.simulator.setQuorate(false)
        let denied = "unable to open file '/etc/pve/nodes/pve2/qemu-server/100.conf.tmp.4711' - Permission denied"
        #expect(await driver.refusal("PUT", "/nodes/pve2/qemu/100/config", "cores=1") == denied)
        #expect(try await driver.failed("POST", "/nodes/pve2/qemu/100/config", "cores=1") == denied)
        #expect(try driver.config(100)["cores"] == "2")
        #expect(await driver.refusal("GET", "/nodes/pve2/qemu/100/migrate") == "cluster not ready - no quorum?")
        #expect(
            await driver.refusal("POST", "/pools", "poolid=new")
                == "create pool failed: cfs-lock 'file-user_cfg' error: no quorum!")
        #expect(await driver.refusal("POST", "/nodes/pve2/qemu/136/status/start") == "cluster not ready - no quorum?")
        #expect(try await driver.data("GET", "/cluster/status").array?.first?["quorate"] == 0)
        try await driver.done("POST", "/nodes/pve2/qemu/100/status/stop")
    }

    @Test
    func `a node that is shut down is woken, one that reboots comes back, with their guests`() async throws {
        let clock = ManualClock(.seconds(1_800_000_000))
        let driver = Driver(Simulator.Options(name: "cloud", taskDuration: .seconds(60), now: { clock.now }))
        _ = try await driver.data("POST", "/nodes/pve2/status", "command=reboot")
        #expect(await driver.refusal("GET", "/nodes/pve2/status") == "No route to host")
        #expect(driver.simulator.guest(100)?.status == "stopped")
        clock.advance(by: .seconds(60))
        #expect(try await driver.data("GET", "/nodes/pve2/qemu/100/status/current")["status"] == "running")
        #expect(
            await driver.refusal("POST", "/nodes/pve2/wakeonlan")
                == "No wake on LAN MAC address defined for 'pve2'!")
        _ = try await driver.data("PUT", "/nodes/pve2/config", "wakeonlan=BC%3A24%3A11%3A00%3A00%3A02")
        _ = try await driver.data("POST", "/nodes/pve2/status", "command=shutdown")
        clock.advance(by: .seconds(3600))
        #expect(await driver.refusal("GET", "/nodes/pve2/status") == "No route to host")
        #expect(try await driver.data("POST", "/nodes/pve2/wakeonlan") == "BC:24:11:00:00:02")
        #expect(try await driver.data("GET", "/nodes/pve2/qemu/100/status/current")["status"] == "running")
        #expect(
            await driver.refusal("POST", "/nodes/pve1/wakeonlan") == "'pve1' is local node, cannot wake my self!")
    }

    @Test
    func `bulk work does to each guest what it would do to one`() async throws {
        #expect(
            try await driver.done("POST", "/cluster/bulk-action/guest/shutdown", "vms=100&vms=118") == "bulk-shutdown")
        #expect(driver.simulator.guest(100)?.status == "stopped")
        #expect(driver.simulator.guest(118)?.status == "stopped")
        #expect(driver.simulator.guest(101)?.status == "running")
        #expect(try await driver.done("POST", "/cluster/bulk-action/guest/start", "vms=100&vms=118") == "bulk-start")
        #expect(driver.simulator.guest(118)?.status == "running")
        try await driver.done("POST", "/cluster/bulk-action/guest/suspend", "vms=100")
        #expect(driver.simulator.guest(100)?.status == "paused")
        #expect(
            try await driver.done("POST", "/cluster/bulk-action/guest/migrate", "target=pve1&online=1&vms=100&vms=118")
                == "bulk-migrate")
        #expect(driver.simulator.guest(100)?.node == "pve1")
        #expect(driver.simulator.guest(118)?.node == "pve1")
    }

    @Test
    func `bulk work says which guests it could not do`() async throws {
        driver.simulator.setConfig(100, "lock", "backup")
        let exit = try await driver.failed("POST", "/cluster/bulk-action/guest/shutdown", "vms=100&vms=118")
        #expect(exit == "Some guests failed to shutdown 100")
        #expect(driver.simulator.guest(118)?.status == "stopped")
    }

    @Test
    func `a node's own bulk work stays on it`() async throws {
        #expect(try await driver.done("POST", "/nodes/pve2/stopall", "vms=100%2C101") == "stopall")
        #expect(driver.simulator.guest(100)?.status == "stopped")
        #expect(driver.simulator.guest(101)?.status == "running")
        #expect(try await driver.done("POST", "/nodes/pve2/startall", "vms=100") == "startall")
        #expect(driver.simulator.guest(100)?.status == "running")
        #expect(try await driver.done("POST", "/nodes/pve2/suspendall", "vms=100") == "suspendall")
        #expect(driver.simulator.guest(100)?.config["lock"] == "suspended")
        #expect(
            try await driver.done("POST", "/nodes/pve3/migrateall", "target=pve1&vms=101&max-workers=1") == "migrateall"
        )
        #expect(driver.simulator.guest(101)?.node == "pve1")
        #expect(
            await driver.refusal("POST", "/nodes/pve3/migrateall", "target=pve1&vms=104")
                == "either 'max-workers' parameter or max_workers in datacenter.cfg must be set!")
        #expect(
            await driver.refusal("POST", "/nodes/pve3/migrateall", "target=pve3") == "Parameter verification failed.")
    }

    @Test
    func `a node's migration of many is OK though it left some behind`() async throws {
        // A running guest with a local image is not tried; a stopped one is, in vain.
        for vmid in [100, 103] {
            driver.simulator.setConfig(vmid, "ide2", "local:iso/debian-13.2.0-amd64-netinst.iso,media=cdrom")
        }
        driver.simulator.setRunning(103, false)
        let path = "/nodes/pve2/migrateall"
        #expect(try await driver.done("POST", path, "target=pve1&max-workers=2&vms=103%2C106") == "migrateall")
        #expect(driver.simulator.guest(103)?.node == "pve2")
        #expect(driver.simulator.guest(106)?.node == "pve1")
        #expect(
            try await driver.failed("POST", path, "target=pve1&max-workers=2&vms=100")
                == "no migrations worker started...")
    }

    @Test
    func `the cluster's migration of many names the guests that it could not move`() async throws {
        driver.simulator.setConfig(136, "ide2", "local:iso/debian-13.2.0-amd64-netinst.iso,media=cdrom")
        let form = "vms=100&vms=136&vms=105&target=pve1"
        let path = "/cluster/bulk-action/guest/migrate"
        #expect(try await driver.failed("POST", path, form) == "Some guests failed to migrate 100, 136")
        #expect(try await driver.failed("POST", path, "vms=105&target=pve1") == "WARNINGS: 1")
        #expect(await driver.refusal("POST", path, "vms=100%2C103&target=pve1") == "Parameter verification failed.")
        #expect(try await driver.failed("POST", path, "vms=100&target=pve9") == "Some guests failed to migrate 100")
    }

    @Test
    func `a local image in a drive stops a migration, and the preconditions show it`() async throws {
        driver.simulator.setConfig(136, "ide2", "local:iso/debian-13.2.0-amd64-netinst.iso,media=cdrom")
        let path = "/nodes/pve2/qemu/136/migrate"
        let found = try await driver.data("GET", path)
        #expect(found["not_allowed_nodes"] == ["pve1": [:], "pve3": [:]])
        #expect(found["local_disks"]?.array?.first { $0["drivename"] == "ide2" }?["cdrom"] == 1)
        #expect(try await driver.failed("POST", path, "target=pve1&with-local-disks=1") == "migration aborted")
        driver.simulator.setConfig(136, "lock", "backup")
        #expect(await driver.refusal("GET", path) == "VM is locked (backup)")
    }

    @Test
    func `a resource in error takes nothing but to be disabled`() async throws {
        driver.simulator.setHA(136, wanted: "started", says: "error")
        #expect(
            try await driver.failed("POST", "/nodes/pve2/qemu/136/status/start")
                == "command 'ha-manager set vm:136 --state started' failed: exit code 255")
        #expect(
            try await driver.failed("POST", "/nodes/pve2/qemu/136/migrate", "target=pve1")
                == "command 'ha-manager migrate vm:136 pve1' failed: exit code 255")
        #expect(
            await driver.refusal("PUT", "/cluster/ha/resources/vm:136", "state=stopped")
                == "service 'vm:136' in error state, must be disabled and fixed first")
        _ = try await driver.data("PUT", "/cluster/ha/resources/vm:136", "state=disabled")
        try await driver.done("POST", "/nodes/pve2/qemu/136/status/start")
        #expect(driver.simulator.guest(136)?.status == "running")
    }

    @Test
    func `rules keep guests together, apart and in their places`() async throws {
        for vmid in [136, 100] { driver.simulator.setHA(vmid, wanted: "started") }
        let rules = "/cluster/ha/rules"
        _ = try await driver.data(
            "POST", rules, "rule=apart&type=resource-affinity&affinity=negative&resources=vm%3A136%2Cvm%3A100")
        driver.simulator.move(136, to: "pve1")
        let blocked = try await driver.data("GET", "/nodes/pve2/qemu/100/migrate")["not_allowed_nodes"]
        #expect(blocked?["pve1"]?["blocking-ha-resources"] == [["cause": "resource-affinity", "sid": "vm:136"]])
        #expect(
            try await driver.failed("POST", "/nodes/pve2/qemu/100/migrate", "target=pve1&online=1")
                == "command 'ha-manager migrate vm:100 pve1' failed: exit code 2")
        #expect(
            await driver.refusal(
                "POST", rules, "rule=both&type=resource-affinity&affinity=positive&resources=vm%3A136%2Cvm%3A100")
                == "create ha rule failed: 400 Rule 'both' is invalid.")
        _ = try await driver.data("DELETE", rules + "/apart")
        _ = try await driver.data("POST", rules, "rule=here&type=node-affinity&resources=vm%3A100&nodes=pve2&strict=1")
        _ = try await driver.data("POST", "/cluster/ha/resources/vm:100/migrate", "node=pve3")
        // There, and back.
        #expect(driver.simulator.guest(100)?.node == "pve2")
        #expect(
            try await driver.data("GET", "/nodes/pve3/tasks?vmid=100").array?.first?["type"] == "qmigrate")
        #expect(
            await driver.refusal("POST", "/cluster/ha/resources/vm:103/migrate", "node=pve3")
                == "resource 'vm:103' is not HA managed")
    }

    @Test
    func `what was asked of a node that hung is done when it goes on`() async throws {
        driver.simulator.inject(Fault(.late(596, reason: "Connection timed out"), method: "POST"))
        #expect(await driver.refusal("POST", "/nodes/pve2/qemu/136/status/start") == "Connection timed out")
        #expect(driver.simulator.guest(136)?.status == "stopped")
        await driver.simulator.carryOutLate()
        #expect(try await driver.data("GET", "/nodes/pve2/qemu/136/status/current")["status"] == "running")
    }

    @Test
    func `services stop and start, but for those without which nobody could start them`() async throws {
        let service = "/nodes/pve1/services/postfix"
        #expect(try await driver.done("POST", service + "/stop") == "srvstop")
        #expect(try await driver.data("GET", service + "/state")["state"] == "dead")
        #expect(try await driver.data("GET", "/nodes/pve2/services/postfix/state")["state"] == "running")
        #expect(try await driver.done("POST", service + "/restart") == "srvrestart")
        #expect(try await driver.data("GET", service + "/state")["state"] == "running")
        #expect(
            try await driver.failed("POST", "/nodes/pve1/services/pveproxy/stop")
                == "invalid service cmd 'pveproxy stop': refusing to stop essential service!")
    }

    @Test
    func `a replicated guest is synchronised when it is asked for`() async throws {
        #expect(
            await driver.refusal("POST", "/cluster/replication", "id=100-0&type=local&target=pve1")
                == "No replicatable volumes found")
        driver.simulator.setStorage("tank", type: "zfspool", options: ["pool": "tank", "content": "images"])
        driver.simulator.setConfig(136, "scsi0", "tank:vm-136-disk-0,size=8G")
        let job = "id=136-0&type=local&target="
        #expect(
            await driver.refusal("POST", "/cluster/replication", job + "pve2")
                == "Source and target must not be identical")
        _ = try await driver.data("POST", "/cluster/replication", job + "pve1&schedule=*%2F15")
        #expect(
            await driver.refusal("POST", "/cluster/replication", job + "pve3")
                == "replication job '136-0' already exists")
        let status = "/nodes/pve2/replication/136-0"
        #expect(try await driver.data("GET", status + "/status")["last_sync"] == 0)
        #expect(try await driver.data("POST", status + "/schedule_now") == "")
        let after = try await driver.data("GET", status + "/status")
        #expect(after["fail_count"] == 0)
        #expect(try #require(after["last_sync"]?.integer) > 1_000_000_000)
        driver.simulator.setNodeOnline("pve1", false)
        _ = try await driver.data("POST", status + "/schedule_now")
        #expect(try await driver.data("GET", status + "/status")["fail_count"] == 1)
        _ = try await driver.data("DELETE", "/cluster/replication/136-0")
        #expect(await driver.refusal("GET", "/cluster/replication/136-0") == "no such replication job '136-0'")
    }

    @Test
    func `the HA manager brings resources to the state and the node that are wanted`() async throws {
        _ = try await driver.data("POST", "/cluster/ha/resources", "sid=vm%3A136&state=started&comment=x")
        #expect(driver.simulator.guest(136)?.status == "running")
        _ = try await driver.data("PUT", "/cluster/ha/resources/vm:136", "state=stopped")
        #expect(driver.simulator.guest(136)?.status == "stopped")
        _ = try await driver.data("POST", "/cluster/ha/resources/vm:136/relocate", "node=pve3")
        #expect(driver.simulator.guest(136)?.node == "pve3")
        try await driver.done("POST", "/nodes/pve3/qemu/136/status/start")
        #expect(try await driver.data("GET", "/cluster/ha/resources/vm:136")["comment"] == "x")
        let rows = try await driver.data("GET", "/cluster/ha/status/current").array ?? []
        #expect(rows.count { $0["type"] == "lrm" } == 3)
        driver.simulator.setHA(136, wanted: "started", says: "error")
        let row = try await driver.data("GET", "/cluster/ha/status/current").array?.first { $0["sid"] == "vm:136" }
        #expect(row?["state"] == "error")
        driver.simulator.setHA(136, wanted: nil)
        #expect(await driver.refusal("GET", "/cluster/ha/resources/vm:136") == "no such resource 'vm:136'")
    }

    @Test
    func `what a guest leaves behind goes with a purge`() async throws {
        driver.simulator.setHA(136, wanted: "stopped")
        _ = try await driver.data("POST", "/cluster/backup", "id=both&schedule=1%3A00&vmid=100%2C136")
        _ = try await driver.data("POST", "/cluster/backup", "id=one&schedule=1%3A00&vmid=136")
        _ = try await driver.data(
            "POST", "/cluster/ha/rules", "rule=r1&type=node-affinity&nodes=pve2&resources=vm%3A136")
        try await driver.done("DELETE", "/nodes/pve2/qemu/136?purge=1")
        #expect(try await driver.data("GET", "/cluster/backup/both")["vmid"] == "100")
        #expect(try await driver.data("GET", "/cluster/backup").array?.count == 1)
        #expect(await driver.refusal("GET", "/cluster/ha/resources/vm:136") == "no such resource 'vm:136'")
        #expect(try await driver.data("GET", "/cluster/ha/rules") == [])
    }
}
