import AgentModel
import AgentService
import AgentTestSupport
import Crypto
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import Logging
import Signatures
import StrictJSON
import Testing

@testable import AgentAPI

/// Sign-in by passkey: challenges of the agent, and what authenticators answer to them.
struct PasskeySignInTests {
    /// What an authenticator holds.
    private struct Authentic {
        let key = P256.Signing.PrivateKey()
        let id = Array("credential-of-alice".utf8)

        func line() throws -> ApprovalKey {
            ApprovalKey(
                .passkey(try Passkey(.es256, credentialID: id, spki: Array(key.publicKey.derRepresentation))),
                comment: "phone")
        }

        /// The body of a sign-in, with an answer to that challenge.
        func answer(
            _ challenge: String, origin: String = "https://agent.example", rpID: String = "agent.example",
            flags: UInt8 = 0b101, counter: UInt32 = 0, type: String = "webauthn.get"
        ) throws -> JSON {
            let client = Array(
                #"{"type":"\#(type)","challenge":"\#(challenge)","origin":"\#(origin)","crossOrigin":false}"#.utf8)
            let data =
                Array(SHA256.hash(data: Array(rpID.utf8))) + [flags]
                + (0..<4).map { UInt8(truncatingIfNeeded: counter >> (24 - 8 * UInt32($0))) }
            let signature = try key.signature(for: data + Array(SHA256.hash(data: client))).derRepresentation
            return [
                "passkey": [
                    "credential_id": .string(Base64.encodeURL(id)), "client_data": .string(Base64.encodeURL(client)),
                    "authenticator_data": .string(Base64.encodeURL(data)),
                    "signature": .string(Base64.encodeURL(Array(signature))),
                ]
            ]
        }
    }

    private struct Desk {
        let alice: Credentials
        let handler: AgentHandler
        let authenticator: Authenticator
        let clock = SessionTests.Clock()

        init(
            _ authentic: Authentic, publicURL: String? = "https://agent.example", in store: SignInStore = SignInStore(),
            key: InstallationKey = .random()
        ) throws {
            let principal = Principal(id: "alice", roles: [.approver], approvalKeys: [try authentic.line()])
            alice = Credentials(principal, token: CredentialDigest(of: "token-of-alice".utf8))
            let rules = BrowserRules(
                listening: .tcp(host: "127.0.0.1", port: 8080), publicURL: publicURL, hasTLS: false)
            let ports = Ports(
                audit: MemoryAuditSink(), store: MemoryPlanStore(),
                log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                installation: Installation(origin: "agent.example/audit", publicURL: publicURL))
            let clock = clock
            authenticator = Authenticator([alice], sessions: Sessions(rules, in: store, key: key, now: { clock.now }))
            handler = AgentHandler(
                service: ControlPlane(
                    managedEnvironments: [], ports: ports, rules: Rules(directory: Directory([principal])), key: .sample
                ),
                authenticator: authenticator, accessLog: Silence(), failures: AuthFailures(delay: .zero) { _ in })
        }

        func ask(
            _ method: HTTPRequest.Method, _ path: String, _ body: JSON? = nil, cookie: String? = nil
        ) async throws -> (status: Int, json: JSON, fields: HTTPFields) {
            var fields: HTTPFields = [.origin: "https://agent.example"]
            fields[try #require(HTTPField.Name("Host"))] = "agent.example"
            fields[.cookie] = cookie
            if body != nil { fields[.contentType] = "application/json" }
            let response = await handler.respond(
                to: Request(
                    method: method, path: path, fields: fields, body: body?.bytes ?? [], peer: "127.0.0.1:40112"))
            return (
                response.status.code, (try? JSON.parse(response.body.bytes)) ?? .null, response.fields
            )
        }

        func challenge() async throws -> String {
            let made = try await ask(.post, "/v1/session/challenge", [:])
            #expect(made.status == 200 && made.json["rp_id"] == "agent.example", "\(made)")
            return try #require(made.json["challenge"]?.string)
        }
    }

    private struct Silence: AccessLog {
        func answered(_ entry: AccessEntry) {}
    }

    @Test func `a passkey signs its principal in, and each challenge counts once and for five minutes`() async throws {
        let phone = Authentic()
        let desk = try Desk(phone)
        let (first, second) = (try await desk.challenge(), try await desk.challenge())
        #expect(first != second)
        let body = try phone.answer(first)
        let signedIn = try await desk.ask(.post, "/v1/session", body)
        #expect(signedIn.status == 201 && signedIn.json["principal"] == "alice", "\(signedIn)")
        let key = try #require(signedIn.json["approval_keys"]?.array?.first)
        #expect(key["kind"] == "passkey" && key["comment"] == "phone" && key["hardware"] == false)
        #expect(key["credential_id"]?.string == Base64.encodeURL(phone.id))
        #expect(try await desk.ask(.post, "/v1/session", body).status == 401)
        desk.clock.advance(299)
        #expect(try await desk.ask(.post, "/v1/session", try phone.answer(second)).status == 201)
        let late = try await desk.challenge()
        desk.clock.advance(301)
        let refused = try await desk.ask(.post, "/v1/session", try phone.answer(late))
        #expect(refused.status == 401 && refused.json["detail"]?.string?.contains("challenge") == true)
    }

