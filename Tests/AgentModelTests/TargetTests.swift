import AgentModel
import Testing

struct TargetTests {
    static let good: [(String, TargetForm)] = [
        ("vm/101", .vm), ("vm/999999999", .vm), ("lxc/200", .container), ("node/pve1", .node), ("nodes/all", .nodesAll),
        ("storage/local-lvm", .storage), ("pool/a/b/c", .pool), ("cluster", .cluster), ("inventory/all", .inventoryAll),
        ("inventory/running", .inventoryRunning), ("tasks/all", .tasksAll),
        ("task/UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:root@pam:", .task),
        ("task/UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmclone:101:agent@pve!home:", .task),
        ("task/UPID:pve1:0002C1B4:10187B2D5:6B01A2F3:aptupdate::root@pam:", .task),
        ("task/UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmigrate:101>pve2@x:root@pam:", .task),
        ("firewall/cluster", .firewallCluster), ("firewall/node/pve1", .firewallNode),
        ("firewall/vm/101", .firewallVM), ("firewall/lxc/200", .firewallContainer),
    ]

    @Test(arguments: good)
    func `a target reads back as it was written`(text: String, form: TargetForm) throws {
        let target = try #require(Target(text))
        #expect(target.description == text)
        #expect(target.form == form)
        #expect(Target(target.description) == target)
    }

    @Test func `each form has an example here`() {
        #expect(Set(Self.good.map(\.1)) == Set(TargetForm.allCases))
    }

    @Test(arguments: [
        "", "/", "vm", "vm/", "/vm/101", "vm/0101", "vm/+101", "vm/-101", "VM/101", "Vm/101", "vm/101/", "vm//101",
        "vm/101 ", " vm/101", "vm/101\n", "vm/99", "vm/1000000000", "vm/١٠١", "vm\u{301}/101", "vm/\u{301}101",
        "qemu/101", "ct/200", "lxc/99", "lxc/200/x", "node/", "node/-a", "node/a/b", "node/..", "node/a%2fb",
        "nodes/pve1", "nodes", "nodes/", "nodes/ALL", "storage/../x", "storage/a/b", "storage/", "storage/a;b",
        "storage/..", "pool/", "pool/..", "pool/a/../b", "pool/a/b/c/d", "Cluster", "cluster/", "cluster/x",
        "inventory", "inventory/stopped", "inventory/all/", "tasks", "tasks/", "tasks/pve1", "task/", "task/UPID",
        "task/UPID:", "firewall", "firewall/", "firewall/cluster/", "firewall/cluster/rules", "firewall/node/",
        "firewall/node/a/b", "firewall/vm/", "firewall/vm/101/x", "firewall/vm/0101", "firewall/qemu/101",
        "firewall/storage/x", "firewall/firewall/cluster", "all", "*",
    ])
    func `nothing else is a target`(text: String) {
        #expect(Target(text) == nil)
    }

    @Test func `a target knows the guest it names, itself or by its firewall`() throws {
        let guest = GuestRef(kind: .vm, id: try #require(VMID("101")))
        #expect(Target("vm/101")?.guest == guest)
        #expect(Target("firewall/vm/101")?.guest == guest)
        #expect(Target("lxc/101")?.guest == GuestRef(kind: .container, id: guest.id))
        for text in ["firewall/cluster", "firewall/node/pve1", "cluster", "nodes/all", "storage/local"] {
            #expect(Target(text) != nil)
            #expect(Target(text)?.guest == nil)
        }
    }
}
