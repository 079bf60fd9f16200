/// Storage definitions and what is kept on them.
extension ActionCatalog {
    /// One PVE call in its own terms, as long as it stays below the target.
    static let endpoint = [
        ParameterDefinition(
            "endpoint", .text(.text(512)), required: true, isOwn: true, "PVE path under the target, unencoded"),
        ParameterDefinition("method", .choice(["POST", "PUT", "DELETE"]), required: true, isOwn: true, "HTTP method"),
        ParameterDefinition("params", .object, isOwn: true, "the endpoint's own parameters"),
    ]

    static let storage: [ActionDefinition] = [
        .change(
            "storage_edit", "Add, change or remove a storage definition", on: [.storage], endpoint, risk: .high,
            approval: true, because: "guests and backups depend on storage", [], endpoint: true, object: .call,
            checks: [.objectFits], changes: .object, needs: [Privilege("/storage", "Datastore.Allocate")])
    ]
}
