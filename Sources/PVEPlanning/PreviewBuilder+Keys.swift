import AgentModel
import AgentService
import StrictJSON

/// What PVE requires before it sets or deletes a guest's keys: a privilege for each, or that root@pam itself does it.
extension PreviewBuilder {
    /// A key that a call sets, with its value, or deletes.
    private struct Touch {
        let key: String
        let value: String?
    }

    /// The keys of the target's configuration that the calls set and delete, including those of a guest to be made.
    private var touchedKeys: [Touch] {
        guard let kind = guest?.kind else { return [] }
        return calls.filter { $0.path.first == "nodes" }.flatMap { call -> [Touch] in
            let isNew = call.path.count == 3 && call["archive"] == nil && call["restore"] == nil
            guard call.method != .get, isNew || call.path.last == "config" else { return [] }
            let deleted = [call["delete"], call["revert"]].flatMap { ($0 ?? "").split(separator: ",").map(String.init) }
            let set = call.shownParameters.members
            return deleted.map { Touch(key: $0, value: nil) }
                + set.compactMap { member in
                    guard ActionCatalog.configureKeys(of: kind).contains(where: { $0.matches(member.key) }) else {
                        return nil
                    }
                    return Touch(key: member.key, value: member.value.string ?? member.value.text)
                }
        }
    }

    /// The privileges that the keys need on the guest.
    func keyNeeds() -> [[String]] {
        guard let guest else { return [] }
        var needs: [[String]] = []
        for touch in touchedKeys {
            let need: [String]
            switch ActionCatalog.privilege(for: touch.key, of: guest.kind) {
            case .anyOf(let names): need = names
            case .rootOnly: continue
            case .byValue: need = [privilege(for: touch, of: guest.kind)]
            }
            if !needs.contains(need) { needs.append(need) }
        }
        return needs
    }

    /// Privileges that PVE requires on paths other than the guest's: the order of starts belongs to the nodes, a
    /// privileged container reaches into its node, and a bridge belongs to a zone.
    func placeNeeds() -> [(path: String, anyOf: [String])] {
        guard let guest else { return [] }
        let isOrdered = guest.kind == .vm && touchedKeys.contains { $0.key == "startup" }
        let isPrivileged = guest.kind == .container && !isThere && request.params["unprivileged"] == false
        let bridges = Set(networkDevices.flatMap(Self.networks)).sorted()
        return (isOrdered || isPrivileged ? [("/", ["Sys.Modify"])] : [])
            + bridges.map { ("/sdn/zones/localnetwork/\($0)", ["SDN.Use"]) }
    }

    /// The devices that the calls set or delete, with old and new values; for a copy, all devices of the copied guest.
    private var networkDevices: [JSONObject] {
        let touched = touchedKeys.filter { ParameterDefinition.isNetworkDevice($0.key) }
        let isCopied = calls.contains { $0.path.last == "clone" }
        let copied = isCopied ? (config.object?.keys ?? []).filter(ParameterDefinition.isNetworkDevice) : []
        let now = (touched.map(\.key) + copied).compactMap { key in config[key]?.string.map { (key, $0) } }
        return (now + touched.compactMap { touch in touch.value.map { (touch.key, $0) } })
            .compactMap { PropertyString.settings($0.0, $0.1) }
    }

    /// The bridge, or its VLANs, as PVE's access control names them.
    private static func networks(of device: JSONObject) -> [String] {
        guard let bridge = device["bridge"].map({ $0.string ?? $0.text }) else { return [] }
        var tags = device["tag"].map { [$0.string ?? $0.text] } ?? []
        for part in (device["trunks"].map { $0.string ?? $0.text } ?? "").split(separator: ";") {
            let ends = part.split(separator: "-").compactMap { Int($0) }.filter { (1...4094).contains($0) }
            guard let first = ends.first, let last = ends.last, first <= last else { continue }
            tags += (first...last).map(\.description)
        }
        return tags.isEmpty ? [bridge] : tags.map { "\(bridge)/\($0)" }
    }

