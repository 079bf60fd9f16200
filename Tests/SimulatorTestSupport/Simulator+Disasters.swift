import Synchronization

@testable package import PVESimulator

/// Changes to nodes, storages and the cluster that tests make without the API.
extension Simulator {
    /// Makes these nodes, in this order, the cluster; without a cluster name there is no cluster. Guests stay on their
    /// nodes.
    package func setNodes(_ names: [String], cluster: String? = nil) {
        change { world in
            world.clusterName = cluster
            world.nodes = names.enumerated().map { index, name in
                let number = cluster == nil ? index : index + 1
                var node = Node(name: name, number: number, address: "192.0.2.\(10 + number)")
                node.fingerprint = world.nodes.first?.fingerprint ?? ""
                return node
            }
        }
    }

    /// Whether the nodes have a working name server; without one, they cannot tell that a node does not exist.
    package func setResolvesNames(_ resolves: Bool) { change { $0.resolvesNames = resolves } }

    /// Whether the kernel reports how long containers wait for resources (pressure stall information).
    package func setReportsPressure(_ reports: Bool) { change { $0.reportsPressure = reports } }

    /// A task without an API call: it was started on the node's command line.
    package func addTask(_ upid: String, exit: String) {
        let parts = upid.split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
        guard parts.count == 9, let pid = Int(parts[2], radix: 16), let pstart = Int(parts[3], radix: 16),
            let start = Int(parts[4], radix: 16)
        else { return }
        change { world in
            var task = SimulatedTask(
                upid: upid, node: parts[1], type: parts[5], id: parts[6], user: parts[7], pid: pid, pstart: pstart,
                start: start)
            task.log = ["TASK ERROR: \(exit)"]
            task.end = (world.second, exit)
            world.tasks.all[upid] = task
            world.tasks.order.append(upid)
        }
    }

    /// Puts a volume that no guest names on a storage: `local:iso/x.iso`.
    package func addVolume(_ id: String, content: String, bytes: Int = 1 << 20, vmid: Int? = nil) {
        change { world in
            let format = Disk(id)?.format ?? "raw"
            world.volumes.append(
                Volume(id: id, content: content, format: format, bytes: bytes, time: world.second, vmid: vmid))
        }
    }

    /// Removes all volumes that no guest names.
    package func removeVolumes() { change { $0.volumes = [] } }

    /// Defines a storage; without `type` it removes the definition.
    package func setStorage(_ id: String, type: String?, options: [String: String] = [:]) {
        change { world in
            world.storageFile[id] = type.map { StorageDefinition(id: id, type: $0, options: options) }
        }
    }

    /// The network bridges of a node; a guest whose bridge is missing does not start.
    package func setBridges(_ bridges: Set<String>, on node: String) {
        change { $0.changeNode(node) { $0.bridges = bridges } }
    }

    /// Sets the usage of a storage; `used` of at least `size` leaves no free space.
    package func setStorageUse(_ id: String, used: Int, of size: Int? = nil) {
        change { world in
            world.storageFile[id]?.used = used
            if let size { world.storageFile[id]?.size = size }
        }
    }

    /// Sets whether a storage can be reached.
    package func setStorageOnline(_ id: String, _ isOnline: Bool) {
        change { $0.storageFile[id]?.isOnline = isOnline }
    }

    /// Sets whether every access to a storage hangs. Figures that the nodes reported earlier stay known.
    package func setStorageHangs(_ id: String, _ hangs: Bool) {
        faultBook.state.withLock { state in
            if hangs { state.hangingStorages.insert(id) } else { state.hangingStorages.remove(id) }
        }
    }

    /// Sets whether a node is up. Requests to a node that is down are answered with 595. The first node serves the API.
    package func setNodeOnline(_ name: String, _ isOnline: Bool) {
        change { $0.changeNode(name) { ($0.isOnline, $0.returnsAt) = (isOnline, nil) } }
    }

    /// Sets whether the answering node has quorum; without it, the cluster's file system is read-only.
    package func setQuorate(_ isQuorate: Bool) { change { $0.isQuorate = isQuorate } }

    /// Sets whether a device that is not a node also has a vote.
    package func setQDevice(_ isThere: Bool) { change { $0.hasQDevice = isThere } }

    /// Gives the HA manager groups in place of rules, as PVE 8 has them: `nodes`, `restricted`, `nofailback`.
    package func setHAGroups(_ groups: [String: [String: String]]) { change { $0.haGroups = groups } }

    /// Puts a guest under the HA manager, or removes it with `nil`. The wanted state is `started` or `stopped`; the
    /// state that the manager reports is `started`, `error`, `fence`, `freeze` and the like.
    package func setHA(_ vmid: Int, wanted: String?, says: String? = nil) {
        change { world in
            guard let guest = world.guests[vmid] else { return }
            world.haResources[guest.haID] = wanted.map { HAResource(wanted: $0, says: says ?? $0) }
            world.change(vmid) { $0.haState = wanted.map { says ?? $0 } }
        }
    }

    /// Writes a replication job into its file, even one that the API would refuse.
    package func addReplication(_ id: String, _ options: [String: String]) {
        change { $0.replications[id] = ReplicationJob(options: options) }
    }

    /// Takes a snapshot without a task.
    package func addSnapshot(_ name: String, of vmid: Int) {
        change { world in
            let second = world.second
            world.change(vmid) { $0.takeSnapshot(name, "", at: second) }
        }
    }

    /// Puts a guest into a pool, and creates the pool if needed; `nil` removes the guest from its pool.
    package func setPool(_ vmid: Int, _ pool: String?) {
        change { world in
            if let pool, world.pools[pool] == nil { world.pools[pool] = Pool(comment: nil) }
            world.change(vmid) { $0.pool = pool }
        }
    }

    /// Saves a backup of a guest on a storage without a task, and returns the name of its volume.
    @discardableResult
    package func addBackup(of vmid: Int, on storage: String) -> String? {
        change { world in
            guard let guest = world.guests[vmid], let storage = world.storage(storage) else { return nil }
            let endpoint = Endpoint.get("") { (_, _) throws(Failure) in .null }
            let call = EndpointCall(
                endpoint: endpoint, caller: Caller(user: "root@pam"), values: ["compress": "zstd"])
            return world.addBackup(of: guest, to: storage, call)
        }
    }

    /// Sets the file at a URL: its size, and its checksums in hexadecimal by the name of the algorithm.
    package func setDownload(_ url: String, bytes: Int, checksums: [String: String] = [:]) {
        change { $0.downloads[url] = Download(bytes: bytes, checksums: checksums) }
    }

    /// Sets the result of a command inside a guest, by the command's first word; with a signal there is no exit code.
    package func setCommand(
        _ word: String, exits code: Int, output: String = "", errorOutput: String = "", signal: Int? = nil,
        after duration: Duration = .zero
    ) {
        change {
            $0.commandResults[word] = CommandResult(
                code: code, signal: signal, output: output, errorOutput: errorOutput, duration: duration)
        }
    }

    /// Sets the file systems inside a guest, and the reason why each cannot be trimmed; `nil` for those that can.
    package func setTrims(_ vmid: Int, _ paths: [String: String?]) { change { $0.trims[vmid] = paths } }

    /// The commands that were run inside a guest, oldest first.
    package func commands(in vmid: Int) -> [[String]] {
        change { world in world.commands.filter { $0.vmid == vmid }.map(\.words) }
    }

    /// The volumes that no guest's configuration names: images, templates, backups.
    package var volumes: [String] { change { $0.volumes.map(\.id) } }
}
