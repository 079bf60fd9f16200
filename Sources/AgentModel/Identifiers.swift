/// The number of a virtual machine or container: 100 to 999 999 999, as PVE's `pve-vmid`.
package struct VMID: Sendable, Hashable, Comparable, CustomStringConvertible {
    package let rawValue: UInt32

    package init?(rawValue: UInt32) {
        guard (100...999_999_999).contains(rawValue) else { return nil }
        self.rawValue = rawValue
    }

    /// Decimal digits without sign or leading zero.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.allSatisfy(TextForm.isDigit), text.utf8.first != UInt8(ascii: "0"), let value = UInt32(text)
        else { return nil }
        self.init(rawValue: value)
    }

    package static func < (a: VMID, b: VMID) -> Bool { a.rawValue < b.rawValue }
    package var description: String { String(rawValue) }
}

/// A cluster node's name: `[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?`, at most 63 characters.
package struct NodeName: Sendable, Hashable, Comparable, CustomStringConvertible {
    package let description: String

    package init?(_ text: String) {
        guard TextForm.node.matches(text) else { return nil }
        description = text
    }

    package static func < (a: NodeName, b: NodeName) -> Bool { a.description < b.description }
}

/// A storage's name: a letter, then letters, digits, `-`, `_` or `.`, ending in a letter or digit (`pve-storage-id`).
package struct StorageName: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init?(_ text: String) {
        guard TextForm.storage.matches(text) else { return nil }
        description = text
    }
}

/// A pool's name, nested pools with `/` (`pve-poolid`).
package struct PoolName: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init?(_ text: String) {
        guard TextForm.pool.matches(text) else { return nil }
        description = text
    }
}

/// What kind of guest: the word PVE uses in its paths.
package enum GuestKind: String, Sendable, Hashable, CaseIterable {
    case vm = "qemu"
    case container = "lxc"

    /// The word our targets use: `vm/101`, `lxc/200`.
    package var targetWord: String { self == .vm ? "vm" : "lxc" }
    /// The word for people.
    package var noun: String { self == .vm ? "virtual machine" : "container" }
    /// The prefix of its task types.
    var taskPrefix: String { self == .vm ? "qm" : "vz" }
    /// The content type that a storage must accept to hold its disks.
    package var diskContent: String { self == .vm ? "images" : "rootdir" }
    var form: TargetForm { self == .vm ? .vm : .container }
}

/// A guest within one environment.
package struct GuestRef: Sendable, Hashable, Comparable, CustomStringConvertible {
    package let kind: GuestKind
    package let id: VMID

    package init(kind: GuestKind, id: VMID) {
        self.kind = kind
        self.id = id
    }

    package static func < (a: GuestRef, b: GuestRef) -> Bool { a.id < b.id }
    package var description: String { "\(kind.targetWord)/\(id)" }
}

/// A PVE task's id, `UPID:node:pid:pstart:starttime:type:id:user:`.
package struct UPID: Sendable, Hashable, CustomStringConvertible {
    package let description: String
    package let node: NodeName
    package let type: String
    /// The object that the task works on, such as `101`; may be empty and may contain `>` and `@`.
    package let id: String
    package let user: String
    /// Seconds since 1970.
    package let startTime: UInt32

    package init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard text.utf8.count <= 512, text.unicodeScalars.allSatisfy(Self.mayStand),
            parts.dropLast(2).allSatisfy({ $0.utf8.allSatisfy { $0 < 0x7F } }),
            parts.count == 9, parts[0] == "UPID", parts[8].isEmpty, let node = NodeName(String(parts[1])),
            Self.isHex(parts[2], 8...8), Self.isHex(parts[3], 8...9), Self.isHex(parts[4], 8...8),
            let startTime = UInt32(parts[4], radix: 16), !parts[5].isEmpty, !parts[7].isEmpty
        else { return nil }
        description = text
        self.node = node
        type = String(parts[5])
        id = String(parts[6])
        user = String(parts[7])
        self.startTime = startTime
    }

    /// A regular expression (ECMA 262) for ids, though not for every character that no user's name has.
    package static let expression =
        "UPID:\(TextForm.node.pattern.dropFirst().dropLast()):[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}"
        + #":[!-.0-9;-~]+:[!-.0-9;-~]*:[^:/\s\u0000-\u001f\u007f-\u009f\#(formats)]+:"#

    /// The characters of the general category Cf (format) that JSON writes as one escape.
    private static let formats =
        #"\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064"#
        + #"\u2066-\u206f\ufeff\ufff9-\ufffb"#

    /// PVE allows all characters except spaces, colons and slashes in a user name.
    private static func mayStand(_ scalar: Unicode.Scalar) -> Bool {
        // The properties of a character take much longer to look up, and lists of tasks are long.
        if scalar.isASCII { return scalar.value > 0x20 && scalar != "/" && scalar.value != 0x7F }
        return !scalar.properties.isWhitespace
            && ![.control, .format, .surrogate].contains(scalar.properties.generalCategory)
    }

    private static func isHex(_ text: Substring, _ length: ClosedRange<Int>) -> Bool {
        length.contains(text.utf8.count) && text.allSatisfy(\.isHexDigit)
    }
}

/// A name for an environment: 1 to 64 of `[A-Za-z0-9._-]`, starting with a letter or digit.
package struct EnvironmentName: Sendable, Hashable, Comparable, CustomStringConvertible {
    package let description: String

    package init?(_ text: String) {
        guard TextForm.environment.matches(text) else { return nil }
        description = text
    }

    package static func < (a: EnvironmentName, b: EnvironmentName) -> Bool { a.description < b.description }
}

/// The id of a plan (`pln_…`) or an operation (`op_…`): a prefix and 20 characters of lower-case Crockford base32.
package struct RecordID: Sendable, Hashable, CustomStringConvertible {
    package enum Kind: String, Sendable, CaseIterable {
        case plan = "pln_"
        case operation = "op_"
        case freeze = "frz_"
        case session = "ses_"
        case notification = "ntf_"
    }

    package let description: String
    package let kind: Kind
    /// Crockford's base32, in lower case.
    package static let alphabet = Array("0123456789abcdefghjkmnpqrstvwxyz")

    package init?(_ text: String, _ kind: Kind) {
        let tail = text.dropFirst(kind.rawValue.count)
        guard text.hasPrefix(kind.rawValue), tail.count == 20, tail.allSatisfy(Self.alphabet.contains) else {
            return nil
        }
        description = text
        self.kind = kind
    }

    /// A new id with 100 bits from `generator`.
    package init(_ kind: Kind, using generator: inout some RandomNumberGenerator) {
        self.kind = kind
        description =
            kind.rawValue
            + String((0..<20).map { _ in Self.alphabet[Int.random(in: 0..<32, using: &generator)] })
    }
}
