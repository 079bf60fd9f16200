/// What the agent inside a virtual machine does.
extension ActionCatalog {
    static let guestAgent: [ActionDefinition] = [
        .change(
            "agent_fstrim", "Let the guest agent give unused blocks of file systems back", on: [.vm], [node],
            risk: .medium,
            because: "uses the disks for a while",
            [CallTemplate(.post, "/nodes/{node}/qemu/{vmid}/agent/fstrim")], checks: [.running, .agentEnabled],
            changes: .none,
            needs: [Privilege("/vms/{vmid}", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.Unrestricted")]),
        .change(
            "agent_exec", "Let the guest agent run a command that the configuration allows", on: [.vm],
            [
                node,
                ParameterDefinition(
                    "command", .list(.text(.line(1024)), upTo: 64), required: true,
                    "the program and its arguments; must begin like one of the configured agent_exec_allow"),
                ParameterDefinition("input-data", .text(65_536), "what the command reads"),
            ], risk: .high, approval: true, because: "does anything that the command can do",
            [CallTemplate(.post, "/nodes/{node}/qemu/{vmid}/agent/exec")],
            checks: [.commandAllowed, .running, .agentEnabled], changes: .command,
            needs: [Privilege("/vms/{vmid}", "VM.GuestAgent.Unrestricted")]),
    ]
}
