/// Starting and stopping.
extension ActionCatalog {
    private static let timeout = ParameterDefinition(
        "timeout", .integer(0...86_400), "seconds PVE waits before it gives up")
    private static let mayPower = [Privilege("/vms/{vmid}", "VM.PowerMgmt")]
    private static let interrupts = "interrupts what runs in it"

    static func power(_ kind: GuestKind) -> [ActionDefinition] {
        let isVM = kind == .vm
        let waiting = isVM ? [node, timeout] : [node]
        let overrule = ParameterDefinition("overrule-shutdown", .boolean, "end a shutdown that is under way")
        return [
            change(
                "start", "Start a \(kind.noun)", kind, waiting, approval: false,
                because: "uses resources, interrupts nothing",
                ha: "start", quorum: .always,
                // PVE wakes a machine that sleeps on disk by starting it.
                checks: [.unlocked(except: isVM ? ["suspended"] : []), .notTemplate, .notRunningYet],
                .status("running"),
                undo: .action("stop_\(kind.suffix)", asleep: isVM ? "suspend_vm" : nil)),
            change(
                "stop", "Stop a \(kind.noun) at once, as if its plug were pulled", kind, waiting + [overrule],
                approval: true, because: "interrupts what the machine does; unsaved data is lost", ha: "stop",
                checks: [.unlocked(), .notStoppedYet], .status("stopped"), undo: .action("start_\(kind.suffix)")),
            change(
                "shutdown", "Ask the system in a \(kind.noun) to shut down", kind,
                [node, timeout, ParameterDefinition("forceStop", .boolean, "stop it if it does not in time")],
                approval: true, because: interrupts, ha: "stop", checks: [.unlocked(), .notStoppedYet, .notPaused],
                .status("stopped"), undo: .action("start_\(kind.suffix)"),
                also: [Equivalent("stop_*", when: .flag("forceStop"))], canBeOverruled: true),
            change(
                "reboot", "Shut a \(kind.noun) down and start it again, with pending changes", kind, [node, timeout],
                approval: true, because: interrupts, quorum: .always, checks: [.unlocked(), .running, .notPaused],
                .restarted,
                runs: .always, also: [Equivalent("shutdown_*", "start_*")]),
            suspend(kind),
            change(
                "resume", "Let a paused \(kind.noun) go on", kind, [node], approval: false,
                because: "uses resources, interrupts nothing",
                checks: [.unlocked(except: isVM ? ["suspended"] : []), .paused], .resumed,
                undo: .action("suspend_\(kind.suffix)", asleep: isVM ? "suspend_vm" : nil)),
        ]
            + (isVM
                ? [
                    change(
                        "reset", "Reset a virtual machine, as its button would", kind, [node], approval: true,
                        because: "interrupts what the machine does; unsaved data is lost",
                        checks: [.unlocked(), .running], .restarted, also: [Equivalent("stop_*", "start_*")])
                ] : [])
    }

    private static func change(
        _ verb: String, _ summary: String, _ kind: GuestKind, _ parameters: [ParameterDefinition],
        approval: Bool, because reason: String, ha: String? = nil, quorum: Condition? = nil, checks: [CheckKind],
        _ changes: ChangeRule,
        undo: UndoRule = .none, runs: Condition? = nil, also equivalents: [Equivalent] = [],
        canBeOverruled: Bool = false
    ) -> ActionDefinition {
        .change(
            "\(verb)_\(kind.suffix)", summary, on: [kind.form], parameters, risk: .medium, approval: approval,
            because: reason,
            [
                CallTemplate(
                    .post, "\(kind.path)/status/\(verb)", tasks: kind.tasks(verb, ha: ha), id: "{vmid}",
                    quorum: quorum)
            ],
            checks: checks, changes: changes, undo: undo, needs: mayPower, runs: runs, also: equivalents,
            canBeOverruled: canBeOverruled)
    }

    private static func suspend(_ kind: GuestKind) -> ActionDefinition {
        let isVM = kind == .vm
        return .change(
            "suspend_\(kind.suffix)", "Pause a \(kind.noun)\(isVM ? ", or put it to sleep on disk" : "")",
            on: [kind.form],
            [node]
                + (isVM
                    ? [
                        ParameterDefinition("todisk", .boolean, "save its memory and stop it"),
                        ParameterDefinition(
                            "statestorage", .text(.storage), when: .with("todisk"), "storage for the memory"),
                    ] : []),
            risk: .medium, approval: true, because: interrupts,
            [
                CallTemplate(
                    .post, "\(kind.path)/status/suspend", tasks: isVM ? ["qmpause", "qmsuspend"] : ["vzsuspend"],
                    id: "{vmid}", quorum: .flag("todisk"))
            ], checks: [.unlocked(), .running], changes: .suspended, undo: .action("resume_\(kind.suffix)"),
            needs: mayPower,
            also: [Equivalent("stop_*", when: .flag("todisk"))])
    }
}
