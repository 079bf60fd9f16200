import AgentTestSupport
import Testing

@testable import Signatures

struct PasskeyTests {
    static let tokens = [SoftwareToken.ed25519, .p256]

    private func check(_ assertion: PasskeyAssertion, by token: SoftwareToken) throws -> PasskeyAssertion.Evidence {
        try assertion.check(
            by: token.passkey(), challenge: SoftwareToken.Asked().challenge, origin: "https://agent.example:8443",
            rpID: "agent.example")
    }

    @Test(arguments: tokens)
    func `takes a good assertion, and tells its counter`(token: SoftwareToken) throws {
        let evidence = try check(try token.assertion(), by: token)
        #expect(evidence == .init(counter: 3, isBackupEligible: false))
        let synced = try token.assertion { ($0.flags, $0.counter, $0.extensions) = (0b1001_1101, 0, [0xA0]) }
        #expect(try check(synced, by: token) == .init(counter: 0, isBackupEligible: true))
    }

    @Test(arguments: tokens, refusals)
    func `refuses any other`(
        token: SoftwareToken, row: (change: @Sendable (inout SoftwareToken.Asked) -> Void, why: SignatureProblem)
    ) throws {
        #expect(throws: row.why) { try check(try token.assertion(row.change), by: token) }
    }

    static let refusals: [(change: @Sendable (inout SoftwareToken.Asked) -> Void, why: SignatureProblem)] = [
        ({ $0.type = "webauthn.create" }, .ceremony("webauthn.create")),
        ({ $0.challenge = Array("another".utf8) }, .challenge),
        (
            { $0.origin = "https://agent.example" },
            .origin(found: "https://agent.example", wanted: "https://agent.example:8443")
        ),
        (
            { $0.origin = "http://agent.example:8443" },
            .origin(found: "http://agent.example:8443", wanted: "https://agent.example:8443")
        ),
        ({ $0.rpID = "example" }, .relyingParty(wanted: "agent.example")),
        ({ $0.flags = 0b100 }, .userNotPresent), ({ $0.flags = 0b001 }, .userNotVerified),
        ({ $0.more = #","crossOrigin":true"# }, .framed),
        ({ $0.more = #","topOrigin":"https://evil.example""# }, .framed),
        ({ $0.credentialID = [1] }, .otherKey),
        ({ $0.extensions = [1] }, .malformed("authenticator_data is cut off or damaged")),
        ({ $0.flags = 0b1_0101 }, .malformed("authenticator_data contradicts itself")),
        (
            { $0.more = #","type":"webauthn.get""# },
            .malformed("client_data is no JSON object with type, challenge and origin")
        ),
    ]

    @Test func `refuses a signature over other data, or by another key`() throws {
        let good = try SoftwareToken.p256.assertion()
        let other = try PasskeyAssertion(
            credentialID: good.credentialID, clientData: good.clientData + [0x20],
            authenticatorData: good.authenticatorData, signature: good.signature)
        #expect(throws: SignatureProblem.wrong) { try check(other, by: .p256) }
        #expect(throws: SignatureProblem.wrong) {
            try check(good, by: .newP256())
        }
    }

    @Test(
        arguments: [
            [], [0x30], [0x30, 0x80], [0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01], [0x30, 0x03, 0x02, 0x01, 0x01],
            [0x30, 0x06, 0x02, 0x01, 0x81, 0x02, 0x01, 0x01], [0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x01],
            [0x30, 0x07, 0x02, 0x02, 0x00, 0x01, 0x02, 0x01, 0x01],
            [0x30, 0x81, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01],
            [0x30, 0x06, 0x02, 0xFF, 0x01, 0x02, 0x01, 0x01],
        ] as [[UInt8]])
    func `refuses a DER signature that is not well-formed`(der: [UInt8]) throws {
        let good = try SoftwareToken.p256.assertion()
        let bad = try PasskeyAssertion(
            credentialID: good.credentialID, clientData: good.clientData, authenticatorData: good.authenticatorData,
            signature: der)
        #expect(throws: SignatureProblem.self) { try check(bad, by: .p256) }
    }

    @Test(arguments: tokens)
    func `a passkey's line says all of it`(token: SoftwareToken) throws {
        let key = ApprovalKey(.passkey(try token.passkey()), comment: "alice's phone")
        let read = try ApprovalKey(line: "\(key)")
        #expect(read == key && read.comment == "alice's phone" && read.kind == "passkey" && !read.isHardware)
        #expect(key.description.hasPrefix("passkey \(token.algorithm.rawValue) YSBjcmVkZW50aWFs "))
        // The other algorithm's name does not fit the key.
        let other = token.algorithm == .es256 ? "EdDSA" : "ES256"
        #expect(throws: SignatureProblem.self) {
            try ApprovalKey(line: "passkey \(other) YSBjcmVkZW50aWFs \(Base64.encode(token.spki))")
        }
    }

    @Test func `a sent assertion reads as it was written`() throws {
        let signature = ApprovalSignature.passkey(try SoftwareToken.p256.assertion())
        #expect(try ApprovalSignature(form: signature.form) == signature)
        #expect(SigningPlace("http://localhost:8080")?.rpID == "localhost")
        #expect(SigningPlace("ftp://x") == nil && SigningPlace("https://") == nil)
    }
}
