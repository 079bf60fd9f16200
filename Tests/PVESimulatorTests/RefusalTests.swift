import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// What PVE refuses, and what it takes although one would not think so.
struct RefusalTests {
    private let home = Driver("home")

    @Test(arguments: [
        ("POST", "/nodes/pve/qemu", "vmid=200&pool=nope", "Permission check failed (pool 'nope' does not exist)"),
        (
            "POST", "/nodes/pve/qemu/900/clone", "newid=200&pool=nope",
            "Permission check failed (pool 'nope' does not exist)"
        ),
        (
            "POST", "/nodes/pve/qemu/103/clone", "newid=200&full=0",
            "Linked clone feature is not supported for 'local-lvm:vm-103-disk-0' (scsi0)"
        ),
        (
            "POST", "/nodes/pve/qemu/900/clone", "newid=200&storage=local-lvm",
            "parameter 'storage' not allowed for linked clones"
        ),
        ("POST", "/nodes/pve/qemu", "vmid=200&sshkeys=garbage", "SSH public key validation error"),
        ("PUT", "/nodes/pve/qemu/103/config", "args=-x", "only root can set 'args' config"),
        (
            "PUT", "/nodes/pve/qemu/103/config", "hostpci0=0000%3A00%3A1f.0",
            "only root can set 'hostpci0' config for non-mapped devices"
        ),
        (
            "PUT", "/nodes/pve/qemu/103/config", "hookscript=local%3Asnippets%2Fx",
            "only root can set 'hookscript' config"
        ),
        (
            "PUT", "/nodes/pve/qemu/103/config", "scsi1=local-lvm%3Avm-103-disk-9",
            "volume 'local-lvm:vm-103-disk-9' does not exist"
        ),
        (
            "POST", "/cluster/backup", "schedule=garbage&storage=local&all=1", "Parameter verification failed."
        ),
        (
            "POST", "/cluster/replication", "id=100-0&type=local&target=pve&schedule=now%20and%20then",
            "Parameter verification failed."
        ),
        ("POST", "/cluster/firewall/rules", "type=in&action=NOSUCH", "Parameter verification failed."),
        (
            "PUT", "/access/roles/PVEAuditor", "privs=VM.Audit",
            "auto-generated role 'PVEAuditor' cannot be modified"
        ),
        ("DELETE", "/access/roles/PVEAuditor", "", "auto-generated role 'PVEAuditor' cannot be deleted"),
        ("PUT", "/nodes/pve/qemu/103/config", "memory=512&skiplock=1", "Parameter verification failed."),
    ])
    func `these are refused`(method: String, path: String, form: String, reason: String) async {
        #expect(await home.refusal(method, path, form) == reason)
        #expect(home.simulator.guest(200) == nil)
    }

    @Test
    func `a group is listed with its members, who leave it when it goes`() async throws {
        _ = try await home.data("POST", "/access/groups", "groupid=ops")
        _ = try await home.data("POST", "/access/users", "userid=eve%40pve&groups=ops")
        #expect(try await home.data("GET", "/access/groups").array?.first?["users"] == "eve@pve")
        _ = try await home.data("DELETE", "/access/groups/ops")
        #expect(try await home.data("GET", "/access/users/eve@pve")["groups"] == [])
        #expect(try await home.data("GET", "/access/groups") == [])
    }

    @Test(arguments: [
        "02:00", "*/15", "sat 03:00", "mon..fri 22:30", "sun,wed 1,13:00", "sat *-1..7 15:00", "*-*-1 04:00", "daily",
        "minutely", "mon",
    ])
    func `these are schedules`(text: String) async throws {
        let form = text.replacing(" ", with: "%20").replacing("/", with: "%2F").replacing(":", with: "%3A")
        _ = try await home.data("POST", "/cluster/backup", "id=j1&storage=local&all=1&schedule=\(form)")
    }

