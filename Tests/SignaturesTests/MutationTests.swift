import AgentTestSupport
import StrictJSON
import Testing

@testable import Signatures

/// Bytes that anybody may send, changed at random from a fixed seed: nothing traps, and nothing that is changed counts.
struct MutationTests {
    private struct Seeded: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }

    private static func mutate(_ bytes: [UInt8], _ generator: inout Seeded) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &generator) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &generator)
            switch UInt8.random(in: 0..<5, using: &generator) {
            case 0: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 1: bytes[at] = [0x00, 0x7F, 0x80, 0xFF].randomElement(using: &generator) ?? 0
            case 2: bytes.removeSubrange(at..<min(bytes.count, at + 4))
            case 3: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 8)], at: at)
            default: bytes.removeLast(bytes.count - at)
            }
        }
        return bytes
    }

    @Test(arguments: [SoftwareToken.ed25519, .p256], [true, false])
    func `of an SSH signature`(token: SoftwareToken, isSecurityKey: Bool) throws {
        let message = SSHSignatureTests.sample.bytes
        let good = try token.sshSignature(of: message) { $0.isSecurityKey = isSecurityKey }
        let key = try SSHPublicKey(blob: token.sshBlob(isSecurityKey: isSecurityKey))
        var generator = Seeded(state: 26)
        for _ in 0..<4000 {
            let bad = Self.mutate(good, &generator)
            guard bad != good, let read = try? SSHSignature(blob: bad), read.key == key else { continue }
            #expect(throws: SignatureProblem.self, "\(bad)") {
                try read.check(message, namespace: ApprovalText.namespace)
            }
        }
        let whole = try SSHSignature(blob: good)
        let armour = Array(SoftwareToken.armour(good).utf8)
        for _ in 0..<1000 {
            let bad = String(decoding: Self.mutate(armour, &generator), as: UTF8.self)
            // Line ends are no part of it.
            guard let read = try? SSHSignature(armoured: bad), read != whole, read.key == key else { continue }
            #expect(throws: SignatureProblem.self) { try read.check(message, namespace: ApprovalText.namespace) }
        }
    }

    @Test(arguments: [SoftwareToken.ed25519, .p256])
    func `of an assertion`(token: SoftwareToken) throws {
        let good = try token.assertion()
        let passkey = try token.passkey()
        var generator = Seeded(state: 14)
        for turn in 0..<6000 {
            var parts = [good.clientData, good.authenticatorData, good.signature]
            parts[turn % 3] = Self.mutate(parts[turn % 3], &generator)
            guard parts != [good.clientData, good.authenticatorData, good.signature] else { continue }
            #expect(throws: SignatureProblem.self) {
                try PasskeyAssertion(
                    credentialID: good.credentialID, clientData: parts[0], authenticatorData: parts[1],
                    signature: parts[2]
                ).check(
                    by: passkey, challenge: SoftwareToken.Asked().challenge, origin: "https://agent.example:8443",
                    rpID: "agent.example")
            }
        }
    }

    @Test func `of lines, texts and forms`() throws {
        let lines = try [SoftwareToken.ed25519, .p256].flatMap { token in
            [
                "\(ApprovalKey(.ssh(try SSHPublicKey(blob: token.sshBlob())), comment: "c"))",
                "\(ApprovalKey(.passkey(try token.passkey()), comment: "c"))",
            ]
        }
        let form = Array(ApprovalSignature.passkey(try SoftwareToken.p256.assertion()).form.bytes)
        var generator = Seeded(state: 3)
        var read = 0
        for turn in 0..<4000 {
            let line = String(decoding: Self.mutate(Array(lines[turn % 4].utf8), &generator), as: UTF8.self)
            if let key = try? ApprovalKey(line: line) {
                read += 1
                #expect(try ApprovalKey(line: "\(key)") == key)
            }
            _ = ApprovalText(
                reading: String(decoding: Self.mutate(SSHSignatureTests.sample.bytes, &generator), as: UTF8.self))
            if let json = try? JSON.parse(Self.mutate(form, &generator)) { _ = try? ApprovalSignature(form: json) }
        }
        #expect(read > 0)
    }
}
