import AgentAPI
import AgentModel
import AgentService
import HTTPMessage
import HTTPTypes
import Testing

struct AuthenticatorTests {
    static let token = "correct-horse-battery"

    private func code(_ fields: HTTPFields, token: String? = token) -> (ErrorCode?, Caller?) {
        let authenticator = Authenticator(token: token.map { Secret($0) })
        do throws(ServiceError) {
            return (nil, try authenticator.caller(of: Request(method: .get, path: "/v1/environments", fields: fields)))
        } catch {
            #expect(!error.detail.contains(Self.token))
            return (error.code, nil)
        }
    }

    @Test(arguments: ["Bearer \(token)", "bearer \(token)", "BEARER \(token)", "Bearer  \(token)"])
    func `the token gets in`(header: String) {
        #expect(code([.authorization: header]).1 == Caller(principal: "operator", label: nil, isShared: true))
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
        #expect(code(fields).0 == .unauthenticated)
    }

    @Test func `without a token nobody gets in, and is told why`() {
        #expect(code([.authorization: "Bearer \(Self.token)"], token: nil).0 == .authNotConfigured)
        #expect(code([:], token: nil).0 == .authNotConfigured)
        #expect(!Authenticator(token: nil).isConfigured)
    }

    @Test(arguments: [
        ("pi-agent", true), ("a@b:c/d.e_f-1", true), ("abc", true), (String(repeating: "a", count: 128), true),
        ("ab", false), (String(repeating: "a", count: 129), false), ("a b c", false), ("äöü", false), ("", false),
        ("abc,def", false),
    ])
    func `a label is taken in its form or not at all`(label: String, isGood: Bool) {
        let (code, caller) = code([.authorization: "Bearer \(Self.token)", .actorID: label])
        #expect(caller?.label == (isGood ? label : nil))
        #expect(caller?.actor == (isGood ? label : nil))
        #expect(code == (isGood ? nil : .invalidRequest))
    }
}
