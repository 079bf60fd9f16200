/// PVE's own answer when it refused.
package struct PVERejection: Sendable, Hashable {
    package let status: Int
    /// PVE's text: from the body or, if that has none, from the status line.
    package let reason: String
    /// PVE's errors for single parameters.
    package let errors: [String: String]

    package init(status: Int, reason: String, errors: [String: String] = [:]) {
        self.status = status
        self.reason = reason
        self.errors = errors
    }

    /// Whether the node that received the call lost another node or process on the way. The call may have taken effect.
    package var isFromGateway: Bool { status == 502 || status == 504 || (595...599).contains(status) }

    /// Whether the call never reached its node, or that node's daemon. That node has not refused anything.
    package var isUnreachable: Bool { (502...504).contains(status) || (595...599).contains(status) }
}
