import AgentModel
import AgentTestSupport
import PVESimulator
import SimulatorTestSupport
import StrictJSON
import Testing

/// A rule about one machine holds for every request that reaches it, whatever the request's own target is.
@Suite(.timeLimit(.minutes(3)))
struct SubjectTests {
    /// In the simulated cloud vm/101 (web2) runs on pve3, in the pool production; here it has the tag `marked` alone.
    struct Reach: Sendable, CustomTestStringConvertible {
        let wish: PlanRequest
        /// What else the rule's machine is to the request.
        let role: String
        let prepare: ChangeScenario.Step

        init(
            _ action: String, _ target: String, _ params: JSONObject, as role: String,
            given prepare: @escaping ChangeScenario.Step = { _ in }
        ) {
            wish = PlanRequest(action, target, params)
            self.role = role
            self.prepare = prepare
        }

        var testDescription: String { "\(wish.action) \(wish.target) \(JSON.object(wish.params).text)" }
    }

    static let archive = "local:backup/vzdump-qemu-101-2026_11_20-03_00_01.vma.zst"

    /// Ways to write a volume of vm/101.
    static let spellings = [
        "ceph:vm-101-disk-0", "ceph:base-9000-disk-0/vm-101-disk-0",
        "local:9000/base-9000-disk-0.qcow2/101/vm-101-disk-0.qcow2", "local:101/anything.qcow2",
        "ceph:vm-101-state-before", "ceph:vm-101-cloudinit", "/dev/rbd/vm/vm-101-disk-0", "/dev/pve/vm-101-disk-0",
        "/dev/mapper/pve-vm--101--disk--0", "/var/lib/vz/images/101/vm-101-disk-0.raw",
    ]

    private static let rule: ChangeScenario.Step = { pve in
        pve.setHA(101, wanted: "started")
        try await pve.make(
            "POST", "/cluster/ha/rules", "rule=apart&type=node-affinity&resources=vm:101&nodes=pve1")
    }
    private static func job(_ form: String) -> ChangeScenario.Step {
        { try await $0.make("POST", "/cluster/backup", "id=nightly&schedule=sun%2001:00&storage=local&" + form) }
    }

    static let reaches: [Reach] =
        spellings.flatMap { volume in
            [
                Reach(
                    "create_vm", "vm/600", ["node": "pve1", "scsi0": .string("ceph:0,import-from=\(volume)")],
                    as: "source"),
                Reach("create_vm", "vm/600", ["node": "pve1", "scsi0": .string("file=\(volume)")], as: "source"),
                Reach(
                    "create_container", "lxc/600",
                    [
                        "node": "pve1", "ostemplate": "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst",
                        "mp0": .string("\(volume),mp=/srv"),
                    ], as: "source"),
                Reach("configure_vm", "vm/136", ["scsi5": .string(volume)], as: "source"),
            ]
        } + many + objects

    private static let many: [Reach] = [
        Reach("bulk_start", "cluster", ["vms": [101]], as: "member") { $0.setRunning(101, false) },
        Reach("bulk_start", "node/pve3", [:], as: "member") { $0.setRunning(101, false) },
        Reach("bulk_shutdown", "cluster", ["vms": [100, 101]], as: "member"),
        Reach("bulk_shutdown", "node/pve3", [:], as: "member"),
        Reach("bulk_migrate", "node/pve3", ["vms": [101], "target": "pve1"], as: "member"),
        Reach("shutdown_node", "node/pve3", [:], as: "affected"),
        Reach("reboot_node", "node/pve3", [:], as: "affected"),
        Reach(
            "firewall_edit", "firewall/cluster", ["op": "change", "object": "options", "enable": 0], as: "affected"),
        Reach("storage_edit", "storage/ceph", ["op": "change", "disable": true], as: "affected"),
    ]

