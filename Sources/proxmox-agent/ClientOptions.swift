import AgentModel
import ArgumentParser
import CurlHTTP

/// Which agent a command asks, under whose token.
struct ClientOptions: ParsableArguments {
    /// The variable that holds the agent's URL.
    static let urlVariable = "PROXMOX_AGENT_URL"
    /// The variable that holds the caller's token.
    static let tokenVariable = "PROXMOX_AGENT_TOKEN"
    static let defaultURL = "http://127.0.0.1:8080"

    @Option(
        help: ArgumentHelp("The agent, else PROXMOX_AGENT_URL, else \(ClientOptions.defaultURL).", valueName: "url"))
    var server: String?

    @Option(
        help: ArgumentHelp(
            "The file that holds your token, - for standard input; else PROXMOX_AGENT_TOKEN.", valueName: "file"),
        completion: .file())
    var tokenFile: String?

    @Option(
        help: ArgumentHelp("Who you are, where all callers share one token (X-Actor-ID).", valueName: "name"))
    var actor: String?

    @Flag(help: "Print the agent's answer as it is, with characters that act on a terminal escaped.")
    var json = false

    func validate() throws {
        if let server { _ = try Self.origin(server, from: "--server") { ValidationError($0) } }
        if let actor, !TextForm.label.matches(actor) {
            throw ValidationError("--actor takes 3 to 128 of A-Z a-z 0-9 . _ : @ / -")
        }
    }

    /// Where to ask: the option, else the variable, else the address that an agent has by itself.
    func origin(_ variables: [String: String]) throws(ClientError) -> HTTPOrigin {
        let (text, source) =
            server.map { ($0, "--server") } ?? variables[Self.urlVariable].map { ($0, Self.urlVariable) }
            ?? (Self.defaultURL, "the default")
        return try Self.origin(text, from: source) { ClientError([$0]) }
    }

    private static func origin<Failure: Error>(
        _ text: String, from source: String, _ failure: (String) -> Failure
    ) throws(Failure) -> HTTPOrigin {
        do throws(HTTPOrigin.Invalid) { return try HTTPOrigin(parsing: text) } catch {
            let why =
                switch error {
                case .scheme where text.hasPrefix("unix:"):
                    "a Unix socket is not supported here; ask through a TCP port"
                case .scheme: "must start with https://, or with http:// on this machine"
                case .host: "has no valid host name or address"
                case .port: "has no valid port; 1 to 65535"
                case .notOnlyOrigin: "must be scheme, host and port alone: https://agent.lan:8443"
                case .plaintextBeyondLoopback: "would show your token to the network; use https://"
                }
            throw failure("\(source): \(why)")
        }
    }

    /// The caller's token, and where it came from.
    func token(_ variables: [String: String]) throws(ClientError) -> (token: Secret, source: String) {
        guard let tokenFile else {
            guard let text = variables[Self.tokenVariable], !text.isEmpty else {
                throw ClientError([
                    "no token: set \(Self.tokenVariable), or name the file that holds it with --token-file"
                ])
            }
            return try Self.checked(Array(text.utf8), from: Self.tokenVariable)
        }
        if tokenFile == "-" {
            return try Self.checked(TokenCommand.Hash.input(), from: "standard input")
        }
        let bytes: [UInt8]
        do throws(FileError) { bytes = try readFile(tokenFile, limit: 4096, isSecret: true) } catch {
            throw ClientError(["\(tokenFile): \(error.detail)"])
        }
        return try Self.checked(bytes, from: tokenFile)
    }

    private static func checked(
        _ bytes: [UInt8], from source: String
    ) throws(ClientError) -> (token: Secret, source: String) {
        var text = String(decoding: bytes, as: UTF8.self)
        if text.hasSuffix("\n") { text.removeLast() }
        guard let token = ConfigReading.checked(text) else {
            throw ClientError(["\(source) must hold the token alone, on one line"])
        }
        return (token, source)
    }
}
