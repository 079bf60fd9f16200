import StrictJSON

/// Snapshots of guests.
extension ActionCatalog {
    private static let guests: [TargetForm] = [.vm, .container]
    private static let snapname = ParameterDefinition(
        "snapname", .text(.snapshot), required: true, "the snapshot's name")

    /// The same call for both kinds of guest, with the tasks of each.
    static func both(
        _ method: CallMethod, _ rest: String, task verb: String, expectedDrift: [String] = []
    ) -> [CallTemplate] {
        GuestKind.allCases.map { kind in
            CallTemplate(
                method, kind.path + rest, when: .on(kind.form), tasks: kind.tasks(verb), id: "{vmid}",
                expectedDrift: expectedDrift)
        }
    }

    static func snapshot(_ kind: GuestKind) -> ActionDefinition {
        .change(
            "snapshot_\(kind.suffix)", "Take a snapshot of a \(kind.noun)", on: [kind.form],
            [node, snapname, ParameterDefinition("description", .text(8192), "a note kept with the snapshot")]
                + (kind == .vm ? [ParameterDefinition("vmstate", .boolean, "save the memory too")] : []),
            risk: .medium, approval: false, because: "uses storage, interrupts little",
            [
                CallTemplate(
                    .post, "\(kind.path)/snapshot", tasks: kind.tasks("snapshot"), id: "{vmid}",
                    expectedDrift: ["digest"])
            ], checks: [.unlocked(), .snapshotIsNew("snapname"), .snapshotsPossible],
            changes: .snapshot("snapname", true), undo: .action("delete_snapshot", [.same("snapname")]),
            needs: [Privilege("/vms/{vmid}", "VM.Snapshot")],
            examples: [["snapname": "before"]])
    }

    static let snapshots: [ActionDefinition] =
        GuestKind.allCases.map(snapshot) + [
            .change(
                "rollback_snapshot", "Put a guest back to a snapshot", on: guests,
                [node, snapname, ParameterDefinition("start", .boolean, "start it afterwards")], risk: .high,
                approval: true, because: "interrupts the guest and discards what it did since the snapshot",
                both(.post, "/snapshot/{snapname}/rollback", task: "rollback"),
                checks: [.unlocked(), .snapshotExists("snapname")], changes: .rollback,
                needs: [Privilege("/vms/{vmid}", "VM.Snapshot", "VM.Snapshot.Rollback")], safety: true,
                runs: .flag("start"), also: [Equivalent("stop_*")],
                examples: [["snapname": "before"]]),
            .change(
                "delete_snapshot", "Delete a snapshot of a guest", on: guests,
                [node, snapname, ParameterDefinition("force", .boolean, "forget it even where its disks cannot be")],
                risk: .high, approval: true, because: "destroys a way back",
                both(.delete, "/snapshot/{snapname}", task: "delsnapshot"),
                checks: [.unlocked(), .snapshotExists("snapname")], changes: .snapshot("snapname", false),
                needs: [Privilege("/vms/{vmid}", "VM.Snapshot")], safety: true,
                examples: [["snapname": "before"]]),
        ]
}
