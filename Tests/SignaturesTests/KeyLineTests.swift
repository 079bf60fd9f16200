import AgentTestSupport
import Testing

@testable import Signatures

struct KeyLineTests {
    private static let ed25519 = Base64.encode(SoftwareToken.ed25519.sshBlob(isSecurityKey: false))

    @Test(arguments: [
        ("", "empty"), ("ssh-ed25519", "base64"), ("ssh-ed25519 ???", "base64"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "must be the line of a public key"),
        ("no-touch-required,command=\"x\" ssh-ed25519 \(ed25519)", "without options"),
        ("ecdsa-sha2-nistp256 \(ed25519)", "another type than its line says"),
        ("ssh-ed25519 \(ed25519)\nssh-ed25519 \(ed25519)", "one line"),
        ("ssh-ed25519 \(ed25519) a\u{202E}b", "one line"),
        ("ssh-rsa AAAAB3NzaC1yc2EA", "RSA keys are not accepted; make one with ssh-keygen -t ed25519"),
        ("passkey", "ES256 or EdDSA"), ("passkey RS256 AA AA==", "ES256 or EdDSA"), ("passkey ES256 AA AA==", "SPKI"),
        ("passkey ES256 A= AA==", "base64url"), ("passkey ES256  AA==", "base64url"),
        ("ssh-ed25519 \(String(repeating: "A", count: 9000))", "one line"),
    ])
    func `refuses a line with what is wrong with it`(row: (line: String, says: String)) {
        let problem = #expect(throws: SignatureProblem.self) { try ApprovalKey(line: row.line) }
        #expect(problem.map { "\($0)" }?.contains(row.says) == true, "\(String(describing: problem))")
    }

    @Test func `a comment makes no other key`() throws {
        let keys = try ["", " alice", " alice at home"].map {
            try ApprovalKey(line: "ssh-ed25519 \(Self.ed25519)\($0)")
        }
        #expect(Set(keys).count == 1 && keys.map(\.comment) == ["", "alice", "alice at home"])
    }

    @Test(arguments: [SoftwareToken.ed25519, .p256], [true, false])
    func `refuses a key that is cut, longer, or off the curve`(token: SoftwareToken, isSecurityKey: Bool) {
        let blob = token.sshBlob(isSecurityKey: isSecurityKey)
        for count in 0..<blob.count {
            #expect(throws: SignatureProblem.self) { try SSHPublicKey(blob: Array(blob.prefix(count))) }
        }
        #expect(throws: SignatureProblem.self) { try SSHPublicKey(blob: blob + [0]) }
        #expect(throws: SignatureProblem.self) {
            try SSHPublicKey(blob: blob + [UInt8](repeating: 0, count: 2000))
        }
        #expect(VerifyingKey(p256: [4] + [UInt8](repeating: 1, count: 64)) == nil)
        #expect(VerifyingKey(p256: [2] + [UInt8](repeating: 1, count: 32)) == nil)
    }
}
