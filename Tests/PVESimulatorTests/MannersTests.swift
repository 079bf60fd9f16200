import HTTPMessage
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing
import WireTestSupport

struct MannersTests {
    @Test(arguments: [
        nil, "Basic cm9vdDpyb290", "PVEAPIToken=rubbish", "PVEAPIToken=root@pam!x", "PVEAPIToken=root!x=1",
        "PVEAPIToken=@pam!tok=1",
    ])
    func `a missing or malformed token is refused without a body`(header: String?) async throws {
        var driver = Driver("home")
        driver.authorization = header
        let response = await driver.send("GET", "/version")
        #expect(response.status.code == 401)
        #expect(response.body.count == 0)
        guard case .raw = response.ending else {
            Issue.record("the connection stays open")
            return
        }
    }

    @Test(arguments: ["gr%C3%B6%C3%9Fe", "%E2%98%83", "a%0D%0AX-Evil:%201", "%00"])
    func `odd text in a path never reaches the head of an answer as lines`(name: String) async throws {
        let response = await Driver("home").send("GET", "/nodes/\(name)/tasks")
        #expect(response.status.code == 500)
        guard case .raw(let bytes) = response.ending else {
            Issue.record("not sent as it is")
            return
        }
        #expect(!String(decoding: bytes.prefix { $0 != 123 }, as: UTF8.self).contains("X-Evil"))
    }

    @Test
    func `a refusal has the text in its body too, and errors only where there are some`() async throws {
        let driver = Driver("home")
        let plain = await driver.send("GET", "/nodes/pve/qemu/999/config").body.bytes
        #expect(
            String(decoding: plain, as: UTF8.self)
                == #"{"data":null,"message":"Configuration file 'nodes/pve/qemu-server/999.conf' does not exist\n"}"#)
        let check = await driver.send("POST", "/nodes/pve/qemu/103/status/start", "timeout=abc")
        #expect(check.status.code == 400)
        #expect(FactReplay.json(of: check)["errors"]?["timeout"] == "type check ('integer') failed - got 'abc'")
    }

    @Test
    func `a token may do what it was granted, and lists show only that`() async throws {
        let token = Simulator.Token(
            id: "op@pve!lim", secret: "s", privileges: ["/vms/110": ["VM.Audit"], "/": ["Sys.Audit"]])
        var driver = Driver(Simulator.Options(name: "home", tokens: .list([token])))
        driver.authorization = "PVEAPIToken=op@pve!lim=s"
        #expect(try await driver.data("GET", "/cluster/resources?type=vm").array?.count == 1)
        #expect(
            await driver.refusal("GET", "/nodes/pve/qemu/100/config")
                == "Permission check failed (/vms/100, VM.Audit)")
        #expect(
            await driver.refusal("POST", "/nodes/pve/lxc/110/status/stop")
                == "Permission check failed (/vms/110, VM.PowerMgmt)")
        driver.authorization = "PVEAPIToken=op@pve!lim=other"
        #expect(await driver.refusal("GET", "/version") == "Authentication failed!")
    }

    @Test
    func `what happens behind the agent's back shows`() async throws {
        let driver = Driver("cloud")
        let before = try #require(driver.simulator.guest(100))
        driver.simulator.swapIdentity(100)
        driver.simulator.setConfig(100, "lock", "backup")
        driver.simulator.move(100, to: "pve3")
        driver.simulator.setRunning(100, false)
        let after = try #require(driver.simulator.guest(100))
        #expect(after.config["smbios1"] != before.config["smbios1"])
        #expect(after.digest != before.digest)
        #expect(after.node == "pve3")
        #expect(after.status == "stopped")
        #expect(try await driver.data("GET", "/nodes/pve3/qemu/100/status/current")["lock"] == "backup")
        driver.simulator.removeGuest(100)
        #expect(driver.simulator.guest(100) == nil)
    }

    @Test(.timeLimit(.minutes(1)))
    func `many requests at once leave a consistent world`() async throws {
        let driver = Driver("cloud")
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<64 {
                group.addTask {
                    for round in 0..<20 {
                        _ = await driver.send("GET", "/cluster/resources?type=vm")
                        _ = await driver.send("PUT", "/nodes/pve2/qemu/100/config", "description=\(number)-\(round)")
                        _ = await driver.send(
                            "POST", "/nodes/pve2/qemu/100/status/\(number % 2 == 0 ? "start" : "stop")")
                    }
                }
            }
        }
        #expect(driver.simulator.executions("PUT") == 64 * 20)
        #expect(driver.simulator.executions("POST") == 64 * 20)
        #expect(Set(driver.simulator.executed.compactMap(\.upid)).count == 64 * 20)
    }

    /// What comes until the server ends the connection.
    private static func everything(from client: RawClient) async throws -> [UInt8] {
        switch try await client.end() {
        case .closed(let bytes), .reset(let bytes): bytes
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `served over HTTP it puts the error into the status line and closes`() async throws {
        let server = try SimulatorServer(Simulator(Simulator.Options(name: "home")))
        let head = { (path: String) in
            "GET \(path) HTTP/1.1\r\nHost: pve\r\nAuthorization: PVEAPIToken=root@pam!t1=x\r\nConnection: close\r\n\r\n"
        }
        let missing = try RawClient(server.address)
        try await missing.send(head("/api2/json/nodes/pve/qemu/999/config"))
        let text = String(decoding: try await Self.everything(from: missing), as: UTF8.self)
        #expect(
            text.hasPrefix(
                "HTTP/1.1 500 Configuration file 'nodes/pve/qemu-server/999.conf' does not exist\r\n"))
        let version = try RawClient(server.address)
        try await version.send(head("/api2/json/version"))
        #expect(
            String(decoding: try await Self.everything(from: version), as: UTF8.self).contains("\"simulator\":true"))
        await server.shutdown()
    }
}
