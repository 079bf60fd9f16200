import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// What a plan says of a running guest's change is what becomes of it: it is in force, or waits for the next start.
@Suite(.timeLimit(.minutes(2)))
struct HotplugTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let wish: PlanRequest
        let waiting: [String]
        var config: [String: String] = [:]
        var testDescription: String { "\(wish.action) \(wish.target) \(JSON.object(wish.params).text)" }

        static let all = [
            Case(
                wish: PlanRequest(
                    "attach_disk", "lxc/118", ["disk": "mp0", "storage": "ceph", "size": 8, "path": "/srv"]),
                waiting: []),
            Case(
                wish: PlanRequest("detach_disk", "lxc/118", ["disk": "mp0"]), waiting: ["mp0"],
                config: ["mp0": "ceph:vm-118-disk-1,mp=/srv,size=8G"]),
            Case(
                wish: PlanRequest("configure_container", "lxc/118", ["swap": 96, "timezone": "host"]),
                waiting: ["timezone"]),
            Case(
                wish: PlanRequest("attach_disk", "vm/100", ["disk": "scsi5", "storage": "ceph", "size": 8]), waiting: []
            ),
            Case(
                wish: PlanRequest("attach_disk", "vm/100", ["disk": "sata1", "storage": "ceph", "size": 8]),
                waiting: ["sata1"]
            ),
            Case(
                wish: PlanRequest("detach_disk", "vm/100", ["disk": "scsi5"]), waiting: ["scsi5"],
                config: ["scsi5": "ceph:vm-100-disk-5,size=8G", "hotplug": "network"]),
            Case(
                wish: PlanRequest("configure_vm", "vm/100", ["ide2": "none,media=cdrom", "name": "new"]),
                waiting: ["boot"],
                config: ["ide2": "local:iso/debian-13.2.0-amd64-netinst.iso,media=cdrom"]),
            Case(
                wish: PlanRequest("configure_vm", "vm/100", ["ide2": "none,media=cdrom"]), waiting: [],
                config: [
                    "ide2": "local:iso/debian-13.2.0-amd64-netinst.iso,media=cdrom", "boot": "order=scsi0;ide2;net0",
                ]),
            Case(
                wish: PlanRequest("configure_vm", "vm/100", ["cores": 7, "vcpus": 3, "cpuunits": 50]),
                waiting: ["cores", "vcpus"]),
        ]
    }

    @Test(arguments: Case.all)
    func `what waits for the next start is named before`(given: Case) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            let id = try #require(Int(given.wish.target.split(separator: "/")[1]))
            for (key, value) in given.config { pve.setConfig(id, key, value) }
            let planned = try await agent.plan(given.wish)
            let check = planned["preview"]?["checks"]?.array?.first { $0["id"] == "pending-until-reboot" }
            let named = check?["detail"]?.string?.split { $0 == " " || $0 == "," }.prefix(given.waiting.count)
            #expect((named ?? []).map(String.init) == given.waiting, "\(planned)")
            let plan = try #require(planned["plan_id"]?.string, "\(planned)")
            let done = try await agent.apply(plan, approvedBy: "alice")
            #expect(done["result"]?["status"]?.string?.hasPrefix("succeeded") == true, "\(done)")
            let prefix = "\(given.wish.target).pending."
            let pending = pve.settings.keys.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
            #expect(pending.sorted() == given.waiting)
        }
    }
}
