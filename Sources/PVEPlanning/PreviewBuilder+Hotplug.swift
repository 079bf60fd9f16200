import AgentModel
import AgentService
import StrictJSON

/// Keys that a running guest applies at once; others wait for its next start (`vmconfig_hotplug_pending` of both
/// kinds).
extension PreviewBuilder {
    func hotplug() -> [Check] {
        guard let guest, guest.kind == .vm ? machine.hasProcess : status == "running" else { return [] }
        var waiting: Set<String> = []
        for call in calls where call.path.last == "config" {
            let (deleted, set) = call.configKeys
            if boot(after: call) != nil { waiting.insert("boot") }
            for key in deleted + set where call[key] == nil || config[key].map({ $0.string ?? $0.text }) != call[key] {
                let isAtOnce = guest.kind == .vm ? machineTakes(key, call[key]) : containerTakes(key, call[key])
                if !isAtOnce { waiting.insert(key) }
            }
        }
        guard !waiting.isEmpty else { return [] }
        let names = waiting.sorted().joined(separator: ", ")
        return [
            Check(
                "pending-until-reboot", .warn,
                "\(names) \(waiting.count == 1 ? "takes" : "take") effect at the next start")
        ]
    }

    /// Whether a running machine applies the key's new value, or its deletion, at once.
    private func machineTakes(_ key: String, _ next: String?) -> Bool {
        let text = config["hotplug"].map { $0.string ?? $0.text } ?? "1"
        let enabled = text == "1" ? ["network", "disk", "usb"] : text.split(separator: ",").map(String.init)
        switch Self.stem(of: key) {
        case "net": return enabled.contains("network")
        case "scsi", "virtio": return enabled.contains("disk")
        case "ide", "sata":
            // PVE does not hotplug these; it only changes their medium.
            return Self.isCDROM(key, config[key]?.string ?? "") && next.map { Self.isCDROM(key, $0) } == true
        case "usb": return enabled.contains("usb")
        case "memory": return enabled.contains("memory")
        case "vcpus": return enabled.contains("cpu")
        case "ipconfig", "unused": return true
        default: return Self.atOnceForMachines.contains(key)
        }
    }

    private func containerTakes(_ key: String, _ next: String?) -> Bool {
        switch Self.stem(of: key) {
        case "net", "unused": true
        case "mp", "dev": config[key] == nil && next != nil
        default: Self.atOnceForContainers.contains(key)
        }
    }

    /// A key without its number: `net` for `net0`.
    private static func stem(of key: String) -> String {
        String(key.reversed().drop { $0.isASCII && $0.isNumber }.reversed())
    }

    private static let atOnceForMachines: Set<String> = [
        "name", "description", "tags", "onboot", "protection", "startup", "hookscript", "autostart", "cpuunits",
        "cpulimit", "shares", "balloon", "migrate_downtime", "vmstatestorage", "ciuser", "cipassword", "sshkeys",
        "nameserver", "searchdomain", "citype", "ciupgrade", "cicustom", "hotplug",
    ]
    private static let atOnceForContainers: Set<String> = [
        "cores", "cpulimit", "cpuunits", "description", "hookscript", "hostname", "memory", "onboot", "protection",
        "startup", "swap", "tags",
    ]
}
