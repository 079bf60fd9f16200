import StrictJSON
import Testing

/// A request for an action, as a caller would write it.
struct PlanRequest: Sendable, CustomTestStringConvertible {
    var action: String
    var target: String
    var params: JSONObject = [:]
    var environment = "cloud"
    /// Further fields of the request.
    var more: JSONObject = [:]

    init(
        _ action: String, _ target: String, _ params: JSONObject = [:], in environment: String = "cloud",
        _ more: JSONObject = [:]
    ) {
        self.action = action
        self.target = target
        self.params = params
        self.environment = environment
        self.more = more
    }

    var testDescription: String { "\(action) \(target)" }

    var json: JSON {
        var object: JSONObject = [
            "environment": .string(environment), "action": .string(action), "target": .string(target),
        ]
        if !params.isEmpty { object["params"] = .object(params) }
        for member in more.members { object[member.key] = member.value }
        return .object(object)
    }

    func with(_ key: String, _ value: JSON) -> PlanRequest {
        var wish = self
        wish.more[key] = value
        return wish
    }

    // In the simulated cloud vm/136 (ci2) is stopped and on pve2; vm/100 (web1) runs there.
    static let start = PlanRequest("start_vm", "vm/136")
    static let stop = PlanRequest("stop_vm", "vm/100")
    static let snapshot = PlanRequest("snapshot_vm", "vm/100", ["snapname": "before"])
    static let clone = PlanRequest("clone_vm", "vm/9000", ["newid": 500, "name": "fresh"])
    static let migrate = PlanRequest("migrate_vm", "vm/100", ["target": "pve1", "online": true])
    static let delete = PlanRequest("delete_vm", "vm/136")
    static let addStorage = PlanRequest(
        "storage_edit", "storage/nas",
        [
            "endpoint": "/storage", "method": "POST",
            "params": ["storage": "nas", "type": "dir", "path": "/mnt/nas", "content": "iso"],
        ])
    static let addRule = PlanRequest(
        "firewall_edit", "firewall/vm/100",
        [
            "endpoint": "/nodes/pve2/qemu/100/firewall/rules", "method": "POST",
            "params": ["type": "in", "action": "ACCEPT", "proto": "tcp", "dport": "443"],
        ])

    /// A copy of the template under another number; the template itself stays as it is.
    static func clone(as id: Int) -> PlanRequest { PlanRequest("clone_vm", "vm/9000", ["newid": JSON(id)]) }

    /// Every action that changes something.
    static let changes = [start, stop, snapshot, clone, migrate, delete, addStorage, addRule]
    /// Those that need an approval.
    static let approved = [stop, migrate, delete, addStorage, addRule]

    var needsApproval: Bool { PlanRequest.approved.contains { $0.action == action } }
}
