import AgentAPI
import AgentAudit
import AgentTestSupport
import FoundationEssentials
import StrictJSON
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1)))
struct AuthFailuresTests {
    /// Failures whose clock a test moves and whose waits a test sees, and ends where it holds the gate.
    private final class Scene: Sendable {
        private let time = Mutex(Date.sample)
        private let waited = Mutex<[Duration]>([])
        private let written = Mutex<[AuditEvent]>([])
        let gate: Gate

        init(isOpen: Bool = true) { gate = Gate(isOpen: isOpen) }

        var waits: [Duration] { waited.withLock { $0 } }
        var records: [AuditEvent] { written.withLock { $0 } }
        func move(by seconds: Double) { time.withLock { $0 = $0.addingTimeInterval(seconds) } }

        func failures(delay: Duration) -> AuthFailures {
            AuthFailures(
                delay: delay, now: { self.time.withLock { $0 } },
                sleep: { duration in
                    self.waited.withLock { $0.append(duration) }
                    // More than there may be at once: rather a failed test than one that hangs.
                    if self.waits.count > AuthFailures.maximumWaits { self.gate.open() }
                    await self.gate.wait()
                },
                record: { events in self.written.withLock { $0 += events } })
        }
    }

    @Test func `the answers of one source wait longer and longer, whichever its port, and others' do not`() async {
        let scene = Scene()
        let failures = scene.failures(delay: .milliseconds(250))
        for port in 1...7 { #expect(await failures.wait(for: "10.0.0.1:\(port)")) }
        #expect(await failures.wait(for: "[2001:db8::1]:443"))
        #expect(scene.waits == [250, 500, 1000, 2000, 4000, 4000, 4000, 250].map { .milliseconds($0) })
        scene.move(by: 60)
        #expect(await failures.wait(for: "10.0.0.1:8"))
        #expect(scene.waits.last == .milliseconds(250))
        #expect(scene.records.map { $0.result?["source"] } == ["10.0.0.1", "[2001:db8::1]"])
        #expect(scene.records.map { $0.result?["count"] } == [7, 1])
        await failures.drain()
        #expect(scene.records.count == 3)
    }

    @Test func `no answer waits for ever`() async {
        let scene = Scene()
        let failures = scene.failures(delay: .seconds(3))
        for _ in 0..<4 { _ = await failures.wait(for: "10.0.0.1:1") }
        #expect(scene.waits == [3, 6, 10, 10].map { .seconds($0) })
    }

    @Test func `without a delay nothing waits and nothing is refused, and all is counted`() async {
        let scene = Scene(isOpen: false)
        let failures = scene.failures(delay: .zero)
        for _ in 0..<200 { #expect(await failures.wait(for: "10.0.0.1:1")) }
        #expect(scene.waits.isEmpty)
        await failures.drain()
        #expect(scene.records.map { $0.result?["count"] } == [200])
    }

    @Test func `so many answers wait at once, more are refused, and afterwards there is room again`() async {
        let scene = Scene(isOpen: false)
        let failures = scene.failures(delay: .milliseconds(1))
        let results = await withTaskGroup(of: Bool.self) { group in
            for number in 0...AuthFailures.maximumWaits {
                group.addTask { await failures.wait(for: "10.0.0.\(number):1") }
            }
            // The one too many is the only one that ends while the others wait.
            let first = await group.next()
            #expect(first == false)
            #expect(await !failures.wait(for: "10.0.1.1:1"))
            scene.gate.open()
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results == Array(repeating: true, count: AuthFailures.maximumWaits))
        #expect(await failures.wait(for: "10.0.1.1:2"))
    }

    @Test func `stopping ends the waits, and nothing waits afterwards`() async {
        let isWaiting = Gate()
        let failures = AuthFailures(
            delay: .seconds(10),
            sleep: { duration in
                isWaiting.open()
                try? await Task.sleep(for: duration * 6)
            }, record: { _ in })
        async let answer = failures.wait(for: "10.0.0.1:1")
        await isWaiting.wait()
        failures.stop()
        #expect(await answer)
        #expect(await failures.wait(for: "10.0.0.1:2"))
    }
}
