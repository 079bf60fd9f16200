import AgentAPI
import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import HTTPMessage
import HTTPTypes
import Logging
import Testing

/// Whose share of the server a request takes, and in which lane.
struct AdmissionTests {
    private static let people = [
        Principal(id: "olga", roles: [.operator]), Principal(id: "vera", roles: [.viewer]),
    ]

    private struct Silence: AccessLog {
        func answered(_ entry: AccessEntry) {}
    }

    private static func handler() -> AgentHandler {
        let ports = Ports(
            audit: MemoryAuditSink(), store: MemoryPlanStore(),
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let service = ControlPlane(
            managedEnvironments: [], ports: ports, rules: Rules(directory: Directory(people)), key: .sample)
        return AgentHandler(
            service: service,
            authenticator: Authenticator(
                people.map { Credentials($0, token: CredentialDigest(of: "token-of-\($0.id)".utf8)) }),
            accessLog: Silence(), failures: AuthFailures(delay: .zero) { _ in })
    }

    private static func admission(
        _ method: HTTPRequest.Method, _ path: String, authorization: String?
    ) -> Admission {
        var fields = HTTPFields()
        if let authorization { fields[.authorization] = authorization }
        return handler().admission(of: Request(method: method, path: path, fields: fields, peer: "192.0.2.7:4711"))
    }

    @Test(arguments: ["/healthz", "/livez", "/readyz"])
    func `a probe takes a place of health, and a guess an ordinary one`(path: String) {
        let source = Admission.Party.source("192.0.2.7")
        for probe in [nil, "Bearer token-of-olga", "Bearer token-of-vera"] as [String?] {
            #expect(
                Self.admission(.get, path, authorization: probe) == Admission(source, .health), "\(probe ?? "none")")
        }
        for guess in ["Bearer token-of-nobody", "Bearer ", "Basic dG9rZW4=", "token-of-olga"] {
            #expect(Self.admission(.get, path, authorization: guess) == Admission(source, .ordinary), "\(guess)")
        }
    }

    @Test(
        arguments: [
            (HTTPRequest.Method.post, "/v1/freeze", "olga", Admission.Lane.urgent),
            (.post, "/v1/freeze", "vera", .ordinary), (.get, "/v1/plans", "olga", .ordinary),
            (.get, "/nowhere", nil, .ordinary), (.post, "/v1/freeze", nil, .ordinary),
        ] as [(HTTPRequest.Method, String, String?, Admission.Lane)])
    func `what stops changes has places for those who may`(
        method: HTTPRequest.Method, path: String, id: String?, lane: Admission.Lane
    ) {
        let admission = Self.admission(method, path, authorization: id.map { "Bearer token-of-\($0)" })
        #expect(admission == Admission(id.map { .principal($0) } ?? .source("192.0.2.7"), lane))
    }
}
