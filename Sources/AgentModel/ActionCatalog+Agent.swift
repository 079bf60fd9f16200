import StrictJSON

/// What the agent inside a virtual machine does.
extension ActionCatalog {
    /// PVE 8 has one privilege for all of it.
    static let monitors = Privilege("/vms/{vmid}", "VM.Monitor", when: .on(.vm), version: 8)

    static let guestAgent: [ActionDefinition] = [
        .change(
            "agent_fstrim", "Let the guest agent give unused blocks of file systems back", on: [.vm], [node],
            risk: .medium, approval: false,
            because: "uses the disks for a while",
            [CallTemplate(.post, "/nodes/{node}/qemu/{vmid}/agent/fstrim", tasks: [], quorum: nil)],
            checks: [.running, .agentEnabled],
            changes: .none,
            needs: [
                Privilege("/vms/{vmid}", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.Unrestricted", version: 9),
                monitors,
            ], answer: .fileSystems),
        .change(
            "agent_exec", "Let the guest agent run a command that the configuration allows", on: [.vm],
            [
                node,
                ParameterDefinition(
                    "command", .list(.text(.line(1024)), upTo: 64), required: true, encoding: .repeated,
                    "the program and its arguments; must begin like one of the configured agent_exec_allow"),
                ParameterDefinition("input-data", .text(65_536), "what the command reads"),
            ], risk: .high, approval: true, because: "does anything that the command can do",
            [CallTemplate(.post, "/nodes/{node}/qemu/{vmid}/agent/exec", tasks: [], quorum: nil)],
            checks: [.commandAllowed, .running, .agentEnabled], changes: .command,
            needs: [Privilege("/vms/{vmid}", "VM.GuestAgent.Unrestricted", version: 9), monitors],
            answer: .process,
            examples: [["command": ["uptime"]]]),
    ]
}
