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

    @Test(arguments: [
        (
            "500 Internal Server Error", #"{"data":null,"message":"VM 100 is locked\nwait for it\n"}"#,
            "VM 100 is locked; wait for it"
        ),
        ("500 VM 100 is locked", #"{"data":null}"#, "VM 100 is locked"),
        ("500 VM 100 is locked", "<html>", "VM 100 is locked"),
        ("401 Unauthorized", #"{"message":"No ticket\n"}"#, "No ticket (the API token is not accepted)"),
    ])
    func `PVE's words are taken from the body where a proxy has replaced the reason`(
        line: String, body: String, words: String
    ) async throws {
        try await withPVE({ _ in [.request, .answer(line, body)] }) { _, client in
            let pve = ProxmoxHypervisor(client: client, environment: try #require(EnvironmentName("home")))
            do throws(HypervisorError) { _ = try await pve.read(Call(.get, ["version"])) } catch {
                guard case .refused(let upstream) = error else { return #expect(Bool(false), "\(error)") }
                #expect(upstream.reason == words)
            }
        }
    }

    @Test(arguments: [false, true])
    func `a task's stop is sent only if its gate lets it pass`(isOpen: Bool) async throws {
        try await withPVE({ _ in [.request, .answer("200 OK", #"{"data":null}"#)] }) { server, client in
            let pve = ProxmoxHypervisor(client: client, environment: try #require(EnvironmentName("home")))
            let task = try #require(UPID("UPID:pve1:00001234:01234567:65000000:qmstart:100:root@pam:"))
            var failure: HypervisorError?
            do throws(HypervisorError) { try await pve.stop(task) { isOpen } } catch { failure = error }
            #expect(failure == (isOpen ? nil : .withheld))
            #expect(server.requests.map { $0.start.hasPrefix("DELETE ") } == (isOpen ? [true] : []))
        }
    }

    @Test func `running are all guests that have a process`() async throws {
        let states = ["running", "paused", "prelaunch", "io-error", "stopped", "unknown"]
        let body = #"{"data":["# + states.map { #"{"vmid":1,"status":"\#($0)"}"# }.joined(separator: ",") + ",{}]}"
        let rows = try await Self.withHypervisor(answering: body) { try await $0.inventory(runningOnly: true) }
        #expect(rows.count == 4)
    }

    @Test func `a guest is found by its number in either spelling`() async throws {
        let body = #"{"data":[{"vmid":"100","type":"qemu","node":"pve1"},{"vmid":101,"type":"lxc","node":"pve2"}]}"#
        try await Self.withHypervisor(answering: body) { pve in
            for (kind, id, node) in [(GuestKind.vm, "100", "pve1"), (.container, "101", "pve2")] {
                let guest = GuestRef(kind: kind, id: try #require(VMID(id)))
                #expect(try await pve.locate(guest)?.node.description == node)
            }
        }
    }

    @Test func `a PVE cannot put its guests into another environment`() async throws {
        let body = #"{"data":[{"vmid":1,"environment":"cloud","type":"qemu"},{"environment":null,"type":"lxc"},{}]}"#
        let rows = try await Self.withHypervisor(answering: body) { try await $0.inventory(runningOnly: false) }
        let parsed = try JSON.parse("[" + String(decoding: rows.bytes, as: UTF8.self) + "]")
        #expect(parsed.array?.map { $0["environment"]?.string } == ["home", "home", "home"])
        #expect(rows.count == 3)
    }

    @Test func `of a list of resources planning gets what it looks at, and nothing else`() async throws {
        let body = #"{"data":[{"vmid":7,"type":"qemu","node":"a","tags":"x;y","cpu":0.5,"netin":1},{"type":"lxc"}]}"#
        let call = Call(.get, ["cluster", "resources"], [(name: "type", value: .text("vm"))])
        let rows = try await Self.withHypervisor(answering: body) { try await $0.read(call) }
        #expect(rows == [["type": "qemu", "vmid": 7, "node": "a", "tags": "x;y"], ["type": "lxc"]])
        let whole = try await Self.withHypervisor(answering: body) {
            try await $0.read(Call(.get, ["cluster", "resources"]))
        }
        #expect(whole.array?.first?["cpu"] == .number(0.5))
    }

    @Test func `an answer too large to be a tree is refused, and one that is scanned is not`() async throws {
        let row = #"{"vmid":7,"type":"qemu","node":"a","name":"\#(String(repeating: "x", count: 1000))"}"#
        let body = #"{"data":[\#(Array(repeating: row, count: 9000).joined(separator: ","))]}"#
        try await Self.withHypervisor(answering: body) { pve -> Void in
            await #expect(throws: HypervisorError.invalid("larger than 8388608 bytes", mayHaveExecuted: true)) {
                _ = try await pve.read(Call(.get, ["nodes"]))
            }
        }
        let guest = GuestRef(kind: .vm, id: try #require(VMID(rawValue: 107)))
        #expect(try await Self.withHypervisor(answering: body) { try await $0.locate(guest) } == nil)
        #expect(
            try await Self.withHypervisor(answering: body) { try await $0.inventory(runningOnly: false).count } == 9000)
    }

    @Test func `large lists are read one at a time`() async throws {
        let row = #"{"vmid":107,"type":"qemu","node":"a","name":"\#(String(repeating: "x", count: 1000))"}"#
        let body = #"{"data":[\#(Array(repeating: row, count: 20_000).joined(separator: ","))]}"#
        let guest = GuestRef(kind: .vm, id: try #require(VMID(rawValue: 107)))
        try await withPVE({ _ in [.request, .answer("200 OK", fields: ["Connection: close"], body)] }) {
            server, client in
            let name = try #require(EnvironmentName("home"))
            let pve = ProxmoxHypervisor(client: client, environment: name)
            _ = try await pve.locate(guest)
            // Now it is known that two are too much.
            let places = try await withThrowingTaskGroup(of: GuestPlace?.self) { group in
                for _ in 0..<6 { group.addTask { try await pve.locate(guest) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(places.count == 6 && places.allSatisfy { $0 != nil })
            #expect(pve.mostListBytes == body.utf8.count, "never two at once")
        }
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
