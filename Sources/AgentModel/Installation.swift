/// What an installation of the agent is called, and where people reach it.
package struct Installation: Sendable, Hashable {
    /// Its name in signatures and in checkpoints of the audit log: a URL without its scheme.
    package let origin: String
    /// Its name in texts that approvers sign: the same for all agents on one state.
    package let approvalOrigin: String
    /// The web origin under which people reach it, as browsers write it: `https://agent.example`, with a port only if
    /// it is not the scheme's. `nil` if it is not known.
    package let publicURL: String?

    /// `origin` is one that ``isOrigin(_:)`` accepts.
    package init(origin: String, approvalOrigin: String? = nil, publicURL: String? = nil) {
        self.origin = origin
        self.approvalOrigin = approvalOrigin ?? origin
        self.publicURL = publicURL
    }

    /// The origin of an installation whose configuration names none, from the name of the machine, in which what an
    /// origin cannot have becomes `-`, and the id that was made with the state.
    package static func origin(on host: String, id: String) -> String {
        let name = host.lowercased().map { isOriginByte($0.asciiValue ?? 0) && $0 != "/" ? $0 : "-" }
        return "proxmox-agent/\(name.isEmpty ? "localhost" : String(name.prefix(64)))/\(id)"
    }

    /// Whether a text can be an origin: 1 to 200 of `A-Z a-z 0-9 . _ ~ : / -`. C2SP's checkpoints allow neither blanks
    /// nor `+`, and advise a URL without a scheme.
    package static func isOrigin(_ text: String) -> Bool {
        (1...200).contains(text.utf8.count) && text.utf8.allSatisfy(isOriginByte) && !text.contains("://")
    }

    private static func isOriginByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"),
            UInt8(ascii: ":"), UInt8(ascii: "/"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
