/// Starting and stopping.
extension ActionCatalog {
    private static let timeout = ParameterDefinition(
        "timeout", .integer(0...86_400), "seconds PVE waits before it gives up")
    private static let mayPower = [Privilege("/vms/{vmid}", "VM.PowerMgmt")]

    static func power(_ kind: GuestKind) -> [ActionDefinition] {
        let isVM = kind == .vm
        let waiting = isVM ? [node, timeout] : [node]
        return [
            .change(
                "start_\(kind.suffix)", "Start a \(kind.noun)", on: [kind.form], waiting, risk: .medium,
                because: "uses resources, interrupts nothing",
                [
                    CallTemplate(
                        .post, "\(kind.path)/status/start", tasks: kind.tasks("start", ha: "start"), id: "{vmid}")
                ],
                // A start is how PVE wakes a machine that was put to sleep on disk.
                checks: [.unlocked(except: isVM ? ["suspended"] : []), .notTemplate, .notRunningYet],
                changes: .status("running"), undo: .action("stop_\(kind.suffix)"), needs: mayPower),
            .change(
                "stop_\(kind.suffix)", "Stop a \(kind.noun) at once, as if its plug were pulled", on: [kind.form],
                waiting, risk: .medium, approval: true,
                because: "interrupts what the machine does; unsaved data is lost",
                [CallTemplate(.post, "\(kind.path)/status/stop", tasks: kind.tasks("stop", ha: "stop"), id: "{vmid}")],
                checks: [.unlocked(), .notStoppedYet], changes: .status("stopped"),
                undo: .action("start_\(kind.suffix)"), needs: mayPower),
        ]
    }
}
