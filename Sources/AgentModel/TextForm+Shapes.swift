/// PVE formats that a regular expression describes completely.
extension TextForm {
    /// The slots for a virtual machine's disks.
    static let machineDisk = "^(\(machineSlots))$"
    static let containerDisk = "^(\(containerSlots))$"
    private static let machineSlots =
        "ide[0-3]|sata[0-5]|scsi([0-9]|[12][0-9]|30)|virtio([0-9]|1[0-5])|efidisk0|tpmstate0|unused\(upTo255)"
    private static let containerSlots = "rootfs|mp\(upTo255)|unused\(upTo255)"
    private static let upTo255 = "([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"

    /// The digest that PVE compares to detect a change in between.
    package static let digest = shape("[0-9A-Fa-f]{40,64}")
    /// The name of a configuration key.
    package static let configKey = shape("[A-Za-z][A-Za-z0-9_-]{0,39}")
    /// A configuration key that cloud-init uses.
    package static let cloudInitKey = shape(
        "(ciuser|cipassword|sshkeys|ciupgrade|citype|nameserver|searchdomain|ipconfig([0-9]|[12][0-9]|3[01]))")
    /// The name of a job or rule (`pve-configid`).
    package static let configID = shape("[A-Za-z][A-Za-z0-9_-]{1,49}")
    /// A guest's tag (`pve-tag`).
    package static let tag = shape("[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")
    /// `+10G`, `32G`: an increase, or a total.
    package static let size = shape(#"\+?[0-9]{1,9}(\.[0-9]{1,3})?[KMGT]?"#)
    /// `local:iso/debian.iso`: storage and volume (`pve-volume-id`).
    package static let volume = shape(
        #"(?!.*(/|:)\.{1,2}(/|$))[A-Za-z][A-Za-z0-9._-]{0,98}[A-Za-z0-9]:[A-Za-z0-9._+@~/-]{1,255}"#)
    /// A name for a file on a storage.
    package static let fileName = shape("[A-Za-z0-9][A-Za-z0-9._+-]{0,254}")
    package static let url = shape("https?://[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{1,2000}")
    package static let checksum = shape("[0-9A-Fa-f]{32,128}")
    /// `mon..fri 2:30`, `*/15` (`pve-calendar-event`).
    package static let schedule = shape("[A-Za-z0-9*][A-Za-z0-9 ,:*./~-]{0,127}")
    /// `keep-last=3,keep-daily=7` (`prune-backups`).
    package static let retention = shape(
        "(keep-all=[01]|keep-(last|hourly|daily|weekly|monthly|yearly)=[0-9]{1,5})"
            + "(,keep-(last|hourly|daily|weekly|monthly|yearly)=[0-9]{1,5}){0,5}")

    private static let octet = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    private static let version4 = #"\#(octet)(\.\#(octet)){3}(/(3[0-2]|[12]?[0-9]))?"#
    private static let version6 =
        "(([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|(?=[0-9A-Fa-f:]{2,39}(/|$))([0-9A-Fa-f]{1,4}:){0,6}"
        + "([0-9A-Fa-f]{1,4})?::([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){0,5})?)(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?"
    /// An address or a network, `192.0.2.0/24` (`IPorCIDR`).
    package static let network = shape("(\(version4)|\(version6))")
    /// The same, or an alias's name (`IPorCIDRorAlias`).
    package static let networkOrAlias = shape("(\(version4)|\(version6)|((dc|guest)/)?[A-Za-z][A-Za-z0-9_-]{1,63})")
    /// Addresses, ranges, aliases and sets of a rule (`pve-fw-addr-spec`).
    package static let addresses = shape("[A-Za-z0-9+][A-Za-z0-9.,:/+_-]{0,510}[A-Za-z0-9]")
    /// `80,443`, `8000:8010` (`pve-fw-dport-spec`).
    package static let ports = shape("[A-Za-z0-9][A-Za-z0-9:,-]{0,254}")
    /// The name of an alias or a set.
    package static let firewallName = shape("[A-Za-z][A-Za-z0-9_-]{1,63}")
    /// The name of a rule group.
    package static let groupName = shape("[A-Za-z][A-Za-z0-9_-]{1,17}")
    /// `ACCEPT`, or a group's name.
    package static let ruleAction = shape("[A-Za-z][A-Za-z0-9_-]{1,19}")
    /// A network device, `net0` or `vmbr0`.
    package static let interface = shape(#"[A-Za-z][A-Za-z0-9_]{1,14}([:.][0-9]{1,4})?"#)
    /// `tcp`, `icmp` types.
    package static let protocolName = shape("[a-z0-9-]{1,32}")
    /// A macro of rules, `SSH`.
    package static let macro = shape("[A-Za-z0-9_-]{1,128}")
    /// A certificate's SHA-256.
    package static let fingerprint = shape("([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2}")
    /// A resource of HA.
    package static let resource = shape("(vm|ct):[1-9][0-9]{2,8}")
    /// A node with an optional priority: `pve1:2`.
    package static let rankedNode = shape("[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(:[0-9]{1,4})?")
    /// A disk of either kind of guest.
    package static let slot = shape("(\(machineSlots)|\(containerSlots))")
    /// A disk's serial number, as the guest sees it.
    package static let diskSerial = shape("[A-Za-z0-9._-]{1,60}")
    /// A disk's world-wide name.
    package static let worldWideName = shape("0x[0-9A-Fa-f]{16}")
    private static let mountOption = "(discard|lazytime|noatime|nodev|noexec|nosuid)"
    /// A container volume's mount options: `noatime;nosuid`.
    package static let mountOptions = shape("\(mountOption)(;\(mountOption)){0,5}")
    /// The path of a volume inside a container.
    package static let directory = shape("/[A-Za-z0-9._/-]{1,255}")
    /// A path of PVE's access control, `/vms/100`.
    package static let accessPath = shape("/[A-Za-z0-9._/-]{0,255}")
    package static let serial = shape("(/dev/[A-Za-z0-9._/-]{1,200}|socket)")
    package static let parallel = shape("(/dev/parport[0-9]{1,3}|/dev/usb/lp[0-9]{1,3})")
    /// A password for typing: printable ASCII.
    package static let password = shape("[ -~]{5,1024}")
    package static let startDate = shape(
        "(now|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(T[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2})?)")
    /// `host`, or a time zone such as `Europe/Berlin`.
    package static let timeZone = shape("[A-Za-z][A-Za-z0-9_+/-]{0,63}")
}
