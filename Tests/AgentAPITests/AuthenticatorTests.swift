import AgentModel
import AgentService
import HTTPMessage
import HTTPTypes
import Testing

@testable import AgentAPI

struct AuthenticatorTests {
    static let token = "correct-horse-battery"
    private static let shared = Authenticator([Credentials(.shared, token: CredentialDigest(of: token.utf8))])
    private static let alice = Principal(id: "alice", roles: [.approver])
    private static let agent = Principal(id: "pi-agent", roles: [.operator])

    /// What comes of a request with these fields.
    private func answer(
        _ fields: HTTPFields, _ authenticator: Authenticator = shared
    ) -> (code: ErrorCode?, context: Context?) {
        let request = Request(method: .get, path: "/v1/environments", fields: fields)
        do throws(ServiceError) {
            let principal = try authenticator.principal(of: request)
            return (nil, try Authenticator.context(request, by: principal, requestID: "req_1"))
        } catch {
            #expect(!error.detail.contains(Self.token))
            return (error.code, nil)
        }
    }

    @Test(arguments: ["Bearer \(token)", "bearer \(token)", "BEARER \(token)", "Bearer  \(token)"])
    func `the token gets in`(header: String) {
        let context = answer([.authorization: header]).context
        #expect(context?.caller == Caller(principal: "operator", label: nil, isShared: true))
        #expect(context?.principal == .shared)
        #expect(context?.requestID == "req_1")
    }

    @Test(
        arguments: [
            nil, "", "Bearer", "Bearer ", "Bearer x", "Bearer \(token)x", "Bearer \(token.dropLast())", token,
            "Basic \(token)", "Bearer \(token.uppercased())", "Bearer \(token), Bearer \(token)", "Bearer \(token) x",
            "Bearer\t\(token)", "PVEAPIToken=\(token)",
        ] as [String?])
    func `nothing else does`(header: String?) {
        var fields = HTTPFields()
        if let header { fields[.authorization] = header }
        #expect(answer(fields).code == .unauthenticated)
    }

    @Test func `without a token nobody gets in, and is told why`() {
        let closed = Authenticator([])
        #expect(answer([.authorization: "Bearer \(Self.token)"], closed).code == .authNotConfigured)
        #expect(answer([:], closed).code == .authNotConfigured)
        #expect(!closed.isConfigured)
    }

    @Test(arguments: [
        ("pi-agent", true), ("a@b:c/d.e_f-1", true), ("abc", true), (String(repeating: "a", count: 128), true),
        ("ab", false), (String(repeating: "a", count: 129), false), ("a b c", false), ("äöü", false), ("", false),
        ("abc,def", false), ("proxmox-agent", false), ("Proxmox-Agent", false), ("anonymous", false),
        ("unauthenticated", false), ("operator", true),
    ])
    func `a label is taken in its form or not at all`(label: String, isGood: Bool) {
        let (code, context) = answer([.authorization: "Bearer \(Self.token)", .actorID: label])
        #expect(context?.caller.label == (isGood ? label : nil))
        #expect(context?.caller.actor == (isGood ? label : nil))
        #expect(code == (isGood ? nil : .invalidRequest))
    }

    /// An authenticator of many callers, `alice` and `pi-agent` among them.
    private static let crowd: Authenticator = {
        let others = (0..<100).map { ("token-\($0)", Principal(id: "caller-\($0)", roles: [.viewer])) }
        let all = [("token-of-alice", alice), ("token-of-agent", agent)] + others
        return Authenticator(all.map { Credentials($1, token: CredentialDigest(of: $0.utf8)) })
    }()

    @Test func `each token is that of its principal, whose label is no more than a label`() {
        let known = [("token-of-alice", Self.alice), ("token-of-agent", Self.agent)]
        for (token, principal) in known {
            let context = answer([.authorization: "Bearer \(token)", .actorID: "operator"], Self.crowd).context
            #expect(context?.principal == principal)
            #expect(context?.caller == Caller(principal: principal.id, label: "operator"))
            #expect(context?.caller.actor == principal.id)
        }
        for number in 0..<100 {
            let context = answer([.authorization: "Bearer token-\(number)"], Self.crowd).context
            #expect(context?.principal.id == "caller-\(number)")
        }
        for token in ["token-100", Self.token, "", "\(CredentialDigest(of: "token-of-alice".utf8))"] {
            #expect(answer([.authorization: "Bearer \(token)"], Self.crowd).code == .unauthenticated)
        }
    }

    @Test func `other tokens are in force from the next request on`() {
        let authenticator = Authenticator([Credentials(Self.alice, token: CredentialDigest(of: "first".utf8))])
        func principal(_ token: String) -> Principal? {
            answer([.authorization: "Bearer \(token)"], authenticator).context?.principal
        }
        #expect(principal("first") == Self.alice)
        let demoted = Principal(id: "alice", roles: [.viewer])
        authenticator.replace([Credentials(demoted, token: CredentialDigest(of: "second".utf8))])
        #expect(principal("first") == nil)
        #expect(principal("second") == demoted)
        authenticator.replace([])
        #expect(answer([.authorization: "Bearer second"], authenticator).code == .authNotConfigured)
    }

