/// What PVE itself said when it refused.
package struct PVERejection: Sendable, Hashable {
    package let status: Int
    /// PVE's text, of the body or, where that has none, of the status line.
    package let reason: String
    /// What it said of single parameters.
    package let errors: [String: String]

    package init(status: Int, reason: String, errors: [String: String] = [:]) {
        self.status = status
        self.reason = reason
        self.errors = errors
    }

    /// Whether the node that was asked lost another node or process on the way: what was asked may have happened.
    package var isFromGateway: Bool { status == 502 || status == 504 || (595...599).contains(status) }

    /// Whether what was asked never got to the node, or to its daemon: nobody there has refused anything.
    package var isUnreachable: Bool { (502...504).contains(status) || (595...599).contains(status) }
}
