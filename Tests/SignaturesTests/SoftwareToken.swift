import AgentTestSupport
import Crypto
import FoundationEssentials

@testable import Signatures

/// What a security key or an authenticator does, in software.
struct SoftwareToken {
    enum Key {
        case ed25519(Curve25519.Signing.PrivateKey)
        case p256(P256.Signing.PrivateKey)
    }

    let key: Key

    static let ed25519 = SoftwareToken(key: .ed25519(.init()))
    static let p256 = SoftwareToken(key: .p256(.init()))

    /// What the key stands for on the wire: 32 bytes, or a point.
    var publicBytes: [UInt8] {
        switch key {
        case .ed25519(let key): Array(key.publicKey.rawRepresentation)
        case .p256(let key): Array(key.publicKey.x963Representation)
        }
    }

    /// 64 bytes.
    func sign(_ message: [UInt8]) throws -> [UInt8] {
        switch key {
        case .ed25519(let key): Array(try key.signature(for: message))
        case .p256(let key): Array(try key.signature(for: message).rawRepresentation)
        }
    }

    // MARK: SSH

    func sshType(_ isSecurityKey: Bool) -> SSHPublicKey.KeyType {
        switch key {
        case .ed25519: isSecurityKey ? .ed25519SK : .ed25519
        case .p256: isSecurityKey ? .p256SK : .p256
        }
    }

    func sshBlob(isSecurityKey: Bool = true, application: String = "ssh:") -> [UInt8] {
        let type = sshType(isSecurityKey)
        var blob = Wire.string(Array(type.rawValue.utf8))
        if type.isP256 { blob += Wire.string(Array("nistp256".utf8)) }
        blob += Wire.string(publicBytes)
        return isSecurityKey ? blob + Wire.string(Array(application.utf8)) : blob
    }

    /// An SSHSIG blob over `message`.
    func sshSignature(
        of message: [UInt8], namespace: String = ApprovalText.namespace, isSecurityKey: Bool = true,
        flags: UInt8 = 1, counter: UInt32 = 7, version: UInt32 = 1, hash: String = "sha512", reserved: [UInt8] = []
    ) throws -> [UInt8] {
        let context = Wire.string(Array(namespace.utf8)) + Wire.string(reserved) + Wire.string(Array(hash.utf8))
        var signed = Array("SSHSIG".utf8) + context
        signed += Wire.string(hash == "sha256" ? sha256(message) : sha512(message))
        let tail = isSecurityKey ? [flags] + Wire.uint32(counter) : []
        if isSecurityKey { signed = sha256(Array("ssh:".utf8)) + tail + sha256(signed) }
        let type = sshType(isSecurityKey)
        var inner = try sign(signed)
        if type.isP256 {
            inner = Wire.string(Self.integer(inner.prefix(32))) + Wire.string(Self.integer(inner.suffix(32)))
        }
        let signature = Wire.string(Array(type.rawValue.utf8)) + Wire.string(inner) + tail
        return Array("SSHSIG".utf8) + Wire.uint32(version) + Wire.string(sshBlob(isSecurityKey: isSecurityKey))
            + context + Wire.string(signature)
    }

    static func armour(_ blob: [UInt8]) -> String {
        let text = Array(Base64.encode(blob).utf8)
        let lines = stride(from: 0, to: text.count, by: 70).map {
            String(decoding: text[$0..<min($0 + 70, text.count)], as: UTF8.self)
        }
        return (["-----BEGIN SSH SIGNATURE-----"] + lines + ["-----END SSH SIGNATURE-----", ""])
            .joined(separator: "\n")
    }

    /// A positive integer in the shortest way.
    static func integer(_ bytes: some Collection<UInt8>) -> [UInt8] {
        let digits = Array(bytes.drop { $0 == 0 })
        return (digits.first ?? 0x80) >= 0x80 ? [0] + digits : digits
    }

    // MARK: WebAuthn

    var algorithm: Passkey.Algorithm {
        switch key {
        case .ed25519: .edDSA
        case .p256: .es256
        }
    }

    var spki: [UInt8] {
        switch key {
        case .ed25519(let key):
            [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00] + key.publicKey.rawRepresentation
        // swift-crypto writes the form itself here.
        case .p256(let key): Array(key.publicKey.derRepresentation)
        }
    }

    static let credentialID = Array("a credential".utf8)

    func passkey() throws -> Passkey { try Passkey(algorithm, credentialID: Self.credentialID, spki: spki) }

    struct Asked {
        var challenge: [UInt8] = Array("challenge".utf8)
        var type = "webauthn.get"
        var origin = "https://agent.example:8443"
        var rpID = "agent.example"
        /// Members of the client data behind the usual ones.
        var more = #","crossOrigin":false"#
        var flags: UInt8 = 0b101
        var counter: UInt32 = 3
        var extensions: [UInt8] = []
        var credentialID = SoftwareToken.credentialID
    }

    func assertion(_ asked: Asked = Asked()) throws -> PasskeyAssertion {
        let challenge = Base64.encodeURL(asked.challenge)
        let client = Array(
            #"{"type":"\#(asked.type)","challenge":"\#(challenge)","origin":"\#(asked.origin)"\#(asked.more)}"#.utf8)
        let data = sha256(Array(asked.rpID.utf8)) + [asked.flags] + Wire.uint32(asked.counter) + asked.extensions
        return try PasskeyAssertion(
            credentialID: asked.credentialID, clientData: client, authenticatorData: data,
            signature: try sign(forWeb: data + sha256(client)))
    }

    private func sign(forWeb message: [UInt8]) throws -> [UInt8] {
        switch key {
        case .ed25519: try sign(message)
        case .p256(let key): Array(try key.signature(for: message).derRepresentation)
        }
    }
}

/// Runs it with the path of a directory that is gone afterwards.
func inDirectory(_ body: (String) async throws -> Void) async throws {
    let directory = try TemporaryDirectory()
    try await body(directory.path)
    withExtendedLifetime(directory) {}
}
