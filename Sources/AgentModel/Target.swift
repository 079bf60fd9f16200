/// Part of an environment's firewall.
package enum FirewallScope: Sendable, Hashable {
    case cluster
    case node(NodeName)
    case guest(GuestRef)
}

/// What an action works on. A value of this type is well-formed, but the object may not exist.
package enum Target: Sendable, Hashable {
    case guest(GuestRef)
    case node(NodeName)
    case nodesAll
    case storage(StorageName)
    case pool(PoolName)
    case cluster
    case inventoryAll
    case inventoryRunning
    case tasksAll
    case task(UPID)
    case firewall(FirewallScope)

    /// Parses the only spelling of each target: `vm/101`, `firewall/node/pve1`, …
    package init?(_ text: String) {
        guard let slash = text.firstIndex(of: "/") else {
            guard text == "cluster" else { return nil }
            self = .cluster
            return
        }
        let rest = String(text[text.index(after: slash)...])
        switch text[..<slash] {
        case "vm", "lxc":
            guard let guest = Self.guest(text) else { return nil }
            self = .guest(guest)
        case "node":
            guard let node = NodeName(rest) else { return nil }
            self = .node(node)
        case "nodes" where rest == "all": self = .nodesAll
        case "storage":
            guard let storage = StorageName(rest) else { return nil }
            self = .storage(storage)
        case "pool":
            guard let pool = PoolName(rest) else { return nil }
            self = .pool(pool)
        case "inventory" where rest == "all": self = .inventoryAll
        case "inventory" where rest == "running": self = .inventoryRunning
        case "tasks" where rest == "all": self = .tasksAll
        case "task":
            guard let upid = UPID(rest) else { return nil }
            self = .task(upid)
        case "firewall":
            guard let scope = Self.firewallScope(rest) else { return nil }
            self = .firewall(scope)
        default: return nil
        }
    }

    private static func guest(_ text: String) -> GuestRef? {
        for kind in GuestKind.allCases where text.hasPrefix(kind.targetWord + "/") {
            return VMID(text.dropFirst(kind.targetWord.count + 1)).map { GuestRef(kind: kind, id: $0) }
        }
        return nil
    }

    private static func firewallScope(_ text: String) -> FirewallScope? {
        if text == "cluster" { return .cluster }
        if text.hasPrefix("node/") { return NodeName(String(text.dropFirst(5))).map { .node($0) } }
        return guest(text).map { .guest($0) }
    }

    package var form: TargetForm {
        switch self {
        case .guest(let guest): guest.kind.form
        case .node: .node
        case .nodesAll: .nodesAll
        case .storage: .storage
        case .pool: .pool
        case .cluster: .cluster
        case .inventoryAll: .inventoryAll
        case .inventoryRunning: .inventoryRunning
        case .tasksAll: .tasksAll
        case .task: .task
        case .firewall(.cluster): .firewallCluster
        case .firewall(.node): .firewallNode
        case .firewall(.guest(let guest)): guest.kind == .vm ? .firewallVM : .firewallContainer
        }
    }

    /// The guest that this target names, directly or by its firewall.
    package var guest: GuestRef? {
        switch self {
        case .guest(let guest), .firewall(.guest(let guest)): guest
        case .node, .nodesAll, .storage, .pool, .cluster, .inventoryAll, .inventoryRunning, .tasksAll, .task,
            .firewall(.cluster), .firewall(.node):
            nil
        }
    }
}

extension Target: CustomStringConvertible {
    package var description: String {
        switch self {
        case .guest(let guest): guest.description
        case .node(let node): "node/\(node)"
        case .nodesAll: "nodes/all"
        case .storage(let storage): "storage/\(storage)"
        case .pool(let pool): "pool/\(pool)"
        case .cluster: "cluster"
        case .inventoryAll: "inventory/all"
        case .inventoryRunning: "inventory/running"
        case .tasksAll: "tasks/all"
        case .task(let upid): "task/\(upid)"
        case .firewall(.cluster): "firewall/cluster"
        case .firewall(.node(let node)): "firewall/node/\(node)"
        case .firewall(.guest(let guest)): "firewall/\(guest)"
        }
    }
}

/// The forms of targets. The raw value is how documents and errors write the form.
package enum TargetForm: String, Sendable, Hashable, CaseIterable {
    case vm = "vm/ID"
    case container = "lxc/ID"
    case node = "node/N"
    case nodesAll = "nodes/all"
    case storage = "storage/N"
    case pool = "pool/N"
    case cluster = "cluster"
    case inventoryAll = "inventory/all"
    case inventoryRunning = "inventory/running"
    case tasksAll = "tasks/all"
    case task = "task/UPID"
    case firewallCluster = "firewall/cluster"
    case firewallNode = "firewall/node/N"
    case firewallVM = "firewall/vm/ID"
    case firewallContainer = "firewall/lxc/ID"
}

extension TargetForm {
    /// A target of this form.
    package var example: String {
        switch self {
        case .vm: "vm/101"
        case .container: "lxc/200"
        case .node: "node/pve1"
        case .nodesAll: "nodes/all"
        case .storage: "storage/nas"
        case .pool: "pool/prod"
        case .cluster: "cluster"
        case .inventoryAll: "inventory/all"
        case .inventoryRunning: "inventory/running"
        case .tasksAll: "tasks/all"
        case .task: "task/UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:"
        case .firewallCluster: "firewall/cluster"
        case .firewallNode: "firewall/node/pve1"
        case .firewallVM: "firewall/vm/101"
        case .firewallContainer: "firewall/lxc/200"
        }
    }
}

extension TargetForm {
    /// A regular expression (ECMA 262) that all targets of this form match as a whole.
    package var expression: String {
        func inner(_ form: TextForm) -> String { String(form.pattern.dropFirst().dropLast()) }
        switch self {
        case .vm, .container, .firewallVM, .firewallContainer:
            return "\(rawValue.dropLast("ID".count))[1-9][0-9]{2,8}"
        case .node, .firewallNode: return "\(rawValue.dropLast("N".count))\(inner(.node))"
        case .storage: return "storage/\(inner(.storage))"
        case .pool: return #"pool/(?!(.*/)?\.{1,2}(/|$))[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}"#
        case .task: return "task/\(UPID.expression)"
        case .nodesAll, .cluster, .inventoryAll, .inventoryRunning, .tasksAll, .firewallCluster: return rawValue
        }
    }
}
