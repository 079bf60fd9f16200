/// Firewalls and pools.
extension ActionCatalog {
    static let network: [ActionDefinition] = [
        .change(
            "firewall_edit", "Change firewall rules, options, aliases, IP sets or groups",
            on: [.firewallCluster, .firewallNode, .firewallVM, .firewallContainer], endpoint, risk: .high,
            approval: true, because: "can cut machines off or lay them open", [], endpoint: true, object: .call,
            checks: [.objectFits], changes: .object, needs: [])
    ]
}
