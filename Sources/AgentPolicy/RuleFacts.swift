import AgentModel
import FoundationEssentials
import StrictJSON

/// What is known of a request while a rule's conditions are tested; `nil` where it is not known.
struct RuleFacts {
    var environment: EnvironmentName?
    var labels: [String: String]?
    /// The request's own action, or one that it amounts to.
    var action: Action?
    /// By the catalogue, before any rule raises it.
    var risk: Risk?
    var target: Target?
    var principal: String?
    var roles: Set<Role>?
    /// The parameters, those of a spelled-out endpoint among them.
    var parameters: [(key: String, value: JSON?)]?
    var guests: Int?
    var subjects: Int?
    /// Ids of the preview's checks that warn or block.
    var checks: Set<String>?
    var now: Date?

    /// Nothing but these.
    init(environment: EnvironmentName? = nil, principal: String? = nil, action: Action? = nil) {
        self.environment = environment
        self.principal = principal
        self.action = action
    }

    init(_ input: PolicyInput, _ subjects: [SubjectFacts], risk: Risk, at now: Date) {
        environment = input.environment.name
        labels = input.environment.labels
        action = input.request.action
        self.risk = risk
        target = input.request.target
        principal = input.requester.principal
        roles = input.roles
        parameters = input.request.touched
        guests = Set(subjects.flatMap(\.ids)).count
        self.subjects = subjects.count
        checks = Set(input.checks.filter { $0.level != .ok }.map(\.id))
        self.now = now
    }
}

extension ActionRequest {
    /// The parameters that the request sets, with their values, and those that it deletes, without. The value of a
    /// secret is not known.
    fileprivate var touched: [(key: String, value: JSON?)] {
        let objects = [params] + (params["params"]?.object.map { [$0] } ?? [])
        return objects.flatMap { object in
            object.members.map { (key: $0.key, value: Optional($0.value)) }
                + (object["delete"]?.array ?? object["delete"].map { [$0] } ?? []).compactMap(\.string)
                .flatMap { $0.split(whereSeparator: { ",; ".contains($0) }) }.map { (key: String($0), value: nil) }
        }.map { member in
            let isSecret = secrets.keys.contains { $0.steps.contains(.key(member.key)) }
            return isSecret ? (key: member.key, value: nil) : member
        }
    }
}

/// A subject, and what of its names rules look at.
package struct SubjectFacts: Sendable {
    let names: [String]
    let ids: [VMID]
    let isGuest: Bool
    let tags: Set<String>
    let pools: [String]
    let nodes: [String]
    let storages: [String]
    /// `nil` for a guest whose name is not known; empty for what is no guest.
    let guestNames: [String]?

    init(_ subject: Subject) {
        var (ids, pools, nodes, storages): ([VMID], [String], [String], [String]) = ([], [], [], [])
        for name in subject.names {
            guard let slash = name.utf8.firstIndex(of: UInt8(ascii: "/")) else { continue }
            let rest = name[name.utf8.index(after: slash)...]
            switch name[..<slash] {
            case "vm", "lxc": if let id = VMID(rest) { ids.append(id) }
            case "pool": pools.append(String(rest))
            case "node": nodes.append(String(rest))
            case "storage": storages.append(String(rest))
            case "volume":
                if let colon = rest.utf8.firstIndex(of: UInt8(ascii: ":")) { storages.append(String(rest[..<colon])) }
            default: break
            }
        }
        names = subject.names
        self.ids = ids
        // A guest's firewall is the guest's.
        isGuest = !ids.isEmpty
        tags = subject.tags
        self.pools = pools
        self.nodes = nodes + (subject.node.map { [$0.description] } ?? [])
        self.storages = storages
        guestNames = subject.guestNames.isEmpty ? (ids.isEmpty ? [] : nil) : subject.guestNames
    }
}
