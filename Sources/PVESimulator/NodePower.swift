/// Nodes going down and coming back.
extension ClusterState {
    /// Whether requests for `name` would have to go to a node that is down.
    func isUnreachable(_ name: String) -> Bool { name != nodes.first?.name && node(name)?.isOnline == false }

    /// Stops all guests of a node and the node with them. The first node is the one that answers: it goes on answering.
    mutating func switchOffNode(_ name: String, returns: Bool) {
        for guest in sortedGuests where guest.node == name && guest.power.isOn { switchOff(guest.vmid) }
        guard let index = nodes.firstIndex(where: { $0.name == name }) else { return }
        nodes[index].isOnline = index == 0
        nodes[index].uptime = 0
        nodes[index].returnsAt = returns ? now + taskDuration : nil
        bringBackNodes()
    }

    /// Starts a node; it starts the guests that are to start with it.
    mutating func switchOnNode(_ name: String) {
        guard let index = nodes.firstIndex(where: { $0.name == name }) else { return }
        nodes[index].isOnline = true
        nodes[index].returnsAt = nil
        for guest in sortedGuests where guest.node == name && guest.config["onboot"] == "1" && !guest.power.isOn {
            switchOn(guest.vmid)
        }
    }

    /// Lets nodes whose reboot is over come back.
    mutating func bringBackNodes() {
        for node in nodes where node.returnsAt.map({ $0 <= now }) == true { switchOnNode(node.name) }
    }
}
