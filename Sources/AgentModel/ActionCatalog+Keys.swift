/// The keys of guests' configurations, with PVE's names and bounds.
extension ActionCatalog {
    /// A family `name0`, `name1`, … with `count` members.
    private static func family(_ stem: String, _ count: Int, _ summary: String) -> ParameterDefinition {
        ParameterDefinition("\(stem)[n]", .text(.line(1024)), count: count, summary)
    }

    private static func flag(_ name: String, _ summary: String) -> ParameterDefinition {
        ParameterDefinition(name, .boolean, summary)
    }

    private static func line(_ name: String, upTo limit: Int = 256, _ summary: String) -> ParameterDefinition {
        ParameterDefinition(name, .text(.line(limit)), summary)
    }

    private static func number(_ name: String, _ bounds: ClosedRange<Int>, _ summary: String) -> ParameterDefinition {
        ParameterDefinition(name, .integer(bounds), summary)
    }

    private static func choice(_ name: String, _ words: String, _ summary: String) -> ParameterDefinition {
        ParameterDefinition(name, .choice(words.split(separator: "|").map(String.init)), summary)
    }

    static let description = ParameterDefinition("description", .text(8192), "a note kept with the guest")
    static let tags = ParameterDefinition("tags", .list(.text(.tag), upTo: 64), "the guest's tags, all of them")

    /// Keys that both kinds of guest have.
    private static let common: [ParameterDefinition] = [
        description, tags, flag("onboot", "start it with its node"),
        flag("protection", "refuse to delete it or its disks"), line("startup", "order=,up=,down="),
        line("searchdomain", "DNS search domains"), line("nameserver", "DNS servers"),
    ]

    static let cloudInit: [ParameterDefinition] = [
        line("ciuser", upTo: 64, "cloud-init: the user"),
        line("cipassword", upTo: 1024, "cloud-init: the user's password"),
        ParameterDefinition("sshkeys", .text(32_768), encoding: .percent, "cloud-init: public keys, one a line"),
        family("ipconfig", 32, "cloud-init: ip=,gw=,ip6=,gw6= of a network device"),
        flag("ciupgrade", "cloud-init: upgrade packages at first start"),
        choice("citype", "configdrive2|nocloud|opennebula", "cloud-init: the format"),
    ]

    private static let processor: [ParameterDefinition] = [
        number("memory", 16...4_178_944, "MiB"), number("balloon", 0...4_178_944, "MiB at least; 0 switches it off"),
        number("cores", 1...1024, "per socket"), number("sockets", 1...64, "processor sockets"),
        number("vcpus", 1...4096, "processors that are plugged in"), line("cpu", "cputype=,flags=,…"),
        ParameterDefinition("cpulimit", .number(0...128), "processors' worth of time; 0 is unlimited"),
        number("cpuunits", 1...262_144, "weight"), line("affinity", "the node's processors it may use"),
        number("shares", 0...50_000, "weight of ballooning"), flag("numa", "NUMA"),
        choice("hugepages", "any|2|1024", "MiB"), flag("keephugepages", "keep them when it is off"),
        flag("allow-ksm", "share its memory pages"),
    ]

    private static let machine: [ParameterDefinition] = [
        ParameterDefinition("name", .text(.dnsName), "the machine's name"),
        line("agent", "enabled=,fstrim_cloned_disks=,…"),
        line("boot", "order=scsi0;net0"), choice("bios", "seabios|ovmf", "firmware"),
        line("machine", upTo: 128, "type=q35,…"),
        choice("ostype", "other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris", "the system inside"),
        choice("arch", "x86_64|aarch64", "processor architecture"),
        choice("scsihw", "lsi|lsi53c810|virtio-scsi-pci|virtio-scsi-single|megasas|pvscsi", "SCSI controller"),
        line("hotplug", upTo: 128, "network,disk,usb,memory,cpu; 0 is none"), line("vga", "type=,memory="),
        line("audio0", upTo: 128, "device=,driver="), line("rng0", upTo: 128, "source=,…"),
        line("watchdog", upTo: 128, "model=,action="),
        line("spice_enhancements", upTo: 128, "foldersharing=,videostreaming="),
        flag("acpi", "ACPI"), flag("kvm", "hardware virtualisation"), flag("tablet", "a pointing device"),
        flag("localtime", "its clock has local time"), flag("autostart", "start it again after a crash"),
        flag("freeze", "wait at start for a continue"), flag("tdf", "time drift fix"),
        choice(
            "keyboard",
            "de|de-ch|da|en-gb|en-us|es|fi|fr|fr-be|fr-ca|fr-ch|hu|is|it|ja|lt|mk|nl|no|pl|pt|pt-br|sv|sl|tr",
            "the console's layout"),
        ParameterDefinition("startdate", .text(.startDate), "its clock at start"),
        line("smbios1", upTo: 512, "uuid=,serial=,…: the machine's identity"),
        ParameterDefinition("vmstatestorage", .text(.storage), "storage for its memory"),
        ParameterDefinition("migrate_downtime", .number(0...3600), "seconds a migration may stop it"),
        family("net", 32, "virtio=MAC,bridge=vmbr0,tag=,firewall=,…"), family("numa", 8, "cpus=,memory=,…"),
    ]

