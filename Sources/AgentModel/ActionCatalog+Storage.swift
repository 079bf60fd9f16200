import StrictJSON

/// Storage definitions and what is kept on them.
extension ActionCatalog {
    /// What an edit does to its object.
    static let op = ParameterDefinition(
        "op", .choice(["add", "change", "remove"]), required: true, agentOnly: true, "what to do")
    /// The node that serves a storage.
    static let onNode = ParameterDefinition(
        "node", .text(.node), agentOnly: true, "the node that serves it; one that has it when missing")
    static let volume = ParameterDefinition(
        "volume", .text(.volume), required: true, "the volume: local:iso/debian.iso")
    static let volumeRow = ObjectRule.row(
        "/nodes/{node}/storage/{storage}/content", where: "volid", is: "{volume}",
        fields: ["volid", "content", "format", "size", "vmid", "ctime", "protected"])

    /// One PVE call that the caller spells out. Its path must stay below the target.
    static let endpoint = [
        ParameterDefinition(
            "endpoint", .text(.text(512)), requiredWhen: .without("op"), agentOnly: true, when: .without("op"),
            "PVE path under the target, unencoded"),
        ParameterDefinition(
            "method", .choice(["POST", "PUT", "DELETE"]), requiredWhen: .without("op"), agentOnly: true,
            when: .without("op"), "HTTP method"),
        ParameterDefinition("params", .object, agentOnly: true, when: .without("op"), "the endpoint's own parameters"),
    ]

    static let storage: [ActionDefinition] = [editStorage, deleteVolume, download]

    private static var deleteVolume: ActionDefinition {
        .change(
            "delete_volume", "Delete an image, template or disk that no guest uses", on: [.storage], [onNode, volume],
            rules: [.onTarget("volume")], risk: .high, approval: true, because: "destroys data",
            [CallTemplate(.delete, "/nodes/{node}/storage/{storage}/content/{volume}", tasks: ["imgdel"])],
            object: volumeRow,
            checks: [.volumeExists("volume", isBackup: false), .volumeUnprotected("volume"), .volumeUnused("volume")],
            changes: .exists(false),
            needs: [Privilege("/storage/{storage}", "Datastore.Allocate", "Datastore.AllocateSpace")],
            examples: [["volume": "nas:iso/debian-13.iso"]])
    }

    private static var download: ActionDefinition {
        .change(
            "download_to_storage", "Fetch an image or template from an allowed address, and check its sum",
            on: [.storage],
            [
                onNode,
                ParameterDefinition("url", .text(.url), required: true, "below one of the configured download_allow"),
                ParameterDefinition("content", .choice(["iso", "vztmpl", "import"]), required: true, "what it is"),
                ParameterDefinition("filename", .text(.fileName), required: true, "its name on the storage"),
                ParameterDefinition("checksum", .text(.checksum), required: true, "hexadecimal"),
                ParameterDefinition(
                    "checksum-algorithm", .choice(["sha256", "sha384", "sha512"]), required: true, "of the checksum"),
            ], rules: [.checksumFits], risk: .medium, approval: false,
            because: "uses storage; what is fetched is what the checksum says",
            [
                CallTemplate(
                    .post, "/nodes/{node}/storage/{storage}/download-url", tasks: ["download"], id: "{filename}")
            ],
            object: .row(
                "/nodes/{node}/storage/{storage}/content", where: "volid", is: "{storage}:{content}/{filename}",
                fields: ["volid", "size"]),
            checks: [.downloadAllowed, .storageActive("", content: "{content}"), .volumeIsNew], changes: .downloaded,
            undo: .action("delete_volume", [.take("volume", .text("{storage}:{content}/{filename}"))]),
            needs: [
                Privilege("/storage/{storage}", "Datastore.AllocateTemplate"),
                Privilege("/nodes/{node}", "Sys.AccessNetwork", "Sys.Modify"),
            ],
            examples: [
                [
                    "url": "https://example.org/debian-13.iso", "content": "iso", "filename": "debian-13.iso",
                    "checksum": .string(String(repeating: "0f", count: 32)), "checksum-algorithm": "sha256",
                ]
            ])
    }

