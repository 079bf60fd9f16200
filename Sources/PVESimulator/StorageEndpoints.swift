import StrictJSON

private let types = "btrfs|cephfs|cifs|dir|esxi|iscsi|iscsidirect|lvm|lvmthin|nfs|pbs|rbd|zfs|zfspool"

/// Options that can be set at creation and later.
private let mutable = """
    blocksize:str bwlimit:bwlimits comstar_hg:str comstar_tg:str content:content-list content-dirs:str
    create-base-path:bool create-subdirs:bool data-pool:str disable:bool domain:str(..256) encryption-key:str
    fingerprint:fingerprint format:enum(raw|qcow2|subvol|vmdk) fs-name:configid fuse:bool is_mountpoint:str keyring:str
    krbd:bool lio_tpg:str master-pubkey:str max-protected-backups:int(-1..) mkdir:bool monhost:str mountpoint:storage-path
    namespace:str nocow:bool nodes:node-list nowritecache:bool options:str password:str(..256) pool:str
    port:int(1..65535) preallocation:enum(off|metadata|falloc|full) prune-backups:prune saferemove:bool
    saferemove-stepsize:intenum(1|2|4|8|16|32) saferemove_throughput:str server:str shared:bool
    skip-cert-verification:bool smbversion:enum(default|2.0|2.1|3|3.0|3.11) snapshot-as-volume-chain:bool sparse:bool
    subdir:storage-path tagged_only:bool username:str zfs-base-path:storage-path
    """
/// Options that can be set only at creation.
private let fixed = """
     storage!:storage-id type!:enum(\(types)) authsupported:str path:storage-path export:storage-path share:str vgname:str thinpool:str
     target:str portal:str datastore:str base:volume-id iscsiprovider:str
    """

/// The required options of each type.
private let required: [String: [String]] = [
    "dir": ["path"], "nfs": ["server", "export"], "cifs": ["server", "share"], "lvm": ["vgname"],
    "lvmthin": ["thinpool", "vgname"], "zfspool": ["pool"], "pbs": ["server", "datastore"], "btrfs": ["path"],
    "iscsi": ["portal", "target"],
]

let storageKind = ObjectKind<StorageDefinition>(
    path: "storage", id: "storage", place: { _ in \.storageFile }, reads: "/storage/{storage} Datastore.Allocate",
    writes: "/storage Datastore.Allocate", filters: "type:enum(\(types))", makes: mutable + fixed,
    changes: mutable + " delete:configid-list(..4096) digest:str(..64)",
    omits: ["type", "password", "encryption-key", "keyring", "master-pubkey"], hasDigest: true, isSorted: false,
    unknown: { verb, id in
        Failure((verb == .read ? "" : "\(verb) storage failed: ") + "storage '\(id)' does not exist")
    }, stale: Failure("update storage failed: \(Failure.staleConfig.reason)"),
    taken: { Failure("create storage failed: storage ID '\($0)' already defined") },
    show: { _, item, row in
        guard let storage = item.old else { return false }
        row["type"] = .string(storage.type)
        let isWanted = item.call["type"].map { $0 == storage.type } ?? true
        return item.call["storage"] != nil || isWanted && storage.isVisible(to: item.call.caller)
    },
    check: { _, item in
        if item.old == nil {
            item.new?.id = item.id
            item.new?.type = item.call.text("type")
            for option in required[item.call.text("type")] ?? [] where item.call[option] == nil {
                throw Failure("missing value for required option '\(option)'")
            }
        }
        guard let content = item.call["content"] else { return }
        item.new?.options["content"] = Format.list(content).sorted().joined(separator: ",")
    }, settle: { _, item in item.new.map { .data(["storage": .string($0.id), "type": .string($0.type)]) } ?? .null })