    // MARK: Certificates

    /// What a caller shows.
    enum Shown: CaseIterable {
        case alice, both, stranger, refused

        var certificate: ClientCertificate {
            switch self {
            case .alice: .accepted(sha256: [UInt8](repeating: 1, count: 32))
            case .both: .accepted(sha256: [UInt8](repeating: 2, count: 32))
            case .stranger: .accepted(sha256: [UInt8](repeating: 3, count: 32))
            case .refused: .refused("it has expired")
            }
        }

        var digest: CredentialDigest? {
            guard case .accepted(let bytes) = certificate else { return nil }
            return CredentialDigest(bytes: bytes)
        }
    }

    /// `alice` has a certificate, `pi-agent` a token, `both` the two together.
    private static let mixed = Authenticator([
        Credentials(alice, certificate: Shown.alice.digest),
        Credentials(agent, token: CredentialDigest(of: "token-of-agent".utf8)),
        Credentials(
            Principal(id: "both", roles: [.viewer]), token: CredentialDigest(of: "token-of-both".utf8),
            certificate: Shown.both.digest),
    ])

    @Test(
        arguments: [
            (nil, .alice, "alice"), (nil, .both, nil), (nil, .stranger, nil), (nil, .refused, nil), (nil, nil, nil),
            ("token-of-agent", nil, "pi-agent"), ("token-of-agent", .stranger, "pi-agent"),
            ("token-of-agent", .alice, nil),
            ("token-of-agent", .both, nil), ("token-of-agent", .refused, nil),
            ("token-of-both", nil, nil), ("token-of-both", .both, "both"), ("token-of-both", .alice, nil),
            ("token-of-both", .stranger, nil), ("token-of-both", .refused, nil),
            ("wrong", .alice, nil), ("wrong", .both, nil), ("wrong", nil, nil),
        ] as [(String?, Shown?, String?)])
    func `token and certificate tell who asks, each alone only where there is no other`(
        token: String?, shown: Shown?, id: String?
    ) {
        var request = Request(method: .get, path: "/v1/environments")
        if let token { request.fields[.authorization] = "Bearer \(token)" }
        request.certificate = shown?.certificate
        let result = Result { () throws(ServiceError) in try Self.mixed.principal(of: request) }
        switch result {
        case .success(let principal): #expect(principal.id == id)
        case .failure(let error):
            #expect(id == nil && error.code == .unauthenticated, "\(error)")
            #expect(shown != .refused || error.detail == "the client certificate does not count: it has expired")
        }
    }

    @Test func `a certificate that nobody has is told by its digest, so that it can be entered`() {
        var request = Request(method: .get, path: "/v1/environments")
        request.certificate = Shown.stranger.certificate
        let error = #expect(throws: ServiceError.self) { try Self.mixed.principal(of: request) }
        #expect(error?.detail.contains(String(repeating: "03", count: 32)) == true)
    }

    @Test(arguments: [
        (["Origin": "https://evil.example"], false), (["Sec-Fetch-Site": "cross-site"], false),
        (["Sec-Fetch-Site": "same-site"], false), (["Sec-Fetch-Site": "same-origin", "Host": "evil.example"], false),
        (["Sec-Fetch-Site": "same-origin"], true), (["Origin": "https://localhost:8443"], true), ([:], true),
        (["Origin": "https://evil.example", "Authorization": "Bearer token-of-agent"], true),
    ])
    func `a browser's certificate does not count for a page of somebody else`(
        fields: [String: String], counts: Bool
    ) async {
        let rules = BrowserRules(listening: .tcp(host: "127.0.0.1", port: 8443), publicURL: nil, hasTLS: true)
        for sessions in [Sessions(rules), nil] {
            let authenticator = Authenticator(
                [
                    Credentials(Self.alice, certificate: Shown.alice.digest),
                    Credentials(Self.agent, token: CredentialDigest(of: "token-of-agent".utf8)),
                ], sessions: sessions)
            var request = Request(
                method: .post, path: "/v1/session/code", fields: [.host: "localhost:8443"], peer: "127.0.0.1:40000")
            for (name, value) in fields { request.fields[.constant(name)] = value }
            let isOfToken = fields["Authorization"] != nil
            request.certificate = isOfToken ? nil : Shown.alice.certificate
            let isServed = counts && (sessions != nil || isOfToken || fields.isEmpty)
            do throws(ServiceError) {
                let identity = try await authenticator.identity(of: request, byCookie: true)
                #expect(isServed && identity.session == nil)
            } catch {
                #expect(!isServed && error.code == .foreignOrigin, "\(error)")
            }
        }
    }
}
