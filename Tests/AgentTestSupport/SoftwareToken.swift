internal import Crypto
import FoundationEssentials
package import Signatures

/// What a security key or an authenticator does, in software, written from PROTOCOL.u2f, PROTOCOL.sshsig and WebAuthn.
package struct SoftwareToken: Sendable {
    private enum Key: Sendable {
        case ed25519(Curve25519.Signing.PrivateKey)
        case p256(P256.Signing.PrivateKey)
    }

    private let key: Key

    package static let ed25519 = SoftwareToken.newEd25519()
    package static let p256 = SoftwareToken.newP256()

    package static func newEd25519() -> SoftwareToken { SoftwareToken(key: .ed25519(.init())) }
    package static func newP256() -> SoftwareToken { SoftwareToken(key: .p256(.init())) }

    /// What the key stands for on the wire: 32 bytes, or a point.
    private var publicBytes: [UInt8] {
        switch key {
        case .ed25519(let key): Array(key.publicKey.rawRepresentation)
        case .p256(let key): Array(key.publicKey.x963Representation)
        }
    }

    private var isP256: Bool {
        switch key {
        case .ed25519: false
        case .p256: true
        }
    }

    /// 64 bytes.
    private func sign(_ message: [UInt8]) throws -> [UInt8] {
        switch key {
        case .ed25519(let key): Array(try key.signature(for: message))
        case .p256(let key): Array(try key.signature(for: message).rawRepresentation)
        }
    }

    private static func sha256(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }

    private static func uint32(_ value: UInt32) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }

    private static func string(_ bytes: some Collection<UInt8>) -> [UInt8] { uint32(UInt32(bytes.count)) + bytes }

    private static func string(_ text: String) -> [UInt8] { string(Array(text.utf8)) }
}

// MARK: - SSH

extension SoftwareToken {
    private func sshType(_ isSecurityKey: Bool) -> String {
        switch (isP256, isSecurityKey) {
        case (false, false): "ssh-ed25519"
        case (true, false): "ecdsa-sha2-nistp256"
        case (false, true): "sk-ssh-ed25519@openssh.com"
        case (true, true): "sk-ecdsa-sha2-nistp256@openssh.com"
        }
    }

    /// The public key as OpenSSH writes it.
    package func sshBlob(isSecurityKey: Bool = true) -> [UInt8] {
        Self.string(sshType(isSecurityKey)) + (isP256 ? Self.string("nistp256") : []) + Self.string(publicBytes)
            + (isSecurityKey ? Self.string("ssh:") : [])
    }

    /// The line of its `.pub` file.
    package func sshLine(isSecurityKey: Bool = true, comment: String = "token") -> String {
        "\(sshType(isSecurityKey)) \(Data(sshBlob(isSecurityKey: isSecurityKey)).base64EncodedString()) \(comment)"
    }

    /// What is signed, and how it is described.
    package struct SSHRequest {
        package var namespace = "approval@proxmox-agent"
        package var isSecurityKey = true
        package var flags: UInt8 = 1
        package var counter: UInt32 = 7
        package var version: UInt32 = 1
        package var hash = "sha512"
        package var reserved: [UInt8] = []

        package init() {}
    }

    /// An SSHSIG blob over `message`.
    package func sshSignature(
        of message: [UInt8], _ change: (inout SSHRequest) -> Void = { _ in }
    ) throws -> [UInt8] {
        var request = SSHRequest()
        change(&request)
        let context = Self.string(request.namespace) + Self.string(request.reserved) + Self.string(request.hash)
        let digest = request.hash == "sha256" ? Self.sha256(message) : Array(SHA512.hash(data: message))
        var signed = Array("SSHSIG".utf8) + context + Self.string(digest)
        let tail = request.isSecurityKey ? [request.flags] + Self.uint32(request.counter) : []
        if request.isSecurityKey { signed = Self.sha256(Array("ssh:".utf8)) + tail + Self.sha256(signed) }
        var inner = try sign(signed)
        if isP256 {
            inner = Self.string(Self.integer(inner.prefix(32))) + Self.string(Self.integer(inner.suffix(32)))
        }
        let signature = Self.string(sshType(request.isSecurityKey)) + Self.string(inner) + tail
        return Array("SSHSIG".utf8) + Self.uint32(request.version)
            + Self.string(sshBlob(isSecurityKey: request.isSecurityKey)) + context + Self.string(signature)
    }

    package static func armour(_ blob: [UInt8]) -> String {
        let text = Array(Data(blob).base64EncodedString().utf8)
        let lines = stride(from: 0, to: text.count, by: 70).map {
            String(decoding: text[$0..<min($0 + 70, text.count)], as: UTF8.self)
        }
        return (["-----BEGIN SSH SIGNATURE-----"] + lines + ["-----END SSH SIGNATURE-----", ""])
            .joined(separator: "\n")
    }

    /// A positive integer in the shortest way.
    private static func integer(_ bytes: some Collection<UInt8>) -> [UInt8] {
        let digits = Array(bytes.drop { $0 == 0 })
        return (digits.first ?? 0x80) >= 0x80 ? [0] + digits : digits
    }
}

// MARK: - WebAuthn

extension SoftwareToken {
    package var algorithm: Passkey.Algorithm { isP256 ? .es256 : .edDSA }

    package var spki: [UInt8] {
        switch key {
        case .ed25519(let key):
            [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00] + key.publicKey.rawRepresentation
        // swift-crypto writes the form itself here.
        case .p256(let key): Array(key.publicKey.derRepresentation)
        }
    }

    package static let credentialID = Array("a credential".utf8)

    package func passkey() throws -> Passkey { try Passkey(algorithm, credentialID: Self.credentialID, spki: spki) }

    /// What the page asks, and what the authenticator says.
    package struct Asked {
        package var challenge: [UInt8] = Array("challenge".utf8)
        package var type = "webauthn.get"
        package var origin = "https://agent.example:8443"
        package var rpID = "agent.example"
        /// Members of the client data behind the usual ones.
        package var more = #","crossOrigin":false"#
        package var flags: UInt8 = 0b101
        package var counter: UInt32 = 3
        package var extensions: [UInt8] = []
        package var credentialID = SoftwareToken.credentialID

        package init() {}
    }

    package func assertion(_ change: (inout Asked) -> Void = { _ in }) throws -> PasskeyAssertion {
        var asked = Asked()
        change(&asked)
        let challenge = Data(asked.challenge).base64EncodedString()
            .filter { $0 != "=" }.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }
        let client = Array(
            #"{"type":"\#(asked.type)","challenge":"\#(String(challenge))","origin":"\#(asked.origin)"\#(asked.more)}"#
                .utf8)
        let data =
            Self.sha256(Array(asked.rpID.utf8)) + [asked.flags] + Self.uint32(asked.counter) + asked.extensions
        return try PasskeyAssertion(
            credentialID: asked.credentialID, clientData: client, authenticatorData: data,
            signature: try sign(forWeb: data + Self.sha256(client)))
    }

    private func sign(forWeb message: [UInt8]) throws -> [UInt8] {
        switch key {
        case .ed25519: try sign(message)
        case .p256(let key): Array(try key.signature(for: message).derRepresentation)
        }
    }
}
