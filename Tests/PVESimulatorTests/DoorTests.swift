import HTTPMessage
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing
import WireTestSupport

struct DoorTests {
    private static func answer(of simulator: Simulator, method: String = "GET") async -> Response {
        await simulator.respond(to: Request(method: .init(method) ?? .get, path: "/sim/executed"))
    }

    @Test
    func `another process can ask what was executed, without a token`() async throws {
        let driver = Driver(Simulator.Options(name: "home", taskDuration: .zero, now: { .seconds(1_800_000_000) }))
        let start = try await driver.task("POST", "/nodes/pve/qemu/103/status/start")
        _ = try await driver.data("PUT", "/nodes/pve/qemu/103/config", "cipassword=hunter22&description=x")
        #expect(await driver.refusal("POST", "/nodes/pve/qemu/103/status/start", "timeout=abc") != "200")
        _ = try await driver.data("GET", "/nodes/pve/qemu/103/config")
        let server = try SimulatorServer(driver.simulator)
        let client = try RawClient(server.address)
        try await client.send("GET /sim/executed HTTP/1.1\r\nHost: pve\r\nConnection: close\r\n\r\n")
        let bytes: [UInt8] =
            switch try await client.end() {
            case .closed(let bytes), .reset(let bytes): bytes
            }
        await server.shutdown()
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(!text.contains("hunter22"))
        let body = try JSON.parse(text[try #require(text.firstRange(of: "\r\n\r\n")).upperBound...].utf8)
        #expect(
            body["executed"] == [
                [
                    "method": "POST", "path": "/nodes/pve/qemu/103/status/start", "caller": "root@pam!test",
                    "params": ["node": "pve", "vmid": "103"], "upid": .string(start.upid), "at": 1_800_000_000,
                ],
                [
                    "method": "PUT", "path": "/nodes/pve/qemu/103/config", "caller": "root@pam!test",
                    "params": ["cipassword": "**********", "description": "x", "node": "pve", "vmid": "103"],
                    "at": 1_800_000_000,
                ],
            ])
        #expect(
            body["counts"] == [
                "POST /nodes/{node}/qemu/{vmid}/status/start": 1, "PUT /nodes/{node}/qemu/{vmid}/config": 1,
            ])
    }

    @Test
    func `the door is for asking only, and faults do not close it`() async throws {
        let driver = Driver("home")
        driver.simulator.inject(Fault(.reset))
        #expect(await Self.answer(of: driver.simulator).status.code == 200)
        #expect(await Self.answer(of: driver.simulator, method: "POST").status.code == 501)
        #expect(await driver.send("GET", "/version").ending == .reset)
    }

    @Test
    func `what was executed and is no longer kept still counts`() async throws {
        let driver = Driver("home")
        for _ in 0..<10_001 { _ = await driver.send("PUT", "/nodes/pve/qemu/103/config", "description=x") }
        let body = FactReplay.json(of: await Self.answer(of: driver.simulator))
        #expect(body["counts"]?["PUT /nodes/{node}/qemu/{vmid}/config"] == 10_001)
        #expect(try #require(body["executed"]?.array).count <= 10_000)
        driver.simulator.forgetExecutions()
        #expect(
            FactReplay.json(of: await Self.answer(of: driver.simulator)) == ["executed": [], "counts": [:]])
    }

    @Test(arguments: [
        "root@pam!t", "root@pam!t=", "=root@pam!t", "root!t@pam=x", "@pam!tok=x", "root@pam!1x=y", "root@pam!tok =x",
        "root@pam!tok=x ", "root@pam!tok=x\t", "root@pam!tök=x", "root@p!tok=x", "root@pam@pve!tok=x",
    ])
    func `a token that no request could present is none`(line: String) {
        #expect(Simulator.Token(line: line) == nil)
    }

    @Test
    func `a token's secret may hold an equals sign`() async throws {
        let token = try #require(Simulator.Token(line: "root@pam!tok=a=b"))
        #expect(token.id == "root@pam!tok")
        #expect(token.secret == "a=b")
        var driver = Driver(Simulator.Options(name: "home", tokens: .list([token])))
        driver.authorization = "PVEAPIToken=root@pam!tok=a=b"
        #expect(await driver.refusal("GET", "/version") == "200")
    }
}