    private func privilege(for touch: Touch, of kind: GuestKind) -> String {
        if touch.key == "features" { return "VM.Allocate" }
        guard TextForm.disk(kind).matches(touch.key) else { return "VM.Config.HWType" }
        let value = touch.value ?? config[touch.key]?.string ?? ""
        // Making a guest only needs the privilege to allocate space for its disks.
        if !isThere { return "VM.Allocate" }
        return Self.isCDROM(touch.key, value) ? "VM.Config.CDROM" : "VM.Config.Disk"
    }

    static func isCDROM(_ slot: String, _ value: String) -> Bool {
        PropertyString.settings(slot, value)?["media"] == "cdrom"
    }

    /// Blocks the keys that no token may set, whatever its privileges.
    func rootOnly() -> [Check] {
        guard let guest else { return [] }
        let command = guest.kind == .vm ? "qm set \(guest.id)" : "pct set \(guest.id)"
        return touchedKeys.compactMap { touch in
            guard let why = reason(touch, of: guest) else { return nil }
            return Check(
                "root-only", .block,
                "PVE lets only root@pam itself change \(touch.key)\(why), and no token; do it on the node: \(command) …"
            )
        }
    }

    /// Why there is no undo for the guest: PVE would refuse it to a token.
    func rootOnly(in undo: FollowUp) -> UndoGap? {
        guard let guest, undo.action.hasPrefix("configure_") else { return nil }
        let known = ActionCatalog.configureKeys(of: guest.kind)
        let params = undo.params
        let set = params.members.filter { member in known.contains { $0.matches(member.key) } }
            .map { Touch(key: $0.key, value: $0.value.string ?? $0.value.text) }
        let deleted = (params["delete"]?.array ?? []).compactMap(\.string).map { Touch(key: $0, value: nil) }
        return (set + deleted).lazy.compactMap { touch in
            self.reason(touch, of: guest).map { why in
                UndoGap(touch.key, "PVE lets only root@pam itself change \(touch.key)\(why), and no token: no undo")
            }
        }.first
    }

    /// Why only root may; `nil` where others may as well. A replaced device counts as much as its replacement.
    private func reason(_ touch: Touch, of guest: GuestRef) -> String? {
        let isDevice = ["serial", "usb", "hostpci"].contains { touch.key.hasPrefix($0) }
        if isDevice, touch.value != nil, config[touch.key] != nil,
            let why = reason(Touch(key: touch.key, value: nil), of: guest)
        {
            return why
        }
        switch ActionCatalog.privilege(for: touch.key, of: guest.kind) {
        case .anyOf: return nil
        case .rootOnly: return ""
        case .byValue: break
        }
        let value = touch.value ?? config[touch.key]?.string ?? ""
        if touch.key == "features" { return reasonOfFeatures(touch.value) }
        if touch.key.hasPrefix("serial") { return value == "socket" ? nil : " to a device of the node's" }
        let settings = PropertyString.settings(touch.key, value) ?? [:]
        let host = settings["host"]?.string
        if touch.key.hasPrefix("hostpci") {
            if settings["romfile"] != nil { return " with romfile" }
            return host == nil || settings["mapping"] != nil ? nil : " to a device that is not mapped"
        }
        if touch.key.hasPrefix("usb") {
            return host == nil || host?.lowercased() == "spice" ? nil : " to a device that is not mapped"
        }
        let isPath = touch.value != nil && settings["volume"]?.string?.hasPrefix("/") == true
        return guest.kind == .container && isPath ? " to a directory or device of the node's" : nil
    }

    /// Only root may set the features of a privileged container, and those of an unprivileged one except nesting.
    private func reasonOfFeatures(_ next: String?) -> String? {
        let isUnprivileged = isThere ? config["unprivileged"]?.flag : request.params["unprivileged"]?.flag ?? true
        guard isUnprivileged == true else { return " of a privileged container" }
        let before = PropertyString.settings("features", config["features"]?.string ?? "") ?? [:]
        let after = PropertyString.settings("features", next ?? "") ?? [:]
        let others = Set(before.keys + after.keys).subtracting(["nesting"])
        return others.contains { before[$0] != after[$0] } ? " but for nesting" : nil
    }
}
