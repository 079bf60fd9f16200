import StrictJSON

private let one = "nodes/{node}/services/{service}"

/// The services of a node, and starting and stopping them.
let serviceEndpoints: [Endpoint] =
    [
        .get("nodes/{node}/services", needs: "/nodes/{node} Sys.Audit") { world, call in
            .rows(ParameterType.services.map { world.serviceRow($0, on: call.node) })
        },
        .get(one + "/state", needs: "/nodes/{node} Sys.Audit") { world, call in
            .data(world.serviceRow(call.text("service"), on: call.node))
        },
    ]
    + ["start", "stop", "restart", "reload"].map { verb in
        .post(one + "/\(verb)", needs: "/nodes/{node} Sys.Modify") { world, call in
            let service = call.text("service")
            return world.run(type: "srv\(verb)", id: service, call) { world, _ in
                if verb == "stop", ["pveproxy", "pvedaemon", "pve-cluster"].contains(service) {
                    throw Failure("invalid service cmd '\(service) \(verb)': refusing to stop essential service!")
                }
                world.setService(service, on: call.node, isRunning: verb != "stop")
            }
        }
    }

extension ClusterState {
    private func isRunning(_ service: String, on node: String) -> Bool {
        if service == "corosync", clusterName == nil { return false }
        return self.node(node)?.stoppedServices.contains(service) != true
    }

    fileprivate func serviceRow(_ service: String, on node: String) -> JSON {
        let isRunning = isRunning(service, on: node)
        return [
            "active-state": isRunning ? "active" : "inactive", "desc": .string("\(service) service"),
            "name": .string(service), "service": .string(service), "state": isRunning ? "running" : "dead",
            "unit-state": "enabled",
        ]
    }

    fileprivate mutating func setService(_ service: String, on name: String, isRunning: Bool) {
        for index in nodes.indices where nodes[index].name == name {
            if isRunning {
                nodes[index].stoppedServices.remove(service)
            } else {
                nodes[index].stoppedServices.insert(service)
            }
        }
    }
}
