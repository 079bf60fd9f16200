import AgentAPI
import HTTPMessage
import HTTPTypes

extension Surroundings {
    /// Why the request is refused, as an answer; `nil` if it passes. No web page may reach the agent through a browser.
    func refusal(of request: Request) -> Response? {
        guard host(of: request) != nil else {
            return Self.refusal("this Host is not the agent's; mcp.allowed_hosts in its configuration names more")
        }
        guard request.fields[values: .origin].allSatisfy(isAllowed) else {
            return Self.refusal("this Origin is not allowed; mcp.allowed_origins in the configuration names more")
        }
        return nil
    }

    private static func refusal(_ why: String) -> Response {
        RPCError(code: 403, message: why, status: .forbidden).response(id: nil)
    }
}
