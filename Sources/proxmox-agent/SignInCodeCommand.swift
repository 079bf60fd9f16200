import ArgumentParser
import HTTPTypes
import StrictJSON

/// `proxmox-agent sign-in-code`
struct SignInCodeCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign-in-code", abstract: "Get a one-time code to sign in at the console with.",
        discussion: """
            For a device where your token is awkward to enter, such as a phone. The code signs in as you, once, within \
            ten minutes; a new one replaces it.
            """)

    @OptionGroup var client: ClientOptions

    func ask(_ agent: AgentClient) async throws(ClientError) -> Shown {
        let answer = try await agent.change(.post, "/v1/session/code")
        let (code, end) = (answer.json["code"]?.string ?? "", answer.json["expires_at"]?.string ?? "")
        let place = answer.json["url"]?.string.map { " at \($0)" } ?? ""
        return Shown(answer: answer, lines: [code, "sign in with it\(place), before \(end)"])
    }
}
