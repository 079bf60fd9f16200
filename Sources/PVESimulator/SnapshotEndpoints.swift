import StrictJSON

let snapshotEndpoints: [Endpoint] = ["qemu", "lxc"].flatMap { word -> [Endpoint] in
    let list = "nodes/{node}/\(word)/{vmid}/snapshot"
    let one = list + "/{snapname}"
    return [
        .get(list, needs: "/vms/{vmid} VM.Audit") { world, call in .rows(try world.guest(call).snapshotRows) },
        .post(
            list, "description:str snapname!:configid(..40)" + (word == "qemu" ? " vmstate:bool" : ""),
            needs: "/vms/{vmid} VM.Snapshot"
        ) { world, call in try world.takeSnapshot(call) },
        .delete(one, "force:bool", needs: "/vms/{vmid} VM.Snapshot") { world, call in world.deleteSnapshot(call) },
        .get(one + "/config", needs: "/vms/{vmid} VM.Snapshot|VM.Snapshot.Rollback|VM.Audit") { world, call in
            let guest = try world.guest(call)
            return .object(try guest.snapshot(call.text("snapname")).fullConfig.json(of: guest.kind))
        },
        .change("PUT", one + "/config", "description:str", needs: "/vms/{vmid} VM.Snapshot") { world, call in
            let guest = try world.guest(call)
            if let text = guest.lockedText { throw Failure(text) }
            _ = try guest.snapshot(call.text("snapname"))
            world.change(call.vmid) { guest in
                for index in guest.snapshots.indices where guest.snapshots[index].name == call["snapname"] {
                    guest.snapshots[index].description = call.text("description")
                }
            }
        },
        .post(one + "/rollback", "start:bool", needs: "/vms/{vmid} VM.Snapshot|VM.Snapshot.Rollback") { world, call in
            world.rollBack(call)
        },
    ]
}

extension Guest {
    func snapshot(_ name: String) throws(Failure) -> Snapshot {
        guard let snapshot = snapshots.first(where: { $0.name == name }) else {
            throw Failure("snapshot '\(name)' does not exist")
        }
        return snapshot
    }

    mutating func takeSnapshot(_ name: String, _ description: String, at second: Int) {
        var saved = config.withoutUnused
        saved["parent"] = nil
        snapshots.append(
            Snapshot(name: name, description: description, time: second, parent: config["parent"], config: saved))
        config["parent"] = name
    }

    fileprivate var snapshotRows: [JSON] {
        let rows: [JSON] = snapshots.map { snapshot in
            [
                "description": .string(snapshot.description), "name": .string(snapshot.name),
                "parent": snapshot.parent.map { .string($0) }, "snaptime": JSON(snapshot.time),
                "vmstate": kind == .vm ? .some(0) : .none,
            ]
        }
        return rows + [
            [
                "description": "You are here!", "digest": .string(digest), "name": "current",
                "parent": config["parent"].map { .string($0) }, "running": power.isOn ? 1 : 0,
            ]
        ]
    }
}

extension Snapshot {
    /// The configuration as a section of the file holds it.
    var fullConfig: Config {
        var config = config
        config["description"] = description.isEmpty ? nil : description
        config["parent"] = parent
        config["snaptime"] = String(time)
        return config
    }
}

extension ClusterState {
    fileprivate mutating func takeSnapshot(_ call: EndpointCall) throws(Failure) -> Reply {
        let name = call.text("snapname")
        guard name != "current" else { throw Failure("unable to use snapshot name 'current' (reserved name)") }
        _ = try guest(call)
        return run("snapshot", call, exclusive: false) { world, log in
            let guest = try world.unlocked(call)
            if guest.snapshots.contains(where: { $0.name == name }) {
                throw Failure("snapshot name '\(name)' already used")
            }
            guard world.has("snapshot", guest) else { throw Failure("snapshot feature is not available") }
            world.lock(call.vmid, "snapshot")
            for (key, disk) in guest.disks { log.lines.append("snapshotting 'drive-\(key)' (\(disk.volume))") }
        } finish: { world, _ in
            let second = world.second
            world.change(call.vmid) { guest in
                guest.config["lock"] = nil
                guest.takeSnapshot(name, call.text("description"), at: second)
            }
        } release: { world in
            world.lock(call.vmid, nil)
        }
    }

    fileprivate mutating func deleteSnapshot(_ call: EndpointCall) -> Reply {
        let name = call.text("snapname")
        return run("delsnapshot", call, exclusive: false) { world, _ in
            _ = try world.unlocked(call).snapshot(name)
            world.lock(call.vmid, "snapshot-delete")
        } finish: { world, _ in
            world.change(call.vmid) { guest in
                guest.config["lock"] = nil
                let parent = guest.snapshots.first { $0.name == name }?.parent
                guest.snapshots.removeAll { $0.name == name }
                for index in guest.snapshots.indices where guest.snapshots[index].parent == name {
                    guest.snapshots[index].parent = parent
                }
                if guest.config["parent"] == name { guest.config["parent"] = parent }
            }
        } release: { world in
            world.lock(call.vmid, nil)
        }
    }

    fileprivate mutating func rollBack(_ call: EndpointCall) -> Reply {
        let name = call.text("snapname")
        return run("rollback", call, exclusive: false) { world, _ in
            _ = try world.unlocked(call).snapshot(name)
            world.switchOff(call.vmid)
            world.lock(call.vmid, "rollback")
        } finish: { world, log in
            let generation = world.random.uuid()
            world.change(call.vmid) { guest in
                guard let snapshot = guest.snapshots.first(where: { $0.name == name }) else { return }
                let kept = guest.config.sorted.filter { $0.key == "description" || $0.key.hasPrefix("unused") }
                guest.config = snapshot.config
                guest.config["description"] = nil
                for (key, value) in kept { guest.config[key] = value }
                guest.config["parent"] = name
                if guest.kind == .vm { guest.config["vmgenid"] = generation }
            }
            if call.flag("start") { world.startNow(call.vmid, by: call.caller, &log) }
        } release: { world in
            world.lock(call.vmid, nil)
        }
    }
}