    private static let objects: [Reach] = [
        Reach("pool_edit", "pool/staging", ["op": "join", "vms": [101], "allow-move": true], as: "member"),
        Reach("pool_edit", "pool/production", ["op": "leave", "vms": [101]], as: "member"),
        Reach("pool_edit", "pool/production", ["op": "change", "comment": "x"], as: "member"),
        Reach(
            "ha_edit", "cluster",
            ["op": "add", "rule": "near", "type": "node-affinity", "resources": ["vm:101"], "nodes": ["pve1"]],
            as: "member"
        ) { $0.setHA(101, wanted: "started") },
        Reach("ha_edit", "cluster", ["op": "remove", "rule": "apart"], as: "member", given: rule),
        Reach(
            "ha_edit", "cluster", ["op": "change", "rule": "apart", "type": "node-affinity", "disable": true],
            as: "member", given: rule),
        Reach(
            "backup_job_edit", "cluster",
            ["op": "add", "id": "own", "schedule": "sun 01:00", "storage": "local", "vmid": [100, 101]], as: "member"),
        Reach(
            "backup_job_edit", "cluster",
            ["op": "add", "id": "own", "schedule": "sun 01:00", "storage": "local", "all": true, "exclude": [101]],
            as: "member"),
        Reach(
            "backup_job_edit", "cluster",
            ["op": "add", "id": "own", "schedule": "sun 01:00", "storage": "local", "pool": "production"],
            as: "member"),
        Reach(
            "backup_job_edit", "cluster", ["op": "change", "id": "nightly", "enabled": false], as: "member",
            given: job("all=1")),
        Reach("backup_job_edit", "cluster", ["op": "remove", "id": "nightly"], as: "member", given: job("vmid=101")),
        Reach(
            "backup_job_edit", "cluster", ["op": "remove", "id": "nightly"], as: "member", given: job("pool=production")
        ),
        Reach("prune_backups", "storage/local", ["prune-backups": "keep-last=1", "vmid": 101], as: "member"),
        Reach("prune_backups", "storage/local", ["prune-backups": "keep-last=1"], as: "source") { pve in
            for day in 1...3 {
                pve.addVolume(
                    "local:backup/vzdump-qemu-101-2026_11_0\(day)-03_00_01.vma.zst", content: "backup", vmid: 101)
            }
        },
        Reach("restore_backup", "vm/600", ["archive": .string(archive), "node": "pve1"], as: "source") {
            $0.addVolume(archive, content: "backup", vmid: 101)
        },
        Reach("delete_backup", "storage/local", ["volume": .string(archive)], as: "source") {
            $0.addVolume(archive, content: "backup", vmid: 101)
        },
        Reach("delete_volume", "storage/ceph", ["volume": "ceph:vm-101-disk-7"], as: "source") {
            $0.addVolume("ceph:vm-101-disk-7", content: "images", vmid: 101)
        },
        Reach(
            "create_vm", "vm/600",
            ["node": "pve1", "scsi0": "ceph:0,import-from=ceph:vm-101-disk-0,serial=http://a:b@c"], as: "source"),
        Reach("attach_disk", "vm/136", ["disk": "scsi5", "volume": "ceph:vm-101-disk-7"], as: "source"),
        Reach("move_disk", "vm/136", ["disk": "scsi1", "storage": "local-lvm"], as: "source") {
            $0.setConfig(136, "scsi1", "ceph:vm-101-disk-7,size=8G")
        },
        Reach("clone_vm", "vm/136", ["newid": 600, "full": true], as: "source") {
            $0.setConfig(136, "scsi1", "ceph:vm-101-disk-7,size=8G")
        },
        Reach("replication_edit", "vm/101", ["op": "add", "job": 0, "target": "pve1"], as: "target"),
    ]

    @Test(arguments: reaches)
    func `a rule about a machine denies whatever reaches it`(reach: Reach) async throws {
        for scope: (String, JSON) in [("targets", ["vm/101"]), ("tags", ["marked"])] {
            var rule: JSONObject = ["id": "hands-off", "effect": "deny"]
            rule[scope.0] = scope.1
            var setup = ChangeScenario.setup
            setup.settings["policy"] = ["rules": [.object(rule)]]
            try await withAgent(setup) { agent in
                let pve = try agent.pve()
                pve.setConfig(101, "tags", "marked")
                try await reach.prepare(pve)
                pve.forgetExecutions()
                let plan = try await agent.plan(reach.wish)
                #expect(plan["state"] == "denied", "\(scope.0): \(plan)")
                #expect(plan["decision"]?["rules"]?.array?.contains("rule:hands-off") == true, "\(scope.0): \(plan)")
                let judged = plan["decision"]?["subjects"]?.array?.first { $0["name"] == "vm/101" }
                #expect(judged?["role"]?.string == reach.role, "\(plan)")
                #expect(judged?["rules"] == ["rule:hands-off"], "\(plan)")
                let id = try #require(plan["plan_id"]?.string)
                expectProblem(try await agent.apply(id, approvedBy: "alice"), 403, "policy_denied")
                #expect(agent.executed.isEmpty)
            }
        }
    }
}