    static let machineDisks: [ParameterDefinition] = [
        family("ide", 4, "STORAGE:SIZE or a volume, and options"),
        family("sata", 6, "STORAGE:SIZE or a volume, and options"),
        family("scsi", 31, "STORAGE:SIZE or a volume, and options"),
        family("virtio", 16, "STORAGE:SIZE or a volume, and options"),
        line("efidisk0", upTo: 1024, "the firmware's variables"),
        line("tpmstate0", upTo: 1024, "the state of a TPM"),
    ]

    private static let machineHost: [ParameterDefinition] = [
        line("args", upTo: 4096, "arguments for KVM"),
        ParameterDefinition("hookscript", .text(.volume), "a script on the node"),
        family("hostpci", 16, "the node's PCI devices"), family("usb", 15, "the node's USB devices"),
        ParameterDefinition("serial[n]", .text(.serial), count: 4, "/dev/… or socket"),
        ParameterDefinition("parallel[n]", .text(.parallel), count: 3, "/dev/parport0, /dev/usb/lp0"),
        line("ivshmem", upTo: 128, "size=,name=: memory shared with the node"),
        family("virtiofs", 10, "the node's directories"), line("cicustom", upTo: 1024, "cloud-init: files of its own"),
        line("amd-sev", "type=,…"), line("intel-tdx", "type=,…"),
    ]

    static let machineKeys = common + processor + machine + cloudInit + machineDisks + machineHost

    static let containerDisks: [ParameterDefinition] = [
        line("rootfs", upTo: 1024, "the root volume"),
        family("mp", 256, "STORAGE:SIZE or a volume, mp=PATH, and options"),
    ]

    static let containerKeys: [ParameterDefinition] =
        common + [
            ParameterDefinition("hostname", .text(.dnsName), "the container's name"),
            number("memory", 16...4_178_944, "MiB"), number("swap", 0...4_178_944, "MiB"),
            number("cores", 1...8192, "processors"),
            ParameterDefinition("cpulimit", .number(0...8192), "processors' worth of time; 0 is unlimited"),
            number("cpuunits", 0...500_000, "weight"), choice("cmode", "shell|console|tty", "the console's mode"),
            flag("console", "a console device"), number("tty", 0...6, "ttys"), flag("debug", "verbose start"),
            ParameterDefinition("timezone", .text(.timeZone), "host, or a name"),
            choice(
                "ostype",
                "debian|devuan|ubuntu|centos|fedora|opensuse|archlinux|alpine|gentoo|nixos|unmanaged",
                "the system inside"),
            choice("arch", "amd64|i386|arm64|armhf|riscv32|riscv64", "processor architecture"),
            family("net", 32, "name=eth0,bridge=vmbr0,ip=dhcp,firewall=,…"),
        ] + containerDisks + containerHost

    private static let containerHost: [ParameterDefinition] = [
        line("features", upTo: 256, "nesting=,keyctl=,fuse=,mount=,…"),
        ParameterDefinition("hookscript", .text(.volume), "a script on the node"),
        family("dev", 256, "the node's devices"), line("entrypoint", upTo: 1024, "what runs as its first process"),
        ParameterDefinition("env", .text(.line(4096)), "its environment variables"),
    ]

    /// What a guest's configuration can have, as `configure_vm` and `configure_container` take it.
    package static func configureKeys(of kind: GuestKind) -> [ParameterDefinition] { keys(of: kind) }

    static func keys(of kind: GuestKind) -> [ParameterDefinition] { kind == .vm ? machineKeys : containerKeys }

    /// Keys that name disks.
    static func disks(of kind: GuestKind) -> [String] { (kind == .vm ? machineDisks : containerDisks).map(\.name) }

    /// Keys that give the guest access to the node.
    static let touchesHost = RiskEscalation(
        "touches-host", (machineHost + containerHost).map(\.name), because: "gives the guest a hold on its node")
    /// Whether a key of a guest's configuration gives it access to the node.
    package static func isHostKey(_ key: String) -> Bool {
        (machineHost + containerHost).contains { $0.matches(key) }
    }
    static let touchesHostDevice = RiskEscalation(
        "touches-host-device", ["vga", "rng0"], value: .hostDevice, because: "works with a device of the node"
    )
    static let touchesConsole = RiskEscalation(
        "touches-access", when: .when("cmode", "shell"), because: "opens a shell to whoever has the console")
    static let touchesIdentity = RiskEscalation(
        "touches-identity", ["smbios1"], because: "changes what the machine is told by")
    static let touchesAccess = RiskEscalation(
        "touches-access", ["ciuser", "cipassword", "sshkeys"], because: "decides who can get into the machine")
    static let touchesProtection = RiskEscalation(
        "touches-protection", ["protection"], value: .off, because: "lets the guest and its disks be deleted")
    static let touchesFirewall = RiskEscalation(
        "touches-firewall", ["net[n]"], live: .dropsFirewall, because: "takes traffic of the guest past its firewall",
        also: .firewallEdit)
    static let touchesDevices = RiskEscalation(
        "touches-devices", ["delete"], because: "removes settings or devices from the guest")
    /// For a new guest.
    static func touchesVolumes(_ kind: GuestKind) -> RiskEscalation {
        RiskEscalation(
            "touches-volumes", disks(of: kind), value: .existingDisk,
            because: "gives the guest data that may be somebody else's")
    }
    static func touchesDisks(_ kind: GuestKind) -> RiskEscalation {
        RiskEscalation("touches-disks", disks(of: kind), because: "changes the guest's disks")
    }
}
