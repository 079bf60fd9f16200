/// A form required of text from outside. It has the name of the PVE format if there is one.
package enum TextForm: Sendable, Hashable {
    case node, storage, pool, environment, snapshot, dnsName, word, label
    /// Storages or pairs of storages, separated by commas: `local-lvm` or `nas:ceph,local:ceph`. `1` maps each storage
    /// to itself.
    case storageMap
    /// Any text up to this many code points, without control characters except newline and tab.
    case text(Int)
    /// One line from 1 to this many code points, without control characters.
    case line(Int)
    /// A disk, with a name that the kind of guest uses: `scsi0`, `rootfs`.
    case disk(GuestKind)
    /// ASCII text that the regular expression matches as a whole, and examples that it matches. The expression must
    /// bound the length.
    case shape(String, samples: [String] = [])

    /// The form as a regular expression (ECMA 262), for schemas and error texts.
    package var pattern: String {
        switch self {
        case .node: "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
        case .storage: "^[A-Za-z][A-Za-z0-9._-]{0,98}[A-Za-z0-9]$"
        case .pool: #"^(?=.{1,200}$)(?!(.*/)?\.{1,2}(/|$))[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}$"#
        case .environment: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
        case .snapshot: "^[A-Za-z][A-Za-z0-9_-]{1,39}$"
        case .dnsName:
            #"^(?=.{1,63}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$"#
        case .word: "^[A-Za-z0-9_-]{1,64}$"
        case .label: "^[A-Za-z0-9._:@/-]{3,128}$"
        case .storageMap: "^(?=.{1,512}$)\(Self.storagePair)(,\(Self.storagePair))*$"
        case .text(let limit): "^[^\\u0000-\\u0008\\u000b-\\u001f\\u007f]{0,\(limit)}$"
        case .line(let limit): "^[^\\u0000-\\u001f\\u007f]{1,\(limit)}$"
        case .disk(.vm): Self.machineDisk
        case .disk(.container): Self.containerDisk
        case .shape(let expression, _): "^\(expression)$"
        }
    }

    /// Whether `text` has this form.
    package func matches(_ text: String) -> Bool {
        let bytes = text.utf8
        switch self {
        case .node:
            return (1...63).contains(bytes.count) && edges(bytes, Self.isAlphanumeric)
                && bytes.allSatisfy { Self.isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
        case .storage:
            return (2...100).contains(bytes.count) && bytes.first.map(Self.isLetter) == true
                && edges(bytes, Self.isAlphanumeric) && bytes.allSatisfy(Self.isNameByte)
        case .pool:
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            return bytes.count <= 200 && (1...3).contains(parts.count)
                && parts.allSatisfy { part in
                    !part.isEmpty && part != "." && part != ".." && part.utf8.allSatisfy(Self.isNameByte)
                }
        case .environment:
            return (1...64).contains(bytes.count) && bytes.first.map(Self.isAlphanumeric) == true
                && bytes.allSatisfy(Self.isNameByte)
        case .snapshot:
            return (2...40).contains(bytes.count) && bytes.first.map(Self.isLetter) == true
                && bytes.allSatisfy { Self.isAlphanumeric($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") }
        case .dnsName:
            return (1...63).contains(bytes.count)
                && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy {
                    TextForm.node.matches(String($0))
                }
        case .word:
            return (1...64).contains(bytes.count)
                && bytes.allSatisfy { Self.isAlphanumeric($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") }
        case .label:
            return (3...128).contains(bytes.count)
                && bytes.allSatisfy { Self.isNameByte($0) || ":@/".utf8.contains($0) }
        case .storageMap:
            return (1...512).contains(bytes.count)
                && text.split(separator: ",", omittingEmptySubsequences: false).allSatisfy(Self.isStoragePair)
        case .text(let limit):
            return text.unicodeScalars.count <= limit
                && bytes.allSatisfy { ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x0A || $0 == 0x09 }
        case .line(let limit):
            return (1...limit).contains(text.unicodeScalars.count) && bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
        case .disk, .shape:
            guard bytes.count <= 8192, bytes.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else { return false }
            return Expressions.shared.matches(pattern, text)
        }
    }

    private static let storagePair =
        "(1|[A-Za-z][A-Za-z0-9._-]{0,98}[A-Za-z0-9](:[A-Za-z][A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)"

    private static func isStoragePair(_ text: Substring) -> Bool {
        let names = text.split(separator: ":", omittingEmptySubsequences: false)
        return text == "1" || (names.count <= 2 && names.allSatisfy { TextForm.storage.matches(String($0)) })
    }

    private func edges(_ bytes: String.UTF8View, _ test: (UInt8) -> Bool) -> Bool {
        guard let first = bytes.first, let last = bytes.last else { return false }
        return test(first) && test(last)
    }

    static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) }
    static func isAlphanumeric(_ byte: UInt8) -> Bool { isDigit(byte) || isLetter(byte) }
    static func isNameByte(_ byte: UInt8) -> Bool { isAlphanumeric(byte) || "._-".utf8.contains(byte) }
}
