import AgentAPI
import AgentModel
import AgentService
import HTTPMessage
import HTTPTypes
import Testing

struct AuthenticatorTests {
    static let token = "correct-horse-battery"
    private static let shared = Authenticator(tokens: [TokenDigest(of: token.utf8): .shared])
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
        let closed = Authenticator(tokens: [:])
        #expect(answer([.authorization: "Bearer \(Self.token)"], closed).code == .authNotConfigured)
        #expect(answer([:], closed).code == .authNotConfigured)
        #expect(!closed.isConfigured)
    }

    @Test(arguments: [
        ("pi-agent", true), ("a@b:c/d.e_f-1", true), ("abc", true), (String(repeating: "a", count: 128), true),
        ("ab", false), (String(repeating: "a", count: 129), false), ("a b c", false), ("äöü", false), ("", false),
        ("abc,def", false),
    ])
    func `a label is taken in its form or not at all`(label: String, isGood: Bool) {
        let (code, context) = answer([.authorization: "Bearer \(Self.token)", .actorID: label])
        #expect(context?.caller.label == (isGood ? label : nil))
        #expect(context?.caller.actor == (isGood ? label : nil))
        #expect(code == (isGood ? nil : .invalidRequest))
    }

    /// An authenticator of many callers, `alice` and `pi-agent` among them.
    private static let crowd: Authenticator = {
        var tokens = [TokenDigest(of: "token-of-alice".utf8): alice, TokenDigest(of: "token-of-agent".utf8): agent]
        for number in 0..<100 {
            tokens[TokenDigest(of: "token-\(number)".utf8)] = Principal(id: "caller-\(number)", roles: [.viewer])
        }
        return Authenticator(tokens: tokens)
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
        for token in ["token-100", Self.token, "", "\(TokenDigest(of: "token-of-alice".utf8))"] {
            #expect(answer([.authorization: "Bearer \(token)"], Self.crowd).code == .unauthenticated)
        }
    }

    @Test func `other tokens are in force from the next request on`() {
        let authenticator = Authenticator(tokens: [TokenDigest(of: "first".utf8): Self.alice])
        func principal(_ token: String) -> Principal? {
            answer([.authorization: "Bearer \(token)"], authenticator).context?.principal
        }
        #expect(principal("first") == Self.alice)
        let demoted = Principal(id: "alice", roles: [.viewer])
        authenticator.replace([TokenDigest(of: "second".utf8): demoted])
        #expect(principal("first") == nil)
        #expect(principal("second") == demoted)
        authenticator.replace([:])
        #expect(answer([.authorization: "Bearer second"], authenticator).code == .authNotConfigured)
    }
}
