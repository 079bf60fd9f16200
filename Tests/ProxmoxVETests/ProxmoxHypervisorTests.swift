import AgentModel
import AgentService
import ProxmoxVE
import StrictJSON
import Testing
import WireTestSupport

/// What the service hears of a PVE that does not answer as it should.
@Suite(.timeLimit(.minutes(1))) struct ProxmoxHypervisorTests {
    private static func withHypervisor<T>(
        answering body: String, _ use: (ProxmoxHypervisor) async throws -> T
    ) async throws -> T {
        try await withPVE({ _ in [.request, .answer("200 OK", body)] }) { _, client in
            let name = try #require(EnvironmentName("home"))
            return try await use(ProxmoxHypervisor(client: client, environment: name))
        }
    }

    @Test(arguments: [
        #"{"data":null}"#, #"{"data":"done"}"#,
        #"{"data":"UPID:pve1:00001234:0123456789:65000000:qmstart:100:root@pam:"}"#,
        #"{"data":"UPID:"}"#, #"{"data":{"upid":"x"}}"#,
    ])
    func `a change that starts a task and names none may have happened`(body: String) async throws {
        try await Self.withHypervisor(answering: body) { pve in
            let call = Call(.post, ["nodes", "pve1", "qemu", "100", "status", "start"], tasks: ["qmstart"])
            do throws(HypervisorError) {
                Issue.record("taken for an answer: \(try await pve.change(call) { true })")
            } catch {
                #expect(error.mayHaveExecuted)
            }
        }
    }

    @Test func `a change that is done at once may answer anything but a task nobody can follow`() async throws {
        let call = Call(.put, ["storage", "nas"])
        let accepted = try await Self.withHypervisor(answering: #"{"data":null}"#) {
            try await $0.change(call) { true }
        }
        #expect(accepted == .done(.null))
        try await Self.withHypervisor(answering: #"{"data":"UPID:half"}"#) { pve -> Void in
            await #expect(throws: HypervisorError.self) { _ = try await pve.change(call) { true } }
        }
    }

    @Test func `a PVE cannot put its guests into another environment`() async throws {
        let body = #"{"data":[{"vmid":1,"environment":"cloud","type":"qemu"},{"environment":null,"type":"lxc"},{}]}"#
        let rows = try await Self.withHypervisor(answering: body) { try await $0.inventory(runningOnly: false) }
        let parsed = try JSON.parse("[" + String(decoding: rows.bytes, as: UTF8.self) + "]")
        #expect(parsed.array?.map { $0["environment"]?.string } == ["home", "home", "home"])
        #expect(rows.count == 3)
    }

    @Test func `no more of a log is taken than was asked for`() async throws {
        let lines = (1...50).map { #"{"n":\#($0),"t":"\#(String(repeating: "x", count: 5000))"}"# }
        let body = #"{"total":50,"data":[\#(lines.joined(separator: ","))]}"#
        let upid = try #require(UPID("UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:agent@pve!home:"))
        let log = try await Self.withHypervisor(answering: body) { try await $0.log(of: upid, from: 0, limit: 20) }
        #expect(log.lines.count == 20)
        #expect(log.lines.allSatisfy { $0.count == 4096 })
        #expect(log.total == 50)
    }
}
