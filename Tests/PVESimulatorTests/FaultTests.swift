import HTTPMessage
import HTTPTypes
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

struct FaultTests {
    private let driver = Driver("home")
    private let start = "/nodes/pve/qemu/103/status/start"

    @Test
    func `a fault strikes as often as it was told, and only where`() async throws {
        driver.simulator.inject(
            Fault(.status(596, reason: "tls_process_server_certificate"), method: "GET", path: "/nodes", count: 2))
        #expect(await driver.refusal("GET", "/version") == "200")
        #expect(await driver.refusal("GET", "/nodes") == "tls_process_server_certificate")
        #expect(await driver.send("GET", "/nodes/pve/status").status.code == 596)
        #expect(await driver.refusal("GET", "/nodes") == "200")
    }

    @Test
    func `a reset does nothing, an execution before a reset does`() async throws {
        driver.simulator.inject(Fault(.reset, path: start))
        #expect(await driver.send("POST", start).ending == .reset)
        #expect(driver.simulator.executions("POST", start) == 0)
        #expect(driver.simulator.guest(103)?.status == "stopped")
        driver.simulator.inject(Fault(.executeThenReset, path: start))
        #expect(await driver.send("POST", start).ending == .reset)
        #expect(driver.simulator.executions("POST", start) == 1)
        #expect(driver.simulator.executed.last?.upid?.contains(":qmstart:103:") == true)
        #expect(driver.simulator.guest(103)?.status == "running")
    }

    @Test
    func `broken bodies are broken`() async throws {
        for effect in [Fault.Effect.wrongJSON, .html, .cutBody] {
            driver.simulator.inject(Fault(effect))
            let response = await driver.send("GET", "/version")
            guard case .raw(let bytes) = response.ending else {
                Issue.record("\(effect) is not sent as it is")
                continue
            }
            #expect(String(decoding: bytes.prefix(15), as: UTF8.self) == "HTTP/1.1 200 OK")
            #expect(throws: JSONError.self) { try JSON.parse(response.body.bytes) }
        }
    }

    @Test
    func `tasks fail, warn or go on for ever on demand`() async throws {
        driver.simulator.inject(Fault(.taskError("no space left"), path: start))
        #expect(try await driver.task("POST", start).status["exitstatus"] == "no space left")
        #expect(driver.simulator.guest(103)?.status == "stopped")
        driver.simulator.inject(Fault(.taskWarnings(2), path: start))
        #expect(try await driver.task("POST", start).status["exitstatus"] == "WARNINGS: 2")
        #expect(driver.simulator.guest(103)?.status == "running")
        let stop = "/nodes/pve/qemu/103/status/stop"
        driver.simulator.inject(Fault(.neverEndingTask, path: stop))
        #expect(try await driver.task("POST", stop).status["status"] == "running")
    }

    @Test(.timeLimit(.minutes(1)))
    func `a request that hangs answers only when it is cancelled`() async throws {
        driver.simulator.inject(Fault(.hang))
        let driver = driver
        let request = Task { await driver.send("GET", "/version").ending }
        request.cancel()
        #expect(await request.value == .reset)
    }

    @Test
    func `a delay only delays`() async throws {
        driver.simulator.inject(Fault(.delay(.milliseconds(20))))
        let clock = ContinuousClock()
        let begin = clock.now
        #expect(await driver.refusal("GET", "/version") == "200")
        #expect(clock.now - begin >= .milliseconds(20))
    }
}