    @Test
    func `features of a privileged container are for root alone`() async throws {
        home.simulator.setConfig(112, "unprivileged", nil)
        #expect(
            await home.refusal("PUT", "/nodes/pve/lxc/112/config", "features=nesting%3D1")
                == "Permission check failed (changing feature flags for privileged container is only allowed for root@pam)"
        )
    }

    @Test
    func `an alias has its digest in the list alone, and can be removed twice`() async throws {
        let path = "/nodes/pve/qemu/100/firewall/aliases"
        _ = try await home.data("POST", path, "name=web&cidr=192.0.2.1")
        #expect(await home.refusal("POST", path, "name=WEB&cidr=192.0.2.1") == "Parameter verification failed.")
        #expect(try await home.data("GET", path + "/web")["digest"] == nil)
        let digest = try #require(try await home.data("GET", path).array?.first?["digest"]?.string)
        _ = try await home.data("PUT", path + "/web", "cidr=192.0.2.2&digest=\(digest)")
        #expect(
            await home.refusal("DELETE", path + "/web?digest=\(digest)")
                == "detected modified configuration - file changed by other user? Try again.")
        _ = try await home.data("DELETE", path + "/web")
        _ = try await home.data("DELETE", path + "/web")
    }

    @Test
    func `a backup that may remove none fails where the storage keeps no more`() async throws {
        home.simulator.setStorage(
            "local", type: "dir",
            options: ["path": "/var/lib/vz", "content": "backup,vztmpl", "prune-backups": "keep-last=1"])
        try await home.done("POST", "/nodes/pve/vzdump", "vmid=103&storage=local&remove=0")
        let (upid, status) = try await home.task("POST", "/nodes/pve/vzdump", "vmid=103&storage=local&remove=0")
        #expect(status["exitstatus"] == "job errors")
        let log = try await home.data("GET", "/nodes/pve/tasks/\(upid)/log").array?.compactMap { $0["t"]?.string } ?? []
        #expect(
            log.contains(
                "ERROR: Backup of VM 103 failed - There is a max backup limit of 1 enforced by the target storage or the "
                    + "vzdump parameters. Either increase the limit or delete old backups."))
        #expect(home.simulator.guest(103)?.config["lock"] == nil)
        try await home.done("POST", "/nodes/pve/vzdump", "vmid=103&storage=local")
    }

    @Test
    func `a suspended container is stopped, and only such a one can be resumed`() async throws {
        let path = "/nodes/pve/lxc/110/status/"
        #expect(await home.refusal("POST", path + "resume") == "CT 110 already running")
        #expect(try await home.done("POST", path + "suspend") == "vzsuspend")
        #expect(home.simulator.guest(110)?.status == "stopped")
        #expect(await home.refusal("POST", path + "suspend") == "CT 110 not running")
        #expect(try await home.done("POST", path + "resume") == "vzresume")
        #expect(home.simulator.guest(110)?.status == "running")
        try await home.done("POST", path + "stop")
        #expect(
            try await home.failed("POST", path + "resume")
                == "command 'lxc-checkpoint -n 110 -r --foreground -D /var/lib/vz/dump' failed: exit code 1")
    }

    @Test
    func `a command inside a guest takes its time, and ends with a code or a signal`() async throws {
        let clock = ManualClock(.seconds(1_000_000))
        let driver = Driver(Simulator.Options(name: "home", now: { clock.now }, seed: 1))
        let agent = "/nodes/pve/qemu/100/agent"
        driver.simulator.setCommand("make", exits: 2, output: "all", errorOutput: "no rule", after: .seconds(5))
        driver.simulator.setCommand("sleep", exits: 0, signal: 9)
        let pid = try #require(try await driver.data("POST", agent + "/exec", "command=make")["pid"]?.integer)
        #expect(try await driver.data("GET", agent + "/exec-status?pid=\(pid)") == ["exited": 0])
        clock.advance(by: .seconds(5))
        #expect(
            try await driver.data("GET", agent + "/exec-status?pid=\(pid)") == [
                "err-data": "no rule", "exitcode": 2, "exited": 1, "out-data": "all",
            ])
        let other = try #require(try await driver.data("POST", agent + "/exec", "command=sleep")["pid"]?.integer)
        #expect(
            try await driver.data("GET", agent + "/exec-status?pid=\(other)") == ["exited": 1, "signal": 9])
    }

    @Test
    func `a snapshot does not hold unused disks, and a rollback keeps them and the description`() async throws {
        let path = "/nodes/pve/qemu/103"
        _ = try await home.data("PUT", path + "/config", "scsi1=local-lvm%3A1&description=old")
        _ = try await home.data("PUT", path + "/config", "delete=scsi1")
        try await home.done("POST", path + "/snapshot", "snapname=s1")
        #expect(try await home.data("GET", path + "/snapshot/s1/config")["unused0"] == nil)
        _ = try await home.data("PUT", path + "/config", "description=new&memory=1024")
        try await home.done("POST", path + "/snapshot/s1/rollback")
        #expect(try home.config(103)["description"] == "new")
        #expect(try home.config(103)["unused0"] != nil)
        #expect(try home.config(103)["memory"] == "4096")
    }
}
