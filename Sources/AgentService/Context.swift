package import AgentModel

/// Who is asking, what they may do, and the ids of the request.
package struct Context: Sendable {
    package let caller: Caller
    /// The principal and its rights when the request came in.
    package let principal: Principal
    package let requestID: String
    package let trace: TraceContext?

    package init(caller: Caller, principal: Principal, requestID: String, trace: TraceContext? = nil) {
        self.caller = caller
        self.principal = principal
        self.requestID = requestID
        self.trace = trace
    }

    /// The agent itself, for what happens without a request.
    static let agent = Context(
        caller: Caller(principal: "proxmox-agent", label: nil), principal: .nobody, requestID: "")

    /// The agent itself, which goes on with what a request began.
    static func agent(continuing operation: Operation) -> Context {
        Context(
            caller: agent.caller, principal: agent.principal, requestID: agent.requestID, trace: operation.trace)
    }
}