let storageEndpoints: [Endpoint] = [
    .get("nodes/{node}/storage", "content:content-list enabled:bool format:bool storage:storage-id target:node") {
        world, call in
        if let id = call["storage"], world.storage(id) == nil {
            throw Failure.parameters(["storage": "No such storage."])
        }
        return .rows(world.nodeStorages(call))
    },
    .get("nodes/{node}/storage/{storage}/status", needs: "/storage/{storage} Datastore.Audit|Datastore.AllocateSpace") {
        world, call in
        guard let storage = world.storage(call.text("storage")) else {
            throw Failure.parameters(["storage": "No such storage."])
        }
        return .object(world.storageStatus(storage))
    },
    .get(
        "nodes/{node}/storage/{storage}/content", "content:content vmid:vmid",
        needs: "/storage/{storage} Datastore.Audit|Datastore.AllocateSpace"
    ) { world, call in
        let storage = try world.definition(call.text("storage"))
        guard storage.isEnabled else { throw Failure("storage '\(storage.id)' is disabled") }
        guard storage.isOn(call.node) else {
            throw Failure("storage '\(storage.id)' is not available on node '\(call.node)'")
        }
        guard storage.isOnline else { throw Failure("storage '\(storage.id)' is not online") }
        let rows = world.contents(of: storage, on: call.node).filter { row in
            (call["content"] == nil || row["content"]?.string == call["content"])
                && (call["vmid"] == nil || row["vmid"] == call.int("vmid").map { JSON($0) })
        }
        return .rows(rows.map { .object($0) })
    },
    .post(
        "nodes/{node}/storage/{storage}/content",
        "filename!:str format:enum(raw|qcow2|subvol|vmdk)^size size!:volume-size vmid!:vmid",
        needs: "/storage/{storage} Datastore.AllocateSpace"
    ) { world, call in try world.allocateVolume(call) },
    .post(
        "nodes/{node}/storage/{storage}/download-url",
        """
        checksum:str^checksum-algorithm checksum-algorithm:enum(md5|sha1|sha224|sha256|sha384|sha512)^checksum
        compression:str content!:enum(iso|vztmpl|import) filename!:str(..255) url!:url verify-certificates:bool
        """, needs: "/storage/{storage} Datastore.AllocateTemplate"
    ) { world, call in try world.download(call) },
    .get("nodes/{node}/storage/{storage}/content/{volume*}") { world, call in try world.volumeInfo(call) },
    .change("PUT", "nodes/{node}/storage/{storage}/content/{volume*}", "notes:str protected:bool") { world, call in
        for index in world.volumes.indices where world.volumes[index].id == call["volume"] {
            if let notes = call["notes"] { world.volumes[index].notes = notes }
            if call["protected"] != nil { world.volumes[index].isProtected = call.flag("protected") }
        }
    },
    .delete("nodes/{node}/storage/{storage}/content/{volume*}", "delay:int(1..30)") { world, call in
        world.removeVolume(call)
    },
]

extension ClusterState {
    fileprivate func nodeStorages(_ call: EndpointCall) -> [JSON] {
        let wanted = call["content"].map { Format.list($0) }
        return storages.compactMap { storage in
            guard storage.isOn(call.node), storage.isVisible(to: call.caller),
                !call.flag("enabled") || storage.isEnabled, call["storage"].map({ $0 == storage.id }) ?? true,
                call["target"].map({ storage.isOn($0) }) ?? true,
                wanted.map({ $0.contains { storage.contents.contains($0) } }) ?? true
            else { return nil }
            var row = storageStatus(storage)
            row["storage"] = .string(storage.id)
            row["used_fraction"] = JSON(Double(storage.used) / Double(max(1, storage.size)))
            return .object(row)
        }
    }

    fileprivate mutating func allocateVolume(_ call: EndpointCall) throws(Failure) -> Reply {
        let storage = try definition(call.text("storage"))
        let name = call.text("filename")
        let id = "\(storage.id):\(storage.folder(of: call.vmid))\(name)"
        guard !volumes.contains(where: { $0.id == id }) else { throw Failure("disk image '\(name)' already exists") }
        let format = call["format"] ?? Disk(id)?.format ?? "raw"
        let bytes = Disk.bytes(call.text("size")) ?? 0
        volumes.append(Volume(id: id, content: "images", format: format, bytes: bytes, time: second, vmid: call.vmid))
        return .text(id)
    }

