// What a decision costs by a thousand rules, for one subject and for a bulk of two hundred.
//
//   PROXMOX_AGENT_PACKAGE=benchmarks swift run -c release policy

import AgentModel
import AgentPolicy
import FoundationEssentials
import StrictJSON

/// Rules as they grow: most name a machine, a tag or a pool, some an action or a caller, a few ask for everything.
func rule(_ number: Int) -> JSON {
    let match: JSON =
        switch number % 10 {
        case 0, 1, 2: ["targets": ["vm/\(1000 + number)"]]
        case 3, 4: ["tags": ["tag-\(number)"], "actions": ["*_vm"]]
        case 5: ["pools": ["pool-\(number)"], "risk": ["high"]]
        case 6: ["principals": ["agent-\(number)"], "params": ["memory": ["above": 65_536]]]
        case 7: ["actions": ["delete_*"], "not": ["tags": ["scratch"]], "names": ["db-\(number)*"]]
        case 8: ["vmids": .array([.integer(Int64(5000 + number))]), "storages": ["ceph"]]
        default:
            number < 100
                ? ["environments": ["home"], "nodes": ["pve\(number)"], "guests_at_least": 50]
                : ["environments": ["site-\(number)"], "tags": ["prod"]]
        }
    return ["id": .string("r\(number)"), "match": match, "effect": ["require": ["approvals": 2]]]
}

var reader = ObjectReader(["rules": .array((0..<1000).map(rule))])
var policies = PolicyReader { _ throws(PolicyReader.ZoneError) in .utc }
let policy = policies.policy(&reader)
precondition(reader.issues.isEmpty && policy.rules.count == 1000, "\(reader.issues)")

guard let name = EnvironmentName("home"),
    let request = try? ActionRequest(parsing: [
        "environment": "home", "action": "bulk_shutdown", "target": "node/pve1", "params": [:],
    ]),
    let one = try? ActionRequest(parsing: ["environment": "home", "action": "stop_vm", "target": "vm/101"])
else { preconditionFailure("the sample requests are wrong") }
let settings = EnvironmentSettings(
    name: name, baseURL: "https://pve.lan:8006", tokenID: "agent@pve!home", trust: "system")

func guest(_ number: Int, _ role: Subject.Role) -> Subject {
    Subject(
        role, "vm/\(number)", aliases: ["pool/pool-\(number)"], tags: ["tag-\(number)", "prod"],
        guestNames: ["web-\(number)"], node: NodeName("pve\(number % 5)"))
}

/// Microseconds for one decision, the median of many.
func median(_ request: ActionRequest, _ subjects: [Subject], _ rounds: Int) -> Double {
    let input = PolicyInput(
        request, by: Caller(principal: "pi-agent", label: nil), roles: [.operator], in: settings,
        reach: Reach(subjects: subjects))
    let now = Date()
    let times = (0..<rounds).map { _ in
        let start = ContinuousClock.now
        precondition(!policy.evaluate(input, at: now).rules.isEmpty)
        return (ContinuousClock.now - start) / .microseconds(1)
    }
    return times.sorted()[rounds / 2]
}

func report(_ what: String, _ microseconds: Double) {
    print("Decision by 1,000 rules about \(what): \((microseconds * 10).rounded() / 10) µs.")
}
report("one subject", median(one, [guest(101, .target)], 5000))
let bulk = [Subject(.target, "node/pve1")] + (100..<300).map { guest($0, .member) }
report("a bulk of 200", median(request, bulk, 1000))
