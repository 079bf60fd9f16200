import AgentModel
import Testing

struct VolumeNameTests {
    @Test(arguments: [
        [
            "local:900/base-900-disk-0.qcow2/101/vm-101-disk-0.qcow2", "local:101/vm-101-disk-0.raw",
            "local:vm-101-disk-0",
        ],
        ["zfs:base-900-disk-0/vm-101-disk-0", "zfs:vm-101-disk-0"],
        ["rbd:vm-101-disk-0@snap", "rbd:vm-101-disk-0"],
        ["btrfs:101/subvol-101-disk-0.subvol", "btrfs:subvol-101-disk-0"],
    ])
    func `spellings of one volume are the same volume`(spellings: [String]) throws {
        let names = try spellings.map { try #require(VolumeName($0), "\($0)") }
        #expect(Set(names).count == 1, "\(names)")
        #expect(names[0].owner?.description == "101")
    }

    @Test(arguments: [
        ("local:iso/debian.iso", "local:iso/other.iso"), ("aa:vm-101-disk-0", "bb:vm-101-disk-0"),
        ("aa:vm-101-disk-0", "aa:vm-101-disk-1"), ("aa:vm-101-disk-0", "aa:base-101-disk-0"),
        ("/dev/sda", "/dev/sdb"),
        ("local:iso/vm-tools.1.iso", "local:iso/vm-tools.2.iso"),
    ])
    func `different volumes stay apart`(one: String, other: String) {
        #expect(VolumeName(one) != VolumeName(other))
        #expect(VolumeName(one) != nil && VolumeName(other) != nil)
    }

    @Test(arguments: ["", "none", "vm-101-disk-0", "local:", ":x", "-a:x"])
    func `what names no volume is none`(text: String) { #expect(VolumeName(text) == nil) }

    @Test(arguments: [
        ("local-lvm:vm-101-disk-0", [101]), ("base-900-disk-0/vm-101-disk-0", [900, 101]),
        ("local:101/anything.qcow2", [101]), ("local:backup/vzdump-qemu-101-2026_11_20-03_00_01.vma.zst", [101]),
        ("nas:backup/vzdump-lxc-200-2026_11_20-03_00_01.tar.zst", [200]),
        ("pbs:backup/vm/101/2026-11-20T03:00:01Z", [101]),
        ("pbs:backup/ct/200/2026-11-20T03:00:01Z", [200]), ("ceph:vm-101-state-before", [101]),
        ("ceph:vm-101-cloudinit", [101]), ("/dev/pve/vm-101-disk-0", [101]),
        ("/dev/zvol/rpool/data/vm-101-disk-0", [101]),
        ("/dev/mapper/pve-vm--101--disk--0", [101]), ("/dev/disk/by-id/dm-name-pve-vm--101--disk--1", [101]),
        ("/rpool/data/subvol-200-disk-0", [200]), ("/var/lib/vz/images/101/vm-101-disk-0.raw", [101, 101]),
        ("/etc/pve/qemu-server/101.conf", [101]), ("/var/lib/lxc/200", [200]),
        ("ceph:0,import-from=ceph:vm-101-disk-0,discard=on", [101]),
        ("-drive file=/dev/pve/vm-101-disk-0,if=none", [101]),
        ("user=local:snippets/vm-101-user.yaml,meta=local:snippets/m.yaml", [101]),
        ("ceph:vm-101-disk-0;ceph:vm-102-disk-0", [101, 102]),
    ])
    func `owners are found in every spelling`(text: String, owners: [Int]) {
        #expect(VolumeName.owners(in: text).map(\.description) == owners.map(String.init))
    }

    @Test(arguments: [
        "", "local:iso/debian-13.iso", "local-lvm:128", "ceph:128,discard=on", "size=128G", "virtio=BC:24:11:4A:0F:A2",
        "local:vztmpl/debian-13_13.1-2_amd64.tar.zst", "order=scsi0;net0", "myvm-101", "vm-101", "vm-99-disk-0",
        "vm-x-disk-0",
        "vm-1000000000-disk-0", "vm-0101-disk-0", "host=1234:5678", "cputype=host", "mon..fri 2:30",
        "0x500a0b8000000101",
    ])
    func `what names no guest has no owner`(text: String) { #expect(VolumeName.owners(in: text) == []) }

    @Test(arguments: [
        ("local-lvm:8", true), ("local-lvm:8.5,ssd=1", true), ("file=local-lvm:8", true), ("none", true),
        ("none,media=cdrom", true), ("local-lvm:cloudinit", true), ("local:iso/debian.iso,media=cdrom", true),
        ("local:iso/debian.iso", false),
        ("ceph:8, import-from=a:b", false),
        ("volume=local-lvm:8,mp=/srv", true),
        ("", false), ("cdrom", false), ("local-lvm:vm-101-disk-0", false), ("/dev/sdb", false), ("/srv,mp=/srv", false),
        ("local-lvm:0,import-from=local:import/a.qcow2", false),
        ("import-from=local:import/a.qcow2,local-lvm:0", false),
        ("local-lvm:8,file=local-lvm:vm-101-disk-0", false), ("local-lvm:vm-101-disk-0,volume=local-lvm:8", false),
        ("local:iso/../101/x.iso", false), ("local:snippets/x", false), ("local-lvm:8.8.8", false),
        ("local-lvm:8.", false),
        ("rubbish", false), ("http://a/b", false),
    ])
    func `only what is made anew is a new disk`(text: String, isNew: Bool) {
        #expect(VolumeName.isNewDisk(text) == isNew)
    }
}