    @Test func `of agents that share sign-ins, any takes a challenge of another, and one of them once`() async throws {
        let (phone, store) = (Authentic(), SignInStore())
        let (one, other) = (try Desk(phone, in: store, key: .sample), try Desk(phone, in: store, key: .sample))
        let body = try phone.answer(try await one.challenge())
        let signedIn = try await other.ask(.post, "/v1/session", body)
        #expect(signedIn.status == 201, "\(signedIn)")
        for desk in [one, other] { #expect(try await desk.ask(.post, "/v1/session", body).status == 401) }
        let cookie = String(try #require(signedIn.fields[.setCookie]).prefix { $0 != ";" })
        #expect(try await one.ask(.get, "/v1/plans", cookie: cookie).status == 200)
        // One whose configuration has no such principal any more ends its sessions for all.
        other.authenticator.replace([])
        #expect(try await one.ask(.get, "/v1/plans", cookie: cookie).status == 200)
        try await other.authenticator.tidySessions()
        #expect(try await one.ask(.get, "/v1/plans", cookie: cookie).status == 401)
        other.authenticator.replace([other.alice])
        for number in 0..<SignInCodes.maximumFailures {
            let desk = number.isMultiple(of: 2) ? one : other
            #expect(try await desk.ask(.post, "/v1/session", ["code": "0000-0000"]).status == 401)
        }
        for desk in [one, other] {
            #expect(try await desk.ask(.post, "/v1/session", ["code": "0000-0000"]).json["code"] == "rate_limited")
        }
        let stranger = try Desk(phone, in: store)
        let foreign = try phone.answer(try await stranger.challenge())
        #expect(try await one.ask(.post, "/v1/session", foreign).status == 401, "its key is another")
    }

    @Test func `a used challenge stays used where another agent's clock is ahead, and one from too far ahead is none`()
        async throws
    {
        let (phone, store) = (Authentic(), SignInStore())
        func desk(ahead seconds: Double) throws -> Desk {
            let desk = try Desk(phone, in: store, key: .sample)
            desk.clock.advance(seconds)
            return desk
        }
        let (one, ahead, far) = (try desk(ahead: 0), try desk(ahead: 60), try desk(ahead: 61))
        let body = try phone.answer(try await one.challenge())
        for desk in [one, ahead, far] { desk.clock.advance(299) }
        #expect(try await one.ask(.post, "/v1/session", body).status == 201)
        try await ahead.authenticator.tidySessions()
        #expect(try await one.ask(.post, "/v1/session", body).status == 401)
        for (desk, status) in [(far, 401), (ahead, 201)] {
            let body = try phone.answer(try await desk.challenge())
            #expect(try await one.ask(.post, "/v1/session", body).status == status)
        }
    }

    /// What is wrong with an answer.
    enum Flaw: String, CaseIterable {
        case ownChallenge, emptyChallenge, changedChallenge, origin, plainOrigin, party, presence, verification, type,
            key
    }

    @Test(arguments: Flaw.allCases)
    func `an answer that is not one to this agent's challenge, by a principal's passkey, signs nobody in`(
        flaw: Flaw
    ) async throws {
        let phone = Authentic()
        let desk = try Desk(phone)
        let challenge = try await desk.challenge()
        let body =
            switch flaw {
            case .ownChallenge: try phone.answer(Base64.encodeURL([UInt8](repeating: 7, count: 64)))
            case .emptyChallenge: try phone.answer("")
            case .changedChallenge: try phone.answer((challenge.hasPrefix("A") ? "B" : "A") + challenge.dropFirst())
            case .origin: try phone.answer(challenge, origin: "https://evil.example")
            case .plainOrigin: try phone.answer(challenge, origin: "http://agent.example")
            case .party: try phone.answer(challenge, rpID: "evil.example")
            case .presence: try phone.answer(challenge, flags: 0b100)
            case .verification: try phone.answer(challenge, flags: 0b001)
            case .type: try phone.answer(challenge, type: "webauthn.create")
            // Another key under the same credential id.
            case .key: try Authentic().answer(challenge)
            }
        let reply = try await desk.ask(.post, "/v1/session", body)
        #expect(reply.status == 401 && reply.fields[.setCookie] == nil, "\(reply)")
        #expect(try await desk.ask(.post, "/v1/session", try phone.answer(challenge)).status == 201)
    }

    @Test func `a session ends when its passkey is taken out, and one by the token does not`() async throws {
        let phone = Authentic()
        let desk = try Desk(phone)
        func cookie(_ body: JSON) async throws -> String {
            let set = try #require(try await desk.ask(.post, "/v1/session", body).fields[.setCookie])
            return String(set.prefix { $0 != ";" })
        }
        let byPasskey = try await cookie(try phone.answer(try await desk.challenge()))
        let byToken = try await cookie(["token": "token-of-alice"])
        func status(_ cookie: String) async throws -> Int {
            try await desk.ask(.get, "/v1/plans", cookie: cookie).status
        }
        #expect(try await status(byPasskey) == 200)
        let without = Principal(id: "alice", roles: [.approver])
        desk.authenticator.replace([Credentials(without, token: desk.alice.token)])
        #expect(try await status(byPasskey) == 401)
        #expect(try await status(byToken) == 200)
        #expect(try await desk.ask(.post, "/v1/session", try phone.answer(try await desk.challenge())).status == 401)
    }

    @Test func `a passkey whose counter goes back signs nobody in`() async throws {
        let phone = Authentic()
        let desk = try Desk(phone)
        for (counter, status) in [(5, 201), (9, 201), (9, 401), (3, 401), (0, 401), (10, 201)] as [(UInt32, Int)] {
            let body = try phone.answer(try await desk.challenge(), counter: counter)
            #expect(try await desk.ask(.post, "/v1/session", body).status == status, "\(counter)")
        }
    }

    @Test func `without a public address there are no passkeys`() async throws {
        let phone = Authentic()
        let desk = try Desk(phone, publicURL: nil)
        let handler = desk.handler
        let request = Request(
            method: .post, path: "/v1/session/challenge",
            fields: [try #require(HTTPField.Name("Host")): "localhost"], peer: "127.0.0.1:1")
        let response = await handler.respond(to: request)
        #expect(response.status == .notFound)
    }
}
