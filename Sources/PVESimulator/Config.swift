import Crypto
import StrictJSON

/// The keys and values of a configuration file.
struct Config: Sendable, Hashable, ExpressibleByDictionaryLiteral {
    private var values: [String: String]

    init(dictionaryLiteral values: (String, String)...) { self.init(Dictionary(uniqueKeysWithValues: values)) }
    init(_ values: [String: String]) { self.values = values }

    subscript(key: String) -> String? {
        get { values[key] }
        set { values[key] = newValue }
    }

    var sorted: [(key: String, value: String)] { values.sorted { $0.key < $1.key } }
    var keys: some Collection<String> { values.keys }
    var fileText: String { sorted.reduce(into: "") { $0 += "\($1.key): \($1.value)\n" } }

    /// Whether a disk of it is `volume`.
    func holds(_ volume: String) -> Bool { values.values.contains { Disk($0)?.volume == volume } }

    /// As a JSON object, with numbers where Proxmox VE's schema has integers and booleans.
    func json(of kind: Guest.Kind) -> JSONObject {
        sorted.reduce(into: JSONObject()) { $0[$1.key] = Self.json($1.value, key: $1.key, of: kind) }
    }

    static func json(_ value: String, key: String, of kind: Guest.Kind) -> JSON {
        if key == "cipassword" { return "**********" }
        let type = (kind == .vm ? GuestOptions.vmTable : GuestOptions.containerTable).type(of: key)
        let isNumber = key == "snaptime" || type.map { $0.base == .boolean || $0.base == .integer } ?? false
        return isNumber ? Int(value).map { JSON($0) } ?? .string(value) : .string(value)
    }
}

/// A disk or mount point as its configuration line names it: `local:110/vm-110-disk-0.qcow2,size=1G`.
struct Disk: Sendable, Hashable {
    var volume: String
    var options: PropertyList

    /// `nil` for a value that names no volume.
    init?(_ line: String) {
        let list = PropertyList(line, leading: "file")
        guard let volume = list["file"] ?? list["volume"], volume.contains(":") else { return nil }
        self.volume = volume
        options = list
        options["file"] = nil
        options["volume"] = nil
    }

    var storage: String { String(volume.prefix { $0 != ":" }) }
    /// The part after the storage's name.
    var path: String { String(volume.drop { $0 != ":" }.dropFirst()) }
    var isCDROM: Bool { options["media"] == "cdrom" }
    var bytes: Int { options["size"].flatMap { Disk.bytes($0) } ?? 0 }
    var format: String {
        guard let dot = path.lastIndex(of: ".") else { return "raw" }
        return String(path[path.index(after: dot)...])
    }
    var line: String { options.items.isEmpty ? volume : "\(volume),\(options.text)" }

    /// `32G` in bytes.
    static func bytes(_ text: String) -> Int? {
        guard let last = text.last else { return nil }
        guard let shift = ["K": 10, "M": 20, "G": 30, "T": 40][last] else { return Int(text) }
        if let whole = Int(text.dropLast()), whole < 1 << 20 { return whole << shift }
        return Double(text.dropLast()).flatMap { Int(exactly: ($0 * Double(1 << shift)).rounded(.down)) }
    }

    /// Bytes as Proxmox VE writes them into a configuration.
    static func sizeText(_ bytes: Int) -> String {
        if bytes % (1 << 30) == 0 { return "\(bytes >> 30)G" }
        return bytes % (1 << 20) == 0 ? "\(bytes >> 20)M" : "\(bytes >> 10)K"
    }

    /// Whether `key` of a guest's configuration holds a disk.
    static func isKey(_ key: String, of kind: Guest.Kind) -> Bool {
        let stem = key.prefix { !$0.isNumber }
        guard stem.count < key.count || key == "rootfs" else { return false }
        return switch kind {
        case .vm: ["scsi", "virtio", "sata", "ide", "efidisk", "tpmstate"].contains(stem)
        case .container: key == "rootfs" || stem == "mp"
        }
    }
}

enum Digest {
    static func sha1(_ text: String) -> String { hex(Insecure.SHA1.hash(data: Array(text.utf8))) }

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.reduce(into: "") { $0 += ($1 < 16 ? "0" : "") + String($1, radix: 16) }
    }
}
