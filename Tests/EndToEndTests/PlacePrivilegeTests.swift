import AgentModel
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

@testable import proxmox_agent

/// Privileges that PVE asks for elsewhere than on the guest that a request is about.
@Suite(.timeLimit(.minutes(3)))
struct PlacePrivilegeTests {
    /// Requests that take more than privileges on their guest, and what of that is missing.
    private static let places: [(wish: PlanRequest, path: String, privilege: String)] = [
        (
            PlanRequest("configure_vm", "vm/136", ["net1": "virtio,bridge=vmbr1"]), "/sdn/zones/localnetwork/vmbr1",
            "SDN.Use"
        ),
        (
            PlanRequest("configure_vm", "vm/136", ["net1": "virtio,bridge=vmbr1,tag=7"]),
            "/sdn/zones/localnetwork/vmbr1/7",
            "SDN.Use"
        ),
        (PlanRequest("configure_vm", "vm/136", ["delete": ["net0"]]), "/sdn/zones/localnetwork/vmbr0", "SDN.Use"),
        (
            PlanRequest("configure_container", "lxc/118", ["net1": "name=eth1,bridge=vmbr1"]),
            "/sdn/zones/localnetwork/vmbr1",
            "SDN.Use"
        ),
        (
            PlanRequest("create_vm", "vm/600", ["node": "pve1", "net0": "virtio,bridge=vmbr0"]),
            "/sdn/zones/localnetwork/vmbr0", "SDN.Use"
        ), (.clone, "/sdn/zones/localnetwork/vmbr0", "SDN.Use"),
        (PlanRequest("configure_vm", "vm/136", ["startup": "order=1"]), "/", "Sys.Modify"),
        (PlanRequest("configure_vm", "vm/136", ["delete": ["startup"]]), "/", "Sys.Modify"),
        (PlanRequest("backup_vm", "vm/136", ["storage": "local", "ionice": 8]), "/", "Sys.Modify"),
        (PlanRequest("backup_vm", "vm/136", ["storage": "local", "bwlimit": 1000]), "/", "Sys.Modify"),
        (
            PlanRequest("backup_vm", "vm/136", ["storage": "local", "prune-backups": "keep-last=1", "remove": true]),
            "/storage/local", "Datastore.Allocate"
        ),
        (
            PlanRequest(
                "backup_job_edit", "cluster",
                ["op": "add", "id": "new", "schedule": "2:30", "storage": "backup", "all": true]),
            "/storage/backup", "Datastore.Allocate"
        ),
        (
            PlanRequest("backup_job_edit", "cluster", ["op": "change", "id": "nightly", "comment": "a"]),
            "/storage/ceph",
            "Datastore.Allocate"
        ),
        (
            PlanRequest("backup_job_edit", "cluster", ["op": "change", "id": "nightly", "storage": "backup"]),
            "/storage/backup", "Datastore.Allocate"
        ),
        (
            PlanRequest("backup_job_edit", "cluster", ["op": "change", "id": "nightly", "delete": ["storage"]]),
            "/storage/local", "Datastore.Allocate"
        ),
        (
            PlanRequest("backup_job_edit", "cluster", ["op": "change", "id": "nightly", "pool": "production"]),
            "/pool/production", "VM.Backup"
        ),
    ]

    @Test(arguments: places)
    func `a privilege that is not asked for on the guest is named, and is what PVE refuses`(
        wish: PlanRequest, path: String, privilege: String
    ) async throws {
        try await withAgent(ChangeScenario.setup) { agent in
            let pve = try agent.pve()
            pve.setConfig(136, "net0", "virtio=BC:24:11:00:00:99,bridge=vmbr0")
            pve.setConfig(136, "startup", "order=3")
            try await pve.make("POST", "/cluster/backup", "id=nightly&schedule=1:30&storage=ceph&all=1")
            let before = pve.executed.count
            func lacks(_ planned: Reply) -> Bool {
                (planned["preview"]?["checks"]?.array ?? []).contains { check in
                    check["id"] == "privileges" && check["level"] == "block"
                        && check["detail"]?.string?.contains("the token lacks \(privilege) on \(path);") == true
                }
            }
            let allowed = try await agent.plan(wish)
            #expect(allowed["decision"]?["allowed"] == true, "\(allowed)")
            let rest = Set(EnvironmentReport.privileges(on: 9).map(\.0)).subtracting([privilege])
            pve.setTokens(
                .list([.init(id: "agent@pve!cloud", secret: Setup.secret(of: "cloud"), privileges: ["/": rest])]))
            let denied = try await agent.plan(wish)
            #expect(lacks(denied), "\(denied)")
            let call = try #require(allowed["preview"]?["calls"]?.array?.first)
            let form = Self.form(of: call["params"]) ?? ""
            #expect(try await pve.ask(call["method"]?.string ?? "", call["path"]?.string ?? "", form) == nil, "\(call)")
            #expect(pve.executed.count == before)
        }
    }

    private static func form(of params: JSON?) -> String? {
        params?.object?.members.filter { $0.key != "digest" }.map { member in
            "\(member.key)=\((member.value.string ?? member.value.text).percentEncoded)"
        }.joined(separator: "&")
    }

    @Test func `a bridge that may be of another zone is only warned of`() async throws {
        try await withAgent { agent in
            let rest = Set(EnvironmentReport.privileges(on: 9).map(\.0)).subtracting(["SDN.Use"])
            try agent.pve().setTokens(
                .list([.init(id: "agent@pve!cloud", secret: Setup.secret(of: "cloud"), privileges: ["/": rest])]))
            let planned = try await agent.plan(
                PlanRequest("configure_vm", "vm/136", ["net1": "virtio,bridge=shop,trunks=5;8-9"]))
            let told = (planned["preview"]?["checks"]?.array ?? []).filter { check in
                check["level"] == "warn" && check["detail"]?.string?.contains("/sdn/zones/localnetwork/shop/") == true
            }
            #expect(told.count == 3, "\(planned)")
        }
    }
}
