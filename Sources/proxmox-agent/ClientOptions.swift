import AgentModel
import ArgumentParser
import CurlHTTP
import MicroHTTPD

/// Which agent a command calls, with which token.
struct ClientOptions: ParsableArguments {
    /// The variable with the agent's URL.
    static let urlVariable = "PROXMOX_AGENT_URL"
    /// The variable with the caller's token.
    static let tokenVariable = "PROXMOX_AGENT_TOKEN"
    /// The variables with the paths of an authority's certificate, of the caller's certificate and of its key.
    static let authorityVariable = "PROXMOX_AGENT_CA_FILE"
    static let certificateVariable = "PROXMOX_AGENT_CERT_FILE"
    static let keyVariable = "PROXMOX_AGENT_KEY_FILE"
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
        help: ArgumentHelp(
            "The authority of an https:// agent as a PEM file, else PROXMOX_AGENT_CA_FILE, else the system's.",
            valueName: "file"),
        completion: .file())
    var caFile: String?

    @Option(
        help: ArgumentHelp(
            "Your client certificate as a PEM file, else PROXMOX_AGENT_CERT_FILE; a token need not stand beside it.",
            valueName: "file"),
        completion: .file())
    var certFile: String?

    @Option(
        help: ArgumentHelp("The key of that certificate, else PROXMOX_AGENT_KEY_FILE.", valueName: "file"),
        completion: .file())
    var keyFile: String?

    @Option(
        help: ArgumentHelp("Your name, where all callers share one token (X-Actor-ID).", valueName: "name"))
    var actor: String?

    @Flag(help: "Print the agent's answer as it is, with characters that act on a terminal escaped.")
    var json = false

    func validate() throws {
        if let server { _ = try Self.origin(server, from: "--server") { ValidationError($0) } }
        if let actor, !TextForm.label.matches(actor) {
            throw ValidationError("--actor takes 3 to 128 of A-Z a-z 0-9 . _ : @ / -")
        }
    }

    /// The agent's URL: the option, else the variable, else an agent's default address.
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

    /// How the agent must prove its identity.
    func trust(_ variables: [String: String], _ origin: HTTPOrigin) throws(ClientError) -> ServerTrust {
        let given = Self.file(caFile, "--ca-file", Self.authorityVariable, variables)
        guard let (file, source) = given, origin.scheme == .https else { return .system }
        _ = try Self.read(file, from: source)
        return .authority(file: file)
    }

    /// The file that the option names, else the variable if it is not empty; and which of them named it.
    private static func file(
        _ option: String?, _ name: String, _ variable: String, _ variables: [String: String]
    ) -> (path: String, source: String)? {
        option.map { ($0, name) } ?? variables[variable].flatMap { $0.isEmpty ? nil : ($0, variable) }
    }

    /// The caller's client certificate; `nil` if none is named.
    func identity(_ variables: [String: String], _ origin: HTTPOrigin) throws(ClientError) -> ClientIdentity? {
        let certificate = Self.file(certFile, "--cert-file", Self.certificateVariable, variables)
        let key = Self.file(keyFile, "--key-file", Self.keyVariable, variables)
        guard certificate != nil || key != nil, origin.scheme == .https else { return nil }
        guard let certificate, let key else {
            throw ClientError(["certificate and key go together: give both --cert-file and --key-file"])
        }
        let pair = (
            certificate: try Self.read(certificate.path, from: certificate.source),
            key: try Self.read(key.path, from: key.source, isSecret: true)
        )
        // Check here, since libcurl does not say which file cannot be used, and why.
        do throws(TLSError) { _ = try TLSCredentials(certificate: pair.certificate, key: pair.key) } catch {
            switch error {
            case .certificate(let why), .authorities(let why):
                throw ClientError(["\(certificate.source): \(certificate.path) \(why)"])
            case .key(let why): throw ClientError(["\(key.source): \(key.path) \(why)"])
            }
        }
        return ClientIdentity(certificateFile: certificate.path, keyFile: key.path)
    }

    private static func read(
        _ file: String, from source: String, isSecret: Bool = false
    ) throws(ClientError) -> [UInt8] {
        do throws(FileError) { return try readFile(file, limit: 1 << 20, isSecret: isSecret) } catch {
            throw ClientError(["\(source): \(file): \(error.detail)"])
        }
    }

    /// The caller's token and its source; `nil` if there is none and a certificate makes it unnecessary.
    func token(
        _ variables: [String: String], isNeeded: Bool
    ) throws(ClientError) -> (token: Secret, source: String)? {
        guard let tokenFile else {
            guard let text = variables[Self.tokenVariable], !text.isEmpty else {
                guard isNeeded else { return nil }
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
