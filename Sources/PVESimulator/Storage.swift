import StrictJSON

/// A storage as `storage.cfg` defines it.
struct StorageDefinition: ConfigObject {
    var id = ""
    var type = ""
    var options: [String: String] = [:]
    /// The total and the used bytes.
    var size = 2 << 40
    var used = 700 << 30
    /// Whether it can be reached.
    var isOnline = true

    static let fileTypes: Set<String> = ["dir", "nfs", "cifs", "cephfs", "btrfs"]
    static let networkTypes: Set<String> = [
        "nfs", "cifs", "cephfs", "rbd", "iscsi", "iscsidirect", "zfs", "pbs", "esxi",
    ]

    /// Whether volumes are files with a format of their own.
    var holdsFiles: Bool { Self.fileTypes.contains(type) }
    var isShared: Bool { Self.networkTypes.contains(type) || options["shared"] == "1" }
    var isEnabled: Bool { options["disable"] != "1" }
    var isActive: Bool { isEnabled && isOnline }
    var isFull: Bool { used >= size }
    var contents: [String] { Format.list(options["content"] ?? "images,rootdir") }
    var contentText: String { contents.joined(separator: ",") }

    func folder(of vmid: Int) -> String { holdsFiles ? "\(vmid)/" : "" }
    func isOn(_ node: String) -> Bool { options["nodes"].map { Format.list($0).contains(node) } ?? true }
    func takesSnapshots(of disk: Disk) -> Bool {
        holdsFiles ? disk.format == "qcow2" : ["lvmthin", "zfspool", "rbd", "zfs"].contains(type)
    }
    func takesLinkedClones(of disk: Disk, kind: Guest.Kind) -> Bool {
        holdsFiles ? kind == .vm : ["lvmthin", "zfspool", "rbd", "zfs"].contains(type)
    }
    func isVisible(to caller: Caller) -> Bool {
        caller.may(["Datastore.Audit", "Datastore.AllocateSpace"], on: "/storage/\(id)")
    }
}

/// A volume that no guest's configuration names.
struct Volume: Sendable {
    var id: String
    var content: String
    var format: String
    var bytes: Int
    var time: Int
    var vmid: Int?
    var notes: String?
    var isProtected = false
    /// Only for a backup.
    var archive: Archive?

    var storage: String { String(id.prefix { $0 != ":" }) }
}

extension ClusterState {
    func storage(_ id: String) -> StorageDefinition? { storageFile[id] }

    func definition(_ id: String) throws(Failure) -> StorageDefinition {
        guard let storage = storage(id) else { throw Failure("storage '\(id)' does not exist") }
        return storage
    }

    /// Why no volume can be created on a storage of a node, or `nil`: for a guest of `kind`, or without a guest.
    func obstacle(to id: String, on node: String, for kind: Guest.Kind?) -> String? {
        guard let storage = storage(id) else { return "storage '\(id)' does not exist" }
        guard storage.isEnabled else { return "storage '\(id)' is disabled" }
        guard storage.isOn(node) else { return "storage '\(id)' is not available on node '\(node)'" }
        guard storage.isOnline else { return "storage '\(id)' is not online" }
        switch kind {
        case .vm where !storage.contents.contains("images"): return "storage '\(id)' does not support vm images"
        case .container where !storage.contents.contains("rootdir"):
            return "storage '\(id)' does not support container directories"
        default: break
        }
        return storage.isFull ? "unable to create image: No space left on device" : nil
    }

    /// A storage as its node reports it.
    func storageStatus(_ storage: StorageDefinition) -> JSONObject {
        let isActive = storage.isActive
        return [
            "active": isActive ? 1 : 0, "avail": JSON(isActive ? max(0, storage.size - storage.used) : 0),
            "content": .string(storage.contentText), "enabled": storage.isEnabled ? 1 : 0,
            "shared": storage.isShared ? 1 : 0, "total": JSON(isActive ? storage.size : 0),
            "type": .string(storage.type), "used": JSON(isActive ? storage.used : 0),
        ]
    }

    /// The content of a storage, as seen from `node`.
    func contents(of storage: StorageDefinition, on node: String) -> [JSONObject] {
        var rows = volumes.filter { $0.storage == storage.id }.map(row)
        for guest in sortedGuests where guest.node == node || storage.isShared {
            for (_, disk) in guest.disks where disk.storage == storage.id {
                let base = disk.volume.split(separator: "/").count > 3 ? disk.path.split(separator: "/").prefix(2) : []
                rows.append([
                    "content": guest.kind == .vm ? "images" : "rootdir", "ctime": JSON(1_750_000_000),
                    "format": .string(disk.format),
                    "parent": base.isEmpty ? .null : .string("../" + base.joined(separator: "/")),
                    "size": JSON(disk.bytes), "used": JSON(disk.bytes / 3), "vmid": JSON(guest.vmid),
                    "volid": .string(disk.volume),
                ])
            }
        }
        return rows
    }

    private func row(_ volume: Volume) -> JSONObject {
        var row: JSONObject = [
            "content": .string(volume.content), "ctime": JSON(volume.time), "format": .string(volume.format),
            "size": JSON(volume.bytes), "volid": .string(volume.id),
        ]
        row["vmid"] = volume.vmid.map { JSON($0) }
        row["notes"] = volume.notes.map { .string($0) }
        if volume.isProtected { row["protected"] = 1 }
        if volume.content == "backup" { row["subtype"] = .string(volume.backupKind) }
        if volume.content == "images" {
            row["parent"] = .null
            row["used"] = JSON(volume.bytes / 3)
        }
        return row
    }
}

/// Names and records volumes.
extension ClusterState {
    /// An unused name for a new volume of `vmid`.
    mutating func newVolume(on storage: String, for vmid: Int, format: String, besides guest: Guest) -> String {
        let definition = self.storage(storage)
        let used =
            guest.config.fileText + guest.snapshots.map(\.config.fileText).joined()
            + volumes.filter { $0.vmid == vmid }.map(\.id).joined(separator: "\n")
        let number = (0...).first {
            !used.contains("\(storage):\(definition?.folder(of: vmid) ?? "")vm-\(vmid)-disk-\($0)")
        }
        let name = "vm-\(vmid)-disk-\(number ?? 0)"
        guard let definition, definition.holdsFiles else { return "\(storage):\(name)" }
        return "\(storage):\(vmid)/\(name).\(format)"
    }
}

extension Guest {
    /// Records a volume that belongs to the guest but is not attached.
    mutating func addUnused(_ volume: String, size: String? = nil) {
        detachedSizes[volume] = size
        let free = (0...).first { config["unused\($0)"] == nil } ?? 0
        config["unused\(free)"] = volume
    }
}
