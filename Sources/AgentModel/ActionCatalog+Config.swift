import StrictJSON

/// Configuration of guests.
extension ActionCatalog {
    static func configuration(_ kind: GuestKind) -> [ActionDefinition] {
        [configure(kind), tag(kind)] + (kind == .vm ? [cloudInitAction, revert] : [])
    }

    static let removals = ParameterDefinition(
        "delete", .list(.text(.configKey), upTo: 64), "keys that go back to their defaults, or go away")

    static func mayConfigure(_ kind: GuestKind) -> [Privilege] {
        [
            kind == .vm
                ? Privilege(
                    "/vms/{vmid}", "VM.Config.Disk", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Memory",
                    "VM.Config.Network", "VM.Config.HWType", "VM.Config.Options", "VM.Config.Cloudinit", "VM.PowerMgmt")
                : Privilege(
                    "/vms/{vmid}", "VM.Config.Disk", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network",
                    "VM.Config.Options", "VM.Allocate")
        ]
    }

    /// The call that changes the configuration: a task for machines, done at once for containers.
    static func config(
        _ kind: GuestKind, when: Condition = .always, fixed: KeyValuePairs<String, String> = [:],
        forwards: [String]? = nil, renames: [String: String] = [:], computed: [CallTemplate.Computed] = []
    ) -> CallTemplate {
        CallTemplate(
            kind == .vm ? .post : .put, "\(kind.path)/config", when: when.and(.on(kind.form)),
            tasks: kind == .vm ? ["qmconfig"] : [], id: kind == .vm ? "{vmid}" : nil, fixed: fixed, forwards: forwards,
            renames: renames, computed: computed, digest: true, expectedDrift: ["digest"])
    }

    private static func configure(_ kind: GuestKind) -> ActionDefinition {
        .change(
            "configure_\(kind.suffix)", "Change the configuration of a \(kind.noun)", on: [kind.form],
            [node] + keys(of: kind) + [removals]
                + (kind == .vm
                    ? [
                        ParameterDefinition(
                            "force", .boolean, when: .with("delete"), "destroy deleted disks instead of keeping them")
                    ] : []),
            rules: [.atLeastOne(keys(of: kind).map(\.name) + ["delete"]), .notSetAndListed("delete")],
            risk: .medium, approval: false, because: "changes a guest, perhaps not before it is started again",
            escalations: [
                touchesHost, touchesIdentity, touchesDisks(kind), touchesDevices, touchesProtection, touchesFirewall,
            ] + (kind == .vm ? [touchesAccess, touchesHostDevice] : [touchesConsole]), [config(kind)],
            checks: [.unlocked(), .keysExist("delete"), .diskStorages, .hotplug], changes: .config, undo: .config,
            needs: mayConfigure(kind), safety: true, also: configureEquivalents(kind),
            examples: [["memory": 2048]])
    }

    /// Other actions that a change of the configuration amounts to.
    private static func configureEquivalents(_ kind: GuestKind) -> [Equivalent] {
        let gone = Condition.lists("delete", disks(of: kind) + ["unused[n]"])
        return [
            Equivalent("tag_*", when: .anyOf(.with("tags"), .lists("delete", ["tags"]))),
            Equivalent("cloud_init_vm", when: .any(cloudInit.map(\.name))),
            Equivalent("attach_disk", "detach_disk", when: .any(disks(of: kind))),
            Equivalent("detach_disk", when: gone),
            Equivalent("delete_volume", "delete_*", when: .flag("force").and(gone)),
        ]
    }

    private static func tag(_ kind: GuestKind) -> ActionDefinition {
        .change(
            "tag_\(kind.suffix)", "Add tags to a \(kind.noun), or remove some", on: [kind.form],
            [
                node, ParameterDefinition("add", .list(.text(.tag), upTo: 32), agentOnly: true, "tags that it gets"),
                ParameterDefinition("remove", .list(.text(.tag), upTo: 32), agentOnly: true, "tags that it loses"),
            ], rules: [.atLeastOne(["add", "remove"]), .disjoint("add", "remove")], risk: .medium, approval: false,
            because: "interrupts nothing; policies and scripts may go by tags",
            [config(kind, forwards: [], computed: [.tags])], checks: [.unlocked()], changes: .config, undo: .tags,
            needs: mayConfigure(kind), also: [Equivalent("configure_*")],
            examples: [["add": ["prod"]]])
    }

    private static var cloudInitAction: ActionDefinition {
        let given = cloudInit.map(\.name) + ["nameserver", "searchdomain"]
        return .change(
            "cloud_init_vm", "Change what cloud-init tells a virtual machine, and write it out anew", on: [.vm],
            [node] + machineKeys.filter { given.contains($0.name) } + [
                ParameterDefinition(
                    "delete", .list(.text(.cloudInitKey), upTo: 64), "keys that go back to their defaults")
            ], rules: [.notSetAndListed("delete")], risk: .medium, approval: false,
            because: "changes users and addresses at the next start",
            escalations: [
                RiskEscalation(
                    "touches-access", ["ciuser", "cipassword", "sshkeys", "delete"],
                    because: "decides who can get into the machine")
            ],
            [
                config(.vm, when: .any(given + ["delete"])),
                CallTemplate(.put, "/nodes/{node}/qemu/{vmid}/cloudinit", tasks: [], forwards: []),
            ], checks: [.unlocked()], changes: .config, undo: .config,
            needs: [Privilege("/vms/{vmid}", "VM.Config.Cloudinit", "VM.Config.Network")],
            also: [Equivalent("configure_*")])
    }

    private static var revert: ActionDefinition {
        .change(
            "revert_pending_vm", "Take back changes that wait for the next start of a virtual machine", on: [.vm],
            [
                node,
                ParameterDefinition(
                    "keys", .list(.text(.configKey), upTo: 64), required: true, "keys whose pending change goes"),
            ], risk: .medium, approval: false, because: "keeps what is; interrupts nothing",
            [config(.vm, renames: ["keys": "revert"])], checks: [.unlocked(), .keysPending("keys")], changes: .pending,
            undo: .pending, needs: mayConfigure(.vm), also: [Equivalent("configure_*")],
            examples: [["keys": ["memory"]]])
    }
}
