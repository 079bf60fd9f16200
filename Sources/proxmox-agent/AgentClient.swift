import AgentAPI
import AgentModel
import CurlHTTP
import HTTPMessage
import HTTPTypes
import StrictJSON

/// Why a client command failed: lines for standard error.
struct ClientError: Error, Sendable {
    let lines: [String]
    /// The agent's answer, if there was one.
    var answer: AgentClient.Answer?

    init(_ lines: [String]) { self.lines = lines }
}

/// A client of an agent's HTTP API, through libcurl.
struct AgentClient: Sendable {
    /// The agent's answer, as raw text and as JSON.
    struct Answer: Sendable {
        let text: String
        let json: JSON
    }

    let transport: CurlTransport
    let fields: HTTPFields
    /// The source of the caller's credentials.
    private let source: String

    init(_ options: ClientOptions) throws(ClientError) {
        let variables = environmentVariables()
        let origin = try options.origin(variables)
        let identity = try options.identity(variables, origin)
        let token = try options.token(variables, isNeeded: identity == nil)
        var fields: HTTPFields = [:]
        // Reveals the token: a header of this one request, to the agent that the token is for.
        if let token { fields[.authorization] = "Bearer \(token.token.reveal())" }
        fields[.actorID] = options.actor
        let loop: CurlLoop
        do { loop = try CurlLoop() } catch { throw ClientError(["libcurl: \(error)"]) }
        // Longer than an agent takes that waits for a PVE without an answer.
        let configuration = CurlConfiguration(
            origin: origin, trust: try options.trust(variables, origin), identity: identity, timeout: .seconds(100),
            userAgent: "proxmox-agent/\(Version.text)")
        transport = CurlTransport(configuration, loop: loop)
        self.fields = fields
        source = [
            token.map { "the token came from \($0.source)" },
            identity.map { "the certificate from \($0.certificateFile)" },
        ]
        .compactMap(\.self).joined(separator: ", ")
    }

    /// Reads; leaves out queries without a value.
    func get(_ path: String, _ query: [(name: String, value: String?)] = []) async throws(ClientError) -> Answer {
        try await send(.get, path, query, nil)
    }

    /// Sends a change, once.
    func change(
        _ method: HTTPRequest.Method, _ path: String, _ query: [(name: String, value: String?)] = [],
        _ body: JSON? = nil
    ) async throws(ClientError) -> Answer {
        try await send(method, path, query, body)
    }

    /// A request's target; leaves out queries without a value.
    static func target(_ path: String, _ query: [(name: String, value: String?)]) -> String {
        let items = query.compactMap { item in item.value.map { "\(item.name)=\($0.percentEncoded)" } }
        return path + (items.isEmpty ? "" : "?" + items.joined(separator: "&"))
    }

    private func send(
        _ method: HTTPRequest.Method, _ path: String, _ query: [(name: String, value: String?)], _ body: JSON?
    ) async throws(ClientError) -> Answer {
        let target = Self.target(path, query)
        var fields = fields
        if body != nil { fields[.contentType] = "application/json" }
        let response: IncomingResponse
        do throws(TransportError) {
            response = try await transport.send(
                OutgoingRequest(
                    method: method, target: target, fields: fields, body: body?.bytes, once: method != .get))
        } catch {
            throw ClientError([Self.wording(of: error, origin, isChange: method != .get)])
        }
        return try read(response)
    }

    /// Sends a body as it is, once, and gives the answer, whatever it is.
    func forward(
        _ body: [UInt8], to path: String, _ more: HTTPFields
    ) async throws(ClientError) -> IncomingResponse {
        var fields = fields
        for field in more { fields[field.name] = field.value }
        do throws(TransportError) {
            return try await transport.send(
                OutgoingRequest(method: .post, target: path, fields: fields, body: body, once: true))
        } catch {
            throw ClientError([Self.wording(of: error, origin, isChange: true)])
        }
    }

    var origin: HTTPOrigin { transport.configuration.origin }

    static func wording(of error: TransportError, _ origin: HTTPOrigin, isChange: Bool) -> String {
        let doubt = isChange && error.maybeSent ? "; it may have acted on the request: look before you try again" : ""
        return switch error {
        case .unreachable(let why) where why.contains("certificate"):
            "\(origin) is not believed: \(why); --ca-file or \(ClientOptions.authorityVariable) names the authority to trust"
        case .unreachable(let why):
            "\(origin) cannot be reached: \(why); does the agent run? --server or \(ClientOptions.urlVariable) names another"
        case .withheld: "nothing was sent"
        case .timeout: "\(origin) did not answer in time\(doubt)"
        case .broken(let why, _): "the connection to \(origin) broke: \(why)\(doubt)"
        case .tooLarge(let limit): "the answer of \(origin) is larger than \(limit) bytes\(doubt)"
        case .cancelled: "given up\(doubt)"
        }
    }

    func read(_ response: IncomingResponse) throws(ClientError) -> Answer {
        guard let json = try? JSON.parse(response.body), json.object != nil else {
            throw ClientError([
                "\(origin) answered \(response.status) with something that is no answer of proxmox-agent; "
                    + "--server or \(ClientOptions.urlVariable) names another"
            ])
        }
        let answer = Answer(text: String(decoding: response.body, as: UTF8.self), json: json)
        if (200..<300).contains(response.status) { return answer }
        var error = ClientError(Self.lines(of: json, status: response.status))
        if response.status == 401 {
            let lines = error.lines + ["\(source); the agent at \(origin) does not accept that"]
            error = ClientError(lines)
        }
        error.answer = answer
        throw error
    }

    /// A problem document as lines: what is wrong, then each place, and what has moved.
    static func lines(of problem: JSON, status: Int) -> [String] {
        let code = problem["code"]?.string ?? "status \(status)"
        let errors = (problem["errors"]?.array ?? []).map { issue in
            let place = issue["pointer"]?.string.flatMap { $0.isEmpty ? nil : "\($0): " } ?? ""
            return "  \(place)\(issue["detail"]?.string ?? "")"
        }
        let moved = (problem["moved"]?.array ?? []).map { field in
            "  \(field["field"]?.string ?? ""): \(PlanText.word(field["planned"])) → \(PlanText.word(field["found"]))"
        }
        return ["\(code): \(problem["detail"]?.string ?? "")"] + errors + moved
    }
}
