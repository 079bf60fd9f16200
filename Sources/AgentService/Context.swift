package import AgentModel

/// Who asks, what they may do, and under which request id.
package struct Context: Sendable {
    package let caller: Caller
    /// Who that was, and what they might do, when the request came in.
    package let principal: Principal
    package let requestID: String

    package init(caller: Caller, principal: Principal, requestID: String) {
        self.caller = caller
        self.principal = principal
        self.requestID = requestID
    }

    /// The agent itself, for what happens without anybody asking.
    static let agent = Context(
        caller: Caller(principal: "proxmox-agent", label: nil), principal: .nobody, requestID: "")
}