    fileprivate func volumeInfo(_ call: EndpointCall) throws(Failure) -> Reply {
        let storage = try definition(call.text("storage"))
        let rows = contents(of: storage, on: call.node)
        guard let row = rows.first(where: { $0["volid"]?.string == call["volume"] }), let id = call["volume"] else {
            throw Failure("volume '\(call.text("volume"))' does not exist")
        }
        if row["content"] == "backup" {
            let file = id.split(separator: "/").last ?? ""
            return .data([
                "format": "raw", "notes": row["notes"] ?? "", "protected": row["protected"] ?? 0,
                "path": .string("\(storage.options["path"] ?? "")/dump/\(file)"), "size": row["size"],
                "used": row["size"],
            ])
        }
        let name = id.drop { $0 != ":" }.dropFirst()
        let path = storage.options["path"].map { "\($0)/images/\(name)" } ?? "/dev/\(storage.id)/\(name)"
        return .data([
            "format": row["format"], "path": .string(path), "size": row["size"], "used": row["used"] ?? row["size"],
            "notes": row["notes"], "protected": row["protected"],
        ])
    }

    fileprivate mutating func removeVolume(_ call: EndpointCall) -> Reply {
        let volume = call.text("volume")
        let storage = call.text("storage")
        let owner = volumes.first { $0.id == volume }?.vmid
        let id = owner.map { "\($0)@\(storage)" } ?? storage
        return run(type: "imgdel", id: id, call) { world, log in
            guard let known = world.volumes.first(where: { $0.id == volume }) else {
                log.lines.append("disk image '\(volume)' does not exist")
                log.lines.append("Removed volume '\(volume)'")
                return
            }
            if known.isProtected {
                let name = volume.dropFirst(storage.count + 1)
                throw Failure("cannot remove protected volume '\(name)' on '\(storage)'")
            }
            world.volumes.removeAll { $0.id == volume }
            log.lines.append("Removed volume '\(volume)'")
        }
    }
}

/// The file at a URL.
struct Download: Sendable {
    var bytes: Int
    /// By the name of the algorithm.
    var checksums: [String: String]
}

extension ClusterState {
    private static let endings: [String: [String]] = [
        "iso": [".iso", ".img"], "vztmpl": [".tar.gz", ".tar.xz", ".tar.zst", ".tgz"],
        "import": [".qcow2", ".raw", ".vmdk", ".ova"],
    ]

    mutating func download(_ call: EndpointCall) throws(Failure) -> Reply {
        let caller = call.caller
        let mayReach =
            caller.may("Sys.AccessNetwork", on: "/nodes/\(call.node)")
            || (caller.may("Sys.Audit", on: "/") && caller.may("Sys.Modify", on: "/"))
        guard mayReach else { throw .denied("/nodes/\(call.node), Sys.AccessNetwork") }
        let (id, content, name) = (call.text("storage"), call.text("content"), call.text("filename"))
        let storage = try definition(id)
        guard storage.contents.contains(content) else {
            throw Failure("storage '\(id)' is not configured for content-type '\(content)'")
        }
        let isPlain = !name.contains("/") && !name.hasPrefix(".")
        guard isPlain, Self.endings[content]?.contains(where: { name.hasSuffix($0) }) == true else {
            throw .parameters(["filename": "wrong file extension"])
        }
        let bytes = downloads[call.text("url")]?.bytes ?? 100 << 20
        let half: Work.Step = { _, log in log.lines.append(ProgressLine.downloaded(bytes, 50)) }
        return run(type: "download", id: name, call, stages: [half]) { world, log in
            try world.save(call, as: "\(id):\(content)/\(name)", &log)
        }
    }

    private mutating func save(_ call: EndpointCall, as volume: String, _ log: inout TaskLog) throws(Failure) {
        let url = call.text("url")
        log.lines.append("downloading \(url) to \(volume)")
        if let obstacle = obstacle(to: call.text("storage"), on: call.node, for: nil) { throw Failure(obstacle) }
        let source = downloads[url]
        if let algorithm = call["checksum-algorithm"], let actual = source?.checksums[algorithm],
            actual != call.text("checksum").lowercased()
        {
            log.lines.append("calculating checksum...got '\(actual)', expected '\(call.text("checksum"))'")
            throw Failure("checksum mismatch: got '\(actual)' != expect '\(call.text("checksum"))'")
        }
        guard !volumes.contains(where: { $0.id == volume }) else {
            throw Failure("refusing to override existing file '\(call.text("filename"))'")
        }
        volumes.append(
            Volume(
                id: volume, content: call.text("content"), format: Disk(volume)?.format ?? "raw",
                bytes: source?.bytes ?? 100 << 20, time: second))
        log.lines.append("download of '\(url)' to '\(volume)' finished")
    }
}
