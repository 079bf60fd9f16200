/// What the configuration of guests may hold, in the words of ``ParameterTable``.
enum GuestOptions {
    static let vmTable = ParameterTable(vm, path: "")
    static let containerTable = ParameterTable(container, path: "")

    static let vm = """
        acpi:bool affinity:str agent:agent allow-ksm:bool amd-sev:str arch:enum(x86_64|aarch64) args:str audio0:audio
        autostart:bool balloon:int(0..) bios:enum(seabios|ovmf) boot:boot bootdisk:bootdisk cdrom:ide cicustom:cicustom
        cipassword:str citype:enum(configdrive2|nocloud|opennebula) ciupgrade:bool ciuser:str cores:int(1..) cpu:cpu
        cpulimit:num(0..128) cpuunits:int(1..262144) description:str(..8192) efidisk0:efidisk freeze:bool
        hookscript:volume-id hostpci[n]:hostpci hotplug:hotplug hugepages:enum(any|2|1024) ide[n]:ide intel-tdx:str
        ipconfig[n]:ipconfig ivshmem:ivshmem keephugepages:bool keyboard:enum(\(keyboards)) kvm:bool localtime:bool
        lock:enum(backup|clone|create|migrate|rollback|snapshot|snapshot-delete|suspending|suspended) machine:machine
        memory:memory migrate_downtime:num(0..) migrate_speed:int(0..) name:dns nameserver:str net[n]:net numa:bool
        numa[n]:numa onboot:bool
        ostype:enum(other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris) parallel[n]:parallel
        protection:bool reboot:bool rng0:rng sata[n]:sata scsi[n]:scsi
        scsihw:enum(lsi|lsi53c810|virtio-scsi-pci|virtio-scsi-single|megasas|pvscsi) searchdomain:str serial[n]:serial
        shares:int(0..50000) smbios1:smbios(..512) smp:int(1..) sockets:int(1..) spice_enhancements:spice
        sshkeys:urlencoded startdate:startdate startup:startup tablet:bool tags:tags tdf:bool template:bool tpmstate0:tpmstate
        unused[n]:unused usb[n]:usb vcpus:int(1..) vga:vga virtio[n]:virtio virtiofs[n]:virtiofs vmgenid:uuid
        vmstatestorage:storage-id watchdog:watchdog
        """

    static let container = """
        arch:enum(amd64|i386|arm64|armhf|riscv32|riscv64) cmode:enum(shell|console|tty) console:bool cores:int(1..8192)
        cpulimit:num(0..8192) cpuunits:int(0..500000) debug:bool description:str(..8192) dev[n]:dev entrypoint:str
        env:str features:features hookscript:volume-id hostname:dns(..255)
        lock:enum(backup|create|destroyed|disk|fstrim|migrate|mounted|rollback|snapshot|snapshot-delete) memory:int(16..)
        mp[n]:mp nameserver:str net[n]:lxcnet onboot:bool
        ostype:enum(debian|devuan|ubuntu|centos|fedora|opensuse|archlinux|alpine|gentoo|nixos|unmanaged) protection:bool
        rootfs:rootfs searchdomain:dns-list startup:startup swap:int(0..) tags:tags template:bool timezone:str
        tty:int(0..6) unprivileged:bool unused[n]:lxcunused
        """

    static let keyboards =
        "de|de-ch|da|en-gb|en-us|es|fi|fr|fr-be|fr-ca|fr-ch|hu|is|it|ja|lt|mk|nl|no|pl|pt|pt-br|sv|sl|tr"
}
