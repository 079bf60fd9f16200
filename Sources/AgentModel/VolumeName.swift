/// A volume, archive or device, identified independently of its spelling.
///
/// `local:900/base-900-disk-0.qcow2/101/vm-101-disk-0.qcow2` and `local:101/vm-101-disk-0.raw` are the same image: the
/// base image, the directory and the format are not part of the name.
package struct VolumeName: Sendable, Hashable {
    /// `nil` for a path of the node.
    package let storage: StorageName?
    /// `vm-101-disk-0`, `iso/debian.iso`, a path.
    package let name: String

    /// `nil` for a text that is neither `STORAGE:NAME` nor a path.
    package init?(_ text: some StringProtocol) {
        if text.hasPrefix("/") {
            storage = nil
            name = String(text)
            return
        }
        guard let colon = text.firstIndex(of: ":"), let storage = StorageName(String(text[..<colon])) else {
            return nil
        }
        let rest = text[text.index(after: colon)...]
        guard !rest.isEmpty else { return nil }
        self.storage = storage
        let folders = rest.split(separator: "/")
        // Files that only their full name distinguishes.
        if folders.count > 1, ["iso", "vztmpl", "snippets", "backup", "import"].contains(folders[0]) {
            name = String(rest)
            return
        }
        let last = folders.last ?? ""
        let stem = last.prefix { $0 != "." && $0 != "@" }
        let isImage = ["vm", "base", "subvol", "basevol"].contains { stem.hasPrefix("\($0)-") }
        name = isImage ? String(stem) : String(rest)
    }

    package var description: String { storage.map { "\($0):\(name)" } ?? name }

    /// The guest that owns the volume according to its name: the last one in the name.
    package var owner: VMID? { Self.owners(in: description).last }

    // MARK: Owners

    private static let stems: Set<Substring> = ["vm", "base", "subvol", "basevol"]
    private static let archives: Set<Substring> = ["qemu", "lxc", "openvz"]

    /// The guests that a text names by their volumes, archives, files or directories, in the text's order:
    /// `vm-101-disk-0`, `base-101-…`, `vzdump-qemu-101-…`, `…/101/…`, `backup/vm/101/…`, and the device mapper's form
    /// `vm--101--disk--0`. It also finds texts that only look like one of these, because a rule should rather be too
    /// strict than miss a guest.
    package static func owners(in text: String) -> [VMID] {
        var found: [VMID] = []
        for word in text.split(whereSeparator: { ",=; \t\n\"'".contains($0) }) {
            // Numbers of USB devices.
            guard !word.hasPrefix("/dev/bus/") else { continue }
            let parts = word.split(omittingEmptySubsequences: false, whereSeparator: { "/:@".contains($0) })
            for (index, part) in parts.enumerated() {
                if let id = owner(byName: part) { found.append(id) }
                guard index > 0, index < parts.count - 1 || word.hasPrefix("/") else { continue }
                if let id = VMID(part.prefix { $0 != "." }) { found.append(id) }
            }
        }
        return found
    }

    /// The number in `vm-101-disk-0`, anywhere in the name.
    private static func owner(byName part: Substring) -> VMID? {
        let words = part.split(whereSeparator: { !($0.isASCII && ($0.isLetter || $0.isNumber)) })
        for (index, word) in words.enumerated().dropLast(2) {
            let isVolume = stems.contains(word)
            let isArchive = archives.contains(word) && index > 0 && words[index - 1] == "vzdump"
            guard isVolume || isArchive, let id = VMID(words[index + 1]) else { continue }
            return id
        }
        return nil
    }

    /// Whether the value of a guest's configuration key makes a new disk, or names no existing guest data: an empty
    /// drive, an installation image in a CD drive, a cloud-init drive. Any other value is an existing volume, path or
    /// device.
    package static func isNewDisk(_ text: String) -> Bool {
        let parts = text.split(separator: ",")
        let isCDROM = parts.contains("media=cdrom")
        for part in parts {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair[0] != "import-from", !part.contains(where: \.isWhitespace) else { return false }
            guard pair.count == 1 || ["file", "volume"].contains(pair[0]) else { continue }
            guard let value = pair.last, isNew(value, isCDROM: isCDROM) else { return false }
        }
        return !text.isEmpty
    }

    private static func isNew(_ value: Substring, isCDROM: Bool) -> Bool {
        if value == "none" { return true }
        guard let volume = VolumeName(value), volume.storage != nil else { return false }
        let parts = volume.name.split(separator: "/", omittingEmptySubsequences: false)
        if parts == ["cloudinit"] || (isCDROM && parts.count == 2 && parts[0] == "iso") { return true }
        let digits = volume.name.split(separator: ".", omittingEmptySubsequences: false)
        return digits.count <= 2 && digits.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy(TextForm.isDigit) }
    }
}
