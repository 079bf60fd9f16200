import StrictJSON

private let changes = "allow-move:bool comment:str delete:bool storage:storage-id-list vms:vmid-list"

let poolEndpoints: [Endpoint] =
    [
        .get("pools", "poolid:poolid type:enum(qemu|lxc|storage)^poolid") { world, call in
            if let id = call["poolid"] { return .rows([.object(try world.poolRow(id, call))]) }
            return .rows(
                world.pools.sorted { $0.key < $1.key }.filter { call.caller.may("Pool.Audit", on: "/pool/\($0.key)") }
                    .map { ["comment": $0.value.comment.map { .string($0) }, "poolid": .string($0.key)] })
        },
        .get("pools/{poolid}", "type:enum(qemu|lxc|storage)", needs: "/pool/{poolid} Pool.Audit") { world, call in
            .object(try world.poolRow(call.text("poolid"), call))
        },
        .change("POST", "pools", "comment:str poolid!:poolid", needs: "/pool/{poolid} Pool.Allocate") { world, call in
            let id = call.text("poolid")
            guard world.pools[id] == nil else { throw Failure("create pool failed: pool '\(id)' already exists") }
            if let parent = id.split(separator: "/").dropLast().first.map({ String($0) }), world.pools[parent] == nil {
                throw Failure("create pool failed: parent '\(parent)' of pool '\(id)' does not exist")
            }
            world.pools[id] = Pool(comment: call["comment"])
        },
    ]  // The older form names the pool in a parameter.
    + [("pools", " poolid!:poolid"), ("pools/{poolid}", "")].flatMap { path, name -> [Endpoint] in
        [
            .change("PUT", path, changes + name, needs: "/pool/{poolid} Pool.Allocate") { world, call in
                try world.changePool(call)
            },
            .change("DELETE", path, name, needs: "/pool/{poolid} Pool.Allocate") { world, call in
                try world.deletePool(call)
            },
        ]
    }

extension ClusterState {
    fileprivate func poolRow(_ id: String, _ call: EndpointCall) throws(Failure) -> JSONObject {
        guard let pool = pools[id] else { throw Failure("pool '\(id)' does not exist") }
        var members = sortedGuests.filter { $0.pool == id }.map { JSON.object(resource($0)) }
        if let node = nodes.first {
            members += storages.filter { pool.storages.contains($0.id) }.map { .object(storageRow($0, on: node)) }
        }
        let shown = members.filter { call["type"] == nil || $0["type"]?.string == call["type"] }
        return ["comment": pool.comment.map { .string($0) }, "members": .array(shown), "poolid": .string(id)]
    }

    fileprivate mutating func changePool(_ call: EndpointCall) throws(Failure) {
        let id = call.text("poolid")
        guard pools[id] != nil else { throw Failure("update pools failed: pool '\(id)' does not exist") }
        if let comment = call["comment"] { pools[id]?.comment = comment }
        for vmid in Format.list(call.text("vms")).compactMap({ Int($0) }) {
            let current = guests[vmid]?.pool
            if call.flag("delete") {
                guard current == id else { throw Failure("update pools failed: VM \(vmid) is not a pool member") }
            } else if let current, current != id, !call.flag("allow-move") {
                throw Failure("update pools failed: VM \(vmid) belongs to pool '\(current)' already")
            }
            change(vmid) { $0.pool = call.flag("delete") ? nil : id }
        }
        for storage in Format.list(call.text("storage")) {
            if call.flag("delete") { pools[id]?.storages.remove(storage) } else { pools[id]?.storages.insert(storage) }
        }
    }

    fileprivate mutating func deletePool(_ call: EndpointCall) throws(Failure) {
        let id = call.text("poolid")
        guard let pool = pools[id] else { throw Failure("delete pool failed: pool '\(id)' does not exist") }
        if let child = pools.keys.sorted().first(where: { $0.hasPrefix(id + "/") }) {
            throw Failure("delete pool failed: pool '\(id)' is not empty (contains pool '\(child)')")
        }
        if let guest = sortedGuests.first(where: { $0.pool == id }) {
            throw Failure("delete pool failed: pool '\(id)' is not empty (contains VM \(guest.vmid))")
        }
        if let storage = pool.storages.sorted().first {
            throw Failure("delete pool failed: pool '\(id)' is not empty (contains storage '\(storage)')")
        }
        pools[id] = nil
    }
}
