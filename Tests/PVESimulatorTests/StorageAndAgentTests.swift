import HTTPMessage
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

struct StorageAndAgentTests {
    private let driver = Driver("home")
    private let download = "/nodes/pve/storage/local/download-url"
    private let url = "https%3A%2F%2Fexample.org%2Fdebian.iso"

    @Test
    func `a download is checked against its checksum`() async throws {
        driver.simulator.setDownload("https://example.org/debian.iso", bytes: 1 << 30, checksums: ["sha256": "abc1"])
        let form = "content=iso&filename=debian.iso&url=\(url)"
        let sum = "&checksum-algorithm=sha256&checksum="
        #expect(
            try await driver.failed("POST", download, form + sum + "beef")
                == "checksum mismatch: got 'abc1' != expect 'beef'")
        #expect(try await driver.done("POST", download, form + sum + "ABC1") == "download")
        let rows = try await driver.data("GET", "/nodes/pve/storage/local/content?content=iso").array
        #expect(rows?.first { $0["volid"] == "local:iso/debian.iso" }?["size"] == .integer(1 << 30))
        #expect(
            try await driver.failed("POST", download, form).contains("refusing to override existing file 'debian.iso'"))
    }

    @Test(arguments: [
        ("content=iso&filename=x.txt&url=https%3A%2F%2Fx", "filename", "wrong file extension"),
        ("content=iso&filename=..%2Fx.iso&url=https%3A%2F%2Fx", "filename", "wrong file extension"),
        ("content=iso&filename=x.iso&url=ftp%3A%2F%2Fx", "url", "value does not match the regex pattern"),
        (
            "content=iso&filename=x.iso&url=https%3A%2F%2Fx&checksum=1", "checksum-algorithm",
            "missing property - 'checksum' requires this property"
        ),
        (
            "content=images&filename=x.iso&url=https%3A%2F%2Fx", "content",
            "value 'images' does not have a value in the enumeration 'iso, vztmpl, import'"
        ),
    ])
    func `a download that cannot be meant is refused`(form: String, name: String, text: String) async {
        let answer = FactReplay.json(of: await driver.send("POST", download, form))
        #expect(answer["errors"]?[name] == .string(text))
    }

    @Test
    func `a command inside a guest answers what a test has set`() async throws {
        let agent = "/nodes/pve/qemu/100/agent"
        driver.simulator.setCommand("false", exits: 1, output: "no\n")
        let pid = try #require(
            try await driver.data("POST", agent + "/exec", "command=false&command=-x")["pid"]?.integer)
        #expect(
            try await driver.data("GET", agent + "/exec-status?pid=\(pid)")
                == ["exitcode": 1, "exited": 1, "out-data": "no\n"])
        #expect(driver.simulator.commands(in: 100) == [["false", "-x"]])
        #expect(await driver.refusal("GET", agent + "/exec-status?pid=1") == "Agent error: Invalid parameter 'pid'")
        #expect(try await driver.data("POST", agent + "/fstrim")["result"]?["paths"]?.array?.count == 1)
        #expect(driver.simulator.executed.first?.lists == ["command": ["false", "-x"]])
    }

    @Test
    func `a file system that cannot be trimmed has an error of its own`() async throws {
        driver.simulator.setTrims(100, ["/": nil, "/srv": "not supported"])
        let paths = try await driver.data("POST", "/nodes/pve/qemu/100/agent/fstrim")["result"]?["paths"]
        #expect(
            paths == [
                ["minimum": 0, "path": "/", "trimmed": 1_073_741_824], ["error": "not supported", "path": "/srv"],
            ])
    }

    @Test
    func `addresses are those of the guest's own cards`() async throws {
        let mac = try #require(try driver.config(100)["net0"]?.split(separator: ",").first?.split(separator: "=").last)
        let cards = try await driver.data("GET", "/nodes/pve/qemu/100/agent/network-get-interfaces")["result"]?.array
        #expect(cards?.last?["hardware-address"]?.string == mac.lowercased())
        driver.simulator.setConfig(110, "net0", "name=eth0,hwaddr=BC:24:11:00:00:09,ip=192.0.2.77/24")
        let interfaces = try await driver.data("GET", "/nodes/pve/lxc/110/interfaces").array
        #expect(interfaces?.last?["inet"] == "192.0.2.77/24")
    }

    @Test
    func `an entry of an address set is changed under its digest`() async throws {
        let set = "/cluster/firewall/ipset/admins"
        _ = try await driver.data("POST", "/cluster/firewall/ipset", "name=admins")
        _ = try await driver.data("POST", set, "cidr=192.0.2.0%2F24&comment=old")
        let entry = set + "/192.0.2.0%2F24"
        let digest = try #require(try await driver.data("GET", entry)["digest"]?.string)
        _ = try await driver.data("PUT", entry, "comment=new&nomatch=1&digest=\(digest)")
        let after = try await driver.data("GET", entry)
        #expect(after["comment"] == "new")
        #expect(after["nomatch"] == 1)
        #expect(
            await driver.refusal("DELETE", entry + "?digest=\(digest)").hasPrefix("detected modified configuration"))
        #expect(try await driver.data("GET", set).array?.count == 1)
    }

    @Test
    func `a security group is renamed with its rules`() async throws {
        let groups = "/cluster/firewall/groups"
        _ = try await driver.data("POST", groups, "group=web&comment=x")
        _ = try await driver.data("POST", groups + "/web", "type=in&action=ACCEPT")
        _ = try await driver.data("POST", groups, "group=db")
        #expect(await driver.refusal("POST", groups, "group=db&rename=web") == "Parameter verification failed.")
        _ = try await driver.data("POST", groups, "group=www&rename=web")
        #expect(try await driver.data("GET", groups + "/www").array?.count == 1)
        #expect(await driver.refusal("GET", groups + "/web") == "no such security group 'web'")
    }

    @Test
    func `a node's configuration is changed under its digest`() async throws {
        let path = "/nodes/pve/config"
        _ = try await driver.data("PUT", path, "description=one")
        let digest = try #require(try await driver.data("GET", path)["digest"]?.string)
        _ = try await driver.data("PUT", path, "description=two&digest=\(digest)")
        #expect(await driver.refusal("PUT", path, "description=three&digest=\(digest)").hasPrefix("detected modified"))
        #expect(try await driver.data("GET", path)["description"] == "two\n")
    }

    @Test
    func `what a token may do on one path follows from those above it`() async throws {
        let token = Simulator.Token(id: "op@pve!lim", secret: "s", privileges: ["/vms": ["VM.Audit"]])
        var driver = Driver(Simulator.Options(name: "home", tokens: .list([token])))
        driver.authorization = "PVEAPIToken=op@pve!lim=s"
        #expect(
            try await driver.data("GET", "/access/permissions?path=%2Fvms%2F100") == ["/vms/100": ["VM.Audit": 1]])
        #expect(try await driver.data("GET", "/access/permissions?path=%2Fstorage") == [:])
    }

    @Test(arguments: [
        ("POST", "/nodes/pve/qemu/100/config", "agent=enabled%3D1%2Cbogus%3D1", "agent"),
        ("PUT", "/nodes/pve/qemu/100/config", "net32=virtio%2Cbridge%3Dvmbr0", "net32"),
        ("PUT", "/nodes/pve/qemu/100/config", "startup=whenever", "startup"),
        ("PUT", "/nodes/pve/qemu/100/config", "vmgenid=x", "vmgenid"),
        ("PUT", "/nodes/pve/qemu/100/config", "force=1&cores=1", "delete"),
        ("POST", "/nodes/pve/lxc/110/status/suspend", "todisk=1", "todisk"),
        ("POST", "/cluster/firewall/rules", "type=in&action=1x", "action"),
        ("PUT", "/storage/local", "saferemove-stepsize=3", "saferemove-stepsize"),
        ("PUT", "/storage/local", "prune-backups=keep-last%3Dmany", "prune-backups"),
        ("POST", "/cluster/bulk-action/guest/start", "max-workers=65", "max-workers"),
        ("POST", "/cluster/replication", "id=100&type=local&target=pve", "id"),
        ("POST", "/cluster/ha/resources", "sid=100%20", "sid"),
    ])
    func `a parameter that the schema does not allow is named`(
        method: String, path: String, form: String, name: String
    ) async {
        let response = await driver.send(method, path, form)
        #expect(response.status.code == 400)
        #expect(FactReplay.json(of: response)["errors"]?.object?.keys == [name])
        #expect(driver.simulator.executed.isEmpty)
    }
}