/// The whole catalogue, against a simulated cluster.
@Suite(.timeLimit(.minutes(5)))
struct NamingTests {
    @Test func `by whatever parameter a request names a machine, a rule on it by target or by tag denies`() async throws
    {
        let actions = JSON(Action.allCases.map(\.rawValue))
        var setup = ChangeScenario.setup
        setup.settings["policy"] = [
            "rules": [
                ["id": "by-target", "effect": "deny", "actions": actions, "targets": ["vm/101"]],
                ["id": "by-tag", "effect": "deny", "actions": actions, "tags": ["marked"]],
            ]
        ]
        let requests = Naming.requests(on: "136", container: "118", spellings: 2)
        #expect(requests.count > 300, "\(requests.count)")
        try await withAgent(setup) { agent in
            try agent.pve().setConfig(101, "tags", "marked")
            // Several at a time: each waits for PVE and for the disk.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for first in 0..<8 {
                    group.addTask {
                        for index in stride(from: first, to: requests.count, by: 8) {
                            try await denied(requests[index], agent)
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(agent.executed.isEmpty)
        }
    }

    /// Plans the request, and expects both rules to deny it.
    private func denied(_ request: ActionRequest, _ agent: RunningAgent) async throws {
        let body = JSONObject.request(
            request.action, request.target.description, .object(request.params), environment: "cloud")
        let plan = try await agent.post("/v1/actions/plan", .object(body))
        let rules = plan["decision"]?["rules"]?.array ?? []
        let names = "\(request.action) \(request.target) \(JSON.object(request.params).text)"
        #expect(plan["state"] == "denied", "\(names): \(plan)")
        #expect(rules.contains("rule:by-target"), "\(names): \(plan["decision"] ?? .null)")
        #expect(rules.contains("rule:by-tag"), "\(names): \(plan["decision"] ?? .null)")
    }
}

/// What a plan reaches is part of what it holds for.
@Suite(.timeLimit(.minutes(2)))
struct SubjectStateTests {
    @Test func `a guest that is started on a node after its shutdown was planned makes the plan stale`() async throws {
        try await withAgent { agent in
            try agent.pve().setRunning(101, false)
            let id = try await agent.planID(PlanRequest("shutdown_node", "node/pve3"))
            try agent.pve().setRunning(101, true)
            let reply = try await agent.apply(id, approvedBy: "alice")
            expectProblem(reply, 409, "plan_stale")
            #expect(reply["moved"]?.array?.contains { $0["field"]?.string?.hasPrefix("guests.vm/101") == true } == true)
            #expect(agent.executed.isEmpty)
        }
    }

    @Test func `an owner of a volume that changes makes the plan stale`() async throws {
        try await withAgent { agent in
            let id = try await agent.planID(
                PlanRequest("create_vm", "vm/600", ["node": "pve1", "scsi0": "ceph:0,import-from=ceph:vm-101-disk-0"]))
            try agent.pve().swapIdentity(101)
            expectProblem(try await agent.apply(id, approvedBy: "alice"), 409, "plan_stale")
            #expect(agent.executed.isEmpty)
        }
    }

    @Test(arguments: SubjectTests.reaches.filter { $0.role == "member" })
    func `two approvals for a machine are two for whatever reaches it`(reach: SubjectTests.Reach) async throws {
        var setup = ChangeScenario.setup
        setup.settings["policy"] = [
            "rules": [["id": "two-for-prod", "effect": "require_approval", "approvals": 2, "tags": ["marked"]]]
        ]
        try await withAgent(setup) { agent in
            try agent.pve().setConfig(101, "tags", "marked")
            try await reach.prepare(try agent.pve())
            let plan = try await agent.plan(reach.wish)
            guard plan["decision"]?["allowed"] == true else { return }
            #expect(plan["requires"]?["approvals"] == 2, "\(plan)")
            #expect(plan["state"] == "awaiting_approval")
        }
    }

    @Test func `a subject that cannot be read is a block`() async throws {
        try await withAgent { agent in
            try agent.pve().inject(
                Fault(.status(500, reason: "no luck"), path: "/nodes/pve3/qemu/101/config", count: 100))
            for wish in [
                PlanRequest("bulk_shutdown", "cluster", ["vms": [100, 101]]),
                PlanRequest("create_vm", "vm/600", ["node": "pve1", "scsi0": "ceph:0,import-from=ceph:vm-101-disk-0"]),
            ] {
                let plan = try await agent.plan(wish)
                #expect(plan["state"] == "denied", "\(plan)")
                let check = plan["preview"]?["checks"]?.array?.first { $0["id"] == "subject" }
                #expect(check?["level"] == "block")
                #expect(check?["detail"]?.string?.contains("vm/101") == true, "\(plan)")
                #expect(check?["detail"]?.string?.contains("no luck") == true, "\(plan)")
            }
        }
    }

    @Test func `decision, preview, audit record and plan show list what is reached`() async throws {
        try await withAgent { agent in
            let plan = try await agent.plan(PlanRequest("bulk_shutdown", "cluster", ["vms": [100, 118]]))
            let names: [JSON] = ["cluster", "vm/100", "lxc/118"]
            #expect(plan["decision"]?["subjects"]?.array?.compactMap { $0["name"] } == names, "\(plan)")
            #expect(plan["preview"]?["subjects"]?.array?.compactMap { $0["name"] } == names, "\(plan)")
            let member = plan["preview"]?["subjects"]?.array?[1]
            #expect(member?["role"] == "member" && member?["tags"] == ["production", "web"], "\(plan)")
            #expect(member?["also"] == ["pool/production"])
            let record = try #require(try agent.records().last { $0["kind"] == "plan" })
            #expect(record["decision"]?["subjects"]?.array?.compactMap { $0["name"] } == names)
        }
    }
}
