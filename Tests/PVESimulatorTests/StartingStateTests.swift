import HTTPMessage
import PVESimulator
import StrictJSON
import Testing

struct StartingStateTests {
    private static func picture(_ name: String) async throws -> [JSON] {
        let clock = ManualClock(.seconds(1_800_000_000))
        let driver = Driver(Simulator.Options(name: name, now: { clock.now }))
        var answers: [JSON] = []
        for path in ["/cluster/resources", "/storage", "/nodes"] { answers.append(try await driver.data("GET", path)) }
        for row in try #require(answers[0].array) {
            guard let kind = row["type"]?.string, kind == "qemu" || kind == "lxc", let node = row["node"]?.string,
                let vmid = row["vmid"]?.integer
            else { continue }
            answers.append(try await driver.data("GET", "/nodes/\(node)/\(kind)/\(vmid)/config"))
        }
        return answers
    }

    @Test(arguments: ["home", "cloud", "attic", "Büro 7"])
    func `a name gives the same cluster every time`(name: String) async throws {
        #expect(try await Self.picture(name) == Self.picture(name))
    }

    @Test
    func `different names give different clusters`() async throws {
        #expect(try await Self.picture("attic") != Self.picture("cellar"))
    }

    @Test
    func `the same node name in two clusters is not the same node`() async throws {
        let one = try await Driver("cloud").data("GET", "/nodes").array?.first
        let other = try await Driver(Simulator.Options(name: "crowd", guests: 1)).data("GET", "/nodes").array?.first
        #expect(one?["node"] == other?["node"])
        #expect(one?["ssl_fingerprint"] != other?["ssl_fingerprint"])
    }

    @Test(arguments: [("home", 1, 6...9), ("cloud", 3, 38...42)])
    func `the two built-in clusters have the promised size`(
        name: String, nodes: Int, guests: ClosedRange<Int>
    ) async throws {
        let driver = Driver(name)
        #expect(try await driver.data("GET", "/nodes").array?.count == nodes)
        let rows = try #require(try await driver.data("GET", "/cluster/resources?type=vm").array)
        #expect(guests.contains(rows.count))
        #expect(Set(rows.compactMap { $0["type"]?.string }) == ["qemu", "lxc"])
        #expect(Set(rows.compactMap { $0["status"]?.string }) == ["running", "stopped"])
    }

    @Test
    func `the version says that it is a simulator`() async throws {
        let version = try await Driver("home").data("GET", "/version")
        #expect(version["simulator"] == true)
        #expect(version["version"]?.string?.hasPrefix("9.") == true)
    }

    @Test(.timeLimit(.minutes(1)))
    func `ten thousand guests are listed from one piece of memory until something changes`() async throws {
        let driver = Driver(Simulator.Options(name: "load", guests: 10_000, taskDuration: .zero))
        let first = await driver.send("GET", "/cluster/resources?type=vm")
        let rows = try #require(FactReplay.json(of: first)["data"]?.array)
        #expect(rows.count == 10_000)
        #expect((330...480).contains(first.body.count / 10_000))
        let clock = ContinuousClock()
        let elapsed = await clock.measure {
            for _ in 0..<100 { _ = await driver.send("GET", "/cluster/resources?type=vm") }
        }
        #expect(elapsed < .seconds(1))
        let guest = try #require(rows.first { $0["status"] == "stopped" && $0["type"] == "qemu" })
        let path = "/nodes/\(guest["node"]?.string ?? "")/qemu/\(guest["vmid"]?.integer ?? 0)"
        #expect(try await driver.task("POST", path + "/status/start").status["exitstatus"] == "OK")
        #expect(await driver.send("GET", "/cluster/resources?type=vm").body != first.body)
    }
}
