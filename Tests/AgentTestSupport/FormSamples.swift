package import AgentModel
package import StrictJSON

/// Values that have a form, at its bounds, and values that have not.
package enum FormSamples {
    package static func good(_ form: ParameterDefinition.Form) -> [JSON] {
        switch form {
        case .boolean: [true, false]
        case .integer(let bounds): [JSON(bounds.lowerBound), JSON(bounds.upperBound)]
        case .number(let bounds): [JSON(bounds.lowerBound), JSON(bounds.upperBound)]
        case .choice(let words): words.map { .string($0) }
        case .text(let form): good(form).map { .string($0) }
        case .list(let element, let limit):
            [.array(Array(good(element).prefix(1))), .array(Array(good(element).prefix(limit)))]
        case .object: [[:], ["a": 1, "b": "x", "c": true, "d": .number(1.5)]]
        }
    }

    package static func bad(_ form: ParameterDefinition.Form) -> [JSON] {
        switch form {
        case .boolean: [1, 0, "true", "1", [:], [], .null]
        case .integer(let bounds):
            [
                JSON(bounds.lowerBound - 1), JSON(bounds.upperBound + 1), .number(100.5), .number(1e30), "100", true,
                [:],
                .null,
            ]
        case .number(let bounds): [JSON(bounds.lowerBound - 1), JSON(bounds.upperBound + 1), "1", true, [:], .null]
        case .choice(let words): words.prefix(1).map { .string($0.uppercased() + "x") } + ["", 1, true, .null, [:]]
        case .text(let form): bad(form).map { .string($0) } + [1, true, .null, [], [:]]
        case .list(let element, let limit): badLists(element, limit)
        case .object:
            [
                [], "a", 1, .null, ["a": [:]], ["a": []], ["a": .null], ["a b": 1], ["a;b": 1], ["": 1], ["a": "\u{0}"],
                ["digest": "x"],
            ]
        }
    }

    private static func badLists(_ element: ParameterDefinition.Form, _ limit: Int) -> [JSON] {
        let one = Array(good(element).prefix(1))
        let tooMany = JSON.array((0...limit).map { JSON($0) })
        let broken: [JSON] = bad(element).prefix(4).map { .array([$0]) }
        return [[], "a", 1, .null, [:], [.null], [[]], .array(one + one), tooMany] + broken
    }

    package static func good(_ form: TextForm) -> [String] {
        switch form {
        case .text(let limit): ["", "Größe\n\t\u{1F600}", String(repeating: "x", count: limit)]
        case .line(let limit): ["x", "Größe; a=b,c \u{1F600}", String(repeating: "x", count: limit)]
        case .storageMap: ["local", "1", "aa:bb,cc:dd"]
        case .disk(.vm): ["ide3", "sata5", "scsi30", "virtio15", "efidisk0", "tpmstate0", "unused255"]
        case .disk(.container): ["rootfs", "mp0", "mp255", "unused7"]
        case .shape(_, let samples): samples.isEmpty ? shapes[form] ?? [] : samples
        case .node, .storage, .pool, .environment, .snapshot, .dnsName, .word, .label: ["abc", "a-1"]
        }
    }

    package static func bad(_ form: TextForm) -> [String] {
        switch form {
        case .text(let limit): ["\u{0}", "\u{7F}", "a\rb", String(repeating: "x", count: limit + 1)]
        case .line(let limit): ["", "\u{0}", "a\nb", "a\tb", String(repeating: "x", count: limit + 1)]
        default:
            ["", "a b", "a;b", "a=b", "a\n", "ä", "%2f", "../x", "-", String(repeating: "x", count: 9000)].filter {
                !form.matches($0)
            }
        }
    }

    /// Every shape that the catalogue uses; one without samples fails the tests.
    private static let shapes: [TextForm: [String]] = [
        .digest: [String(repeating: "a", count: 40), String(repeating: "0", count: 64)],
        .configKey: ["net0", "memory"], .cloudInitKey: ["ciuser", "ipconfig31"], .configID: ["nightly", "backup-5b6a"],
        .tag: ["prod", "a", "_x+y.z-1"],
        .size: ["10G", "+512M", "1.5T", "32"],
        .volume: ["local:iso/debian-13.iso", "local-lvm:vm-101-disk-0", "nas:101/vm-101-disk-0.qcow2"],
        .fileName: ["debian-13.iso", "x"], .url: ["https://example.org/a.iso", "http://example.org/?x=1&y=%20;z"],
        .checksum: [String(repeating: "0f", count: 32), String(repeating: "a", count: 128)],
        .schedule: ["mon..fri 2:30", "*/15", "sun 01:00"], .retention: ["keep-last=3,keep-daily=7", "keep-all=1"],
        .network: ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "::1", "1:2:3:4:5:6:7:8"],
        .networkOrAlias: ["192.0.2.1", "dc/office", "office"],
        .addresses: ["192.0.2.1,192.0.2.9", "192.0.2.1-192.0.2.9", "+dc/blocked"],
        .ports: ["22", "80,443", "8000:8010"],
        .firewallName: ["office"], .groupName: ["web", "abcdefghijklmnopqr"], .ruleAction: ["ACCEPT", "web"],
        .protocolName: ["tcp", "echo-request"], .macro: ["SSH"], .resource: ["vm:101", "ct:200"],
        .fingerprint: [String(repeating: "AB:", count: 31) + "CD"], .rankedNode: ["pve1", "pve2:3"],
        .slot: ["scsi0", "rootfs", "mp255", "virtio15"], .directory: ["/srv/data"], .accessPath: ["/", "/vms/101"],
        .serial: ["socket", "/dev/ttyS0"], .parallel: ["/dev/parport0", "/dev/usb/lp1"],
        .password: ["a;b=c d", "12345"],
        .diskSerial: ["WD-1234.5_6"], .worldWideName: ["0x500a0b8000000001"],
        .mountOptions: ["noatime", "noatime;nosuid"],
        .startDate: ["now", "2026-11-22T21:14:03"], .interface: ["net0", "vmbr0.20"],
        .timeZone: ["host", "Europe/Berlin"],
    ]
}
