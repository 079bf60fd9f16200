import Glibc
import SystemService
import Testing
import WireTestSupport

struct ServiceManagerTests {
    @Test(arguments: [false, true])
    func `tells what there is to tell, one datagram each`(abstract: Bool) throws {
        let manager = try NotifySocket(abstract: abstract)
        let service = try #require(ServiceManager(["NOTIFY_SOCKET": manager.variable]))
        for notice in ServiceManager.Notice.allCases { #expect(service.tell(notice)) }
        #expect(manager.next() == "READY=1")
        let reloading = try #require(manager.next()).split(separator: "\n")
        #expect(reloading.first == "RELOADING=1")
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let then = try #require(reloading.last.flatMap { Int($0.dropFirst("MONOTONIC_USEC=".count)) })
        #expect((0...10_000_000).contains(now.tv_sec * 1_000_000 + now.tv_nsec / 1000 - then))
        #expect(manager.next() == "STOPPING=1")
        #expect(manager.next() == "WATCHDOG=1")
        #expect(manager.next() == nil)
    }

    @Test func `says that nobody listens`() throws {
        let service = try #require(ServiceManager(["NOTIFY_SOCKET": "/nowhere/notify"]))
        #expect(!service.tell(.ready))
    }

    @Test(arguments: [nil, "", "notify", "@", "/", "vsock:2:1234", "/" + String(repeating: "x", count: 107)])
    func `there is nobody to tell without a socket that could be written to`(place: String?) {
        #expect(ServiceManager(place.map { ["NOTIFY_SOCKET": $0] } ?? [:]) == nil)
    }

    @Test(
        arguments: [
            (["WATCHDOG_USEC": "30000000"], Duration.seconds(30)),
            (["WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "\(getpid())"], .seconds(30)),
            (["WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"], nil),
            (["WATCHDOG_USEC": "0"], nil), (["WATCHDOG_USEC": "soon"], nil), ([:], nil),
        ] as [([String: String], Duration?)])
    func `knows whether and how often it is watched`(variables: [String: String], interval: Duration?) throws {
        let all = variables.merging(["NOTIFY_SOCKET": "/run/notify"]) { first, _ in first }
        #expect(try #require(ServiceManager(all)).watchdog == interval)
    }
}

struct InheritedSocketTests {
    @Test func `takes the one socket that is meant for this process`() throws {
        let own = "\(getpid())"
        #expect(try InheritedSocket.descriptor(["LISTEN_FDS": "1", "LISTEN_PID": own]) == 3)
        for variables in [
            [:], ["LISTEN_FDS": "1"], ["LISTEN_FDS": "1", "LISTEN_PID": "1"], ["LISTEN_FDS": "0", "LISTEN_PID": own],
            ["LISTEN_FDS": "-1", "LISTEN_PID": own], ["LISTEN_FDS": "many", "LISTEN_PID": own],
        ] { #expect(try InheritedSocket.descriptor(variables) == nil, "\(variables)") }
        let error = #expect(throws: InheritedSocket.Unusable.self) {
            try InheritedSocket.descriptor(["LISTEN_FDS": "2", "LISTEN_PID": own])
        }
        #expect(error?.description.contains("ListenStream=") == true)
    }
}
