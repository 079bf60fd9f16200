import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

struct CallTests {
    /// Each action with all its parameters, and the calls that it comes to.
    static let table: [(Action, String, JSON, [String])] = [
        (
            .readVM, "vm/101", ["node": "pve1"],
            ["GET /nodes/pve1/qemu/101/config {}", "GET /nodes/pve1/qemu/101/status/current {}"]
        ),
        (.readInventory, "inventory/all", [:], ["GET /cluster/resources {}"]),
        (.readInventory, "inventory/running", [:], ["GET /cluster/resources {}"]),
        (.readNodes, "nodes/all", [:], ["GET /nodes {}"]),
        (.readTasks, "tasks/all", ["limit": 10], ["GET /cluster/tasks {}"]),
        (.readTasks, "tasks/all", ["node": "pve2"], [#"GET /nodes/pve2/tasks {"source":"all","limit":"50"}"#]),
        (
            .readTasks, "tasks/all", ["node": "pve2", "limit": 7],
            [#"GET /nodes/pve2/tasks {"source":"all","limit":"7"}"#]
        ),
        (
            .readTaskStatus, "task/UPID:pve3:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:", [:],
            ["GET /nodes/pve3/tasks/UPID:pve3:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:/status {}"]
        ),
        (
            .startVM, "vm/101", ["node": "pve1", "timeout": 30],
            [#"POST /nodes/pve1/qemu/101/status/start {"timeout":"30"}"#]
        ),
        (.startVM, "vm/101", [:], ["POST /nodes/pve1/qemu/101/status/start {}"]),
        (.stopVM, "vm/101", ["timeout": 0], [#"POST /nodes/pve1/qemu/101/status/stop {"timeout":"0"}"#]),
        (
            .snapshotVM, "vm/101", ["snapname": "before", "description": "a;b=c", "vmstate": true],
            [#"POST /nodes/pve1/qemu/101/snapshot {"snapname":"before","description":"a;b=c","vmstate":"1"}"#]
        ),
        (
            .cloneVM, "vm/101",
            [
                "newid": 900, "name": "copy", "description": "", "full": false, "target": "pve2",
                "storage": "local-lvm",
                "format": "qcow2", "pool": "prod", "snapname": "before", "bwlimit": 1000,
            ],
            [
                #"POST /nodes/pve1/qemu/101/clone {"newid":"900","name":"copy","description":"","full":"0","#
                    + #""target":"pve2","storage":"local-lvm","format":"qcow2","pool":"prod","snapname":"before","#
                    + #""bwlimit":"1000"}"#
            ]
        ),
        (
            .migrateVM, "vm/101",
            ["target": "pve2", "online": true, "with-local-disks": false, "targetstorage": "aa:bb", "bwlimit": 0],
            [
                #"POST /nodes/pve1/qemu/101/migrate {"target":"pve2","online":"1","with-local-disks":"0","#
                    + #""targetstorage":"aa:bb","bwlimit":"0"}"#
            ]
        ),
        (
            .deleteVM, "vm/101", ["purge": true, "destroy-unreferenced-disks": false],
            [#"DELETE /nodes/pve1/qemu/101 {"purge":"1","destroy-unreferenced-disks":"0"}"#]
        ),
        (
            .storageEdit, "storage/nas", ["endpoint": "/storage/nas", "method": "PUT", "params": ["disable": true]],
            [#"PUT /storage/nas {"disable":"1","digest":"<observed>"}"#]
        ),
        (
            .firewallEdit, "firewall/cluster",
            ["endpoint": "/cluster/firewall/aliases/web", "method": "DELETE"],
            [#"DELETE /cluster/firewall/aliases/web {"digest":"<observed>"}"#]
        ),
    ]

    @Test(arguments: table)
    func `an action comes to exactly these calls`(row: (Action, String, JSON, [String])) throws {
        let request = try ActionRequest.sample(row.0, row.1, row.2)
        let calls = try request.calls(onNode: NodeName("pve1")).map { call in
            "\(call.method.rawValue) \(call.shownPath) \(JSON.object(call.shownParameters).text)"
        }
        #expect(calls == row.3)
    }

    @Test func `every action comes to the calls that are written down`() throws {
        let place = CallContext(
            node: NodeName("pve1"), config: ["tags": "old;web", "digest": "d1"],
            guests: [101, 102].compactMap { VMID(rawValue: $0).map { GuestRef(kind: .vm, id: $0) } })
        var lines: [String] = []
        for variant in Action.allCases.flatMap(Variant.all(of:)) {
            lines.append(variant.description)
            for call in try variant.request().calls(in: place) {
                let id = call.taskID.map { ":\($0)" } ?? ""
                let tasks = call.taskTypes.isEmpty ? "" : " -> \(call.taskTypes.joined(separator: "|"))\(id)"
                lines.append(
                    "    \(call.method.rawValue) \(call.shownPath) \(JSON.object(call.shownParameters).text)\(tasks)"
                        + (call.guestIDs.isEmpty
                            ? "" : " guests \(call.guestIDs.sorted().map(\.description).joined(separator: ","))"))
            }
        }
        try expectGolden(lines, "calls.txt")
    }

    @Test(arguments: ActionCatalog.all)
    func `every entry of the catalogue is whole`(entry: ActionDefinition) {
        #expect(!entry.summary.isEmpty && !entry.reason.isEmpty && !entry.targets.isEmpty)
        #expect(Set(entry.parameters.map(\.name)).count == entry.parameters.count)
        #expect(entry.effect == .change || (entry.risk == .low && !entry.needsApproval && !entry.irreversible))
        #expect(entry.effect == .read || entry.risk > .low)
        #expect(entry.risk != .high || entry.needsApproval)
        #expect(entry.calls.allSatisfy { ($0.method == .get) == (entry.effect == .read) })
        #expect(!entry.calls.isEmpty || entry.takesEndpoint)
    }
}