    private static var editStorage: ActionDefinition {
        .change(
            "storage_edit", "Add, change or remove a storage definition", on: [.storage],
            endpoint + [op.only(.without("endpoint"), required: .without("endpoint"))] + storageKeys,
            rules: [.notSetAndListed("delete"), .changesSomething], risk: .high, approval: true,
            because: "guests and backups depend on storage",
            [
                CallTemplate(.post, "/storage", when: .when("op", "add"), tasks: [], fixed: ["storage": "{storage}"]),
                CallTemplate(.put, "/storage/{storage}", when: .when("op", "change"), tasks: [], digest: true),
                CallTemplate(.delete, "/storage/{storage}", when: .when("op", "remove"), tasks: [], forwards: []),
            ], endpoint: true, object: .call, checks: [.objectFits, .storageUnused], changes: .object, undo: .edit(),
            needs: [Privilege("/storage", "Datastore.Allocate")],
            examples: [["endpoint": "/storage/nas", "method": "PUT"]])
    }

    private static var storageKeys: [ParameterDefinition] {
        let add = Condition.when("op", "add")
        let set = Condition.when("op", "add", "change")
        func text(_ name: String, upTo limit: Int = 256, _ when: Condition, _ summary: String) -> ParameterDefinition {
            ParameterDefinition(name, .text(.line(limit)), when: when, summary)
        }
        func flag(_ name: String, _ summary: String) -> ParameterDefinition {
            ParameterDefinition(name, .boolean, when: set, summary)
        }
        return [
            ParameterDefinition(
                "type",
                .choice([
                    "btrfs", "cephfs", "cifs", "dir", "esxi", "iscsi", "iscsidirect", "lvm", "lvmthin", "nfs", "pbs",
                    "rbd",
                    "zfs", "zfspool",
                ]), required: true, when: add, identity: .name, "what kind of storage"),
            text("path", upTo: 512, add, "a directory of the node"), text("export", upTo: 512, add, "NFS export"),
            text("share", add, "CIFS share"), text("vgname", add, "LVM group"), text("thinpool", add, "LVM thin pool"),
            ParameterDefinition("base", .text(.volume), when: add, "base volume"), text("portal", add, "iSCSI portal"),
            text("target", add, "iSCSI target"),
            text("datastore", add, "backup server's datastore"), text("content", set, "images,rootdir,iso,backup,…"),
            text("nodes", upTo: 1024, set, "only on these nodes"), flag("disable", "not used"),
            flag("shared", "the same on every node"), text("server", set, "address"), text("username", set, "user"),
            text("password", set, "password"), text("domain", set, "CIFS domain"),
            text("pool", set, "pool of RBD or ZFS"),
            text("monhost", set, "Ceph monitors"),
            ParameterDefinition("fs-name", .text(.configID), when: set, "Ceph file system"),
            text("data-pool", set, "erasure-coded pool"),
            text("keyring", upTo: 4096, set, "Ceph keyring"), flag("krbd", "RBD by the kernel"),
            flag("fuse", "CephFS by FUSE"),
            text("namespace", set, "namespace"), text("encryption-key", upTo: 4096, set, "key of backups"),
            text("master-pubkey", upTo: 4096, set, "public key for backups"),
            ParameterDefinition(
                "fingerprint", .text(.fingerprint), when: set, "of the certificate"),
            ParameterDefinition("port", .integer(1...65_535), when: set, "TCP port"), retention.only(set),
            ParameterDefinition(
                "max-protected-backups", .integer(-1...1_000_000), when: set, "per guest; -1 is unlimited"),
            ParameterDefinition("format", .choice(["raw", "qcow2", "subvol", "vmdk"]), when: set, "of images"),
            ParameterDefinition(
                "preallocation", .choice(["off", "metadata", "falloc", "full"]), when: set, "of images"),
            ParameterDefinition(
                "smbversion", .choice(["default", "2.0", "2.1", "3", "3.0", "3.11"]), when: set, "CIFS version"),
            text("options", upTo: 512, set, "mount options"), text("subdir", upTo: 512, set, "subdirectory"),
            text("mountpoint", upTo: 512, set, "ZFS mount point"), text("blocksize", upTo: 16, set, "of ZFS volumes"),
            text("bwlimit", set, "default=,move=,…: KiB/s"),
            text("content-dirs", upTo: 512, set, "directories by content"),
            text("is_mountpoint", upTo: 512, set, "yes, or the mount point"), flag("mkdir", "make the directory"),
            flag("create-base-path", "make the directory"), flag("create-subdirs", "make the directories below"),
            flag("sparse", "thin volumes"), flag("saferemove", "wipe volumes that are removed"),
            flag("nocow", "no copy on write"),
            flag("tagged_only", "only volumes with tags of PVE"),
            flag("snapshot-as-volume-chain", "snapshots as volumes"),
            removals.only(.when("op", "change")),
        ]
    }
}
