internal import StrictJSON

/// What an authenticator answers to `navigator.credentials.get()` (WebAuthn level 3, 7.2), not yet checked.
package struct PasskeyAssertion: Sendable, Hashable {
    package let credentialID: [UInt8]
    /// `clientDataJSON`, byte for byte.
    package let clientData: [UInt8]
    package let authenticatorData: [UInt8]
    package let signature: [UInt8]

    /// What a good assertion tells beside that it is good.
    package struct Evidence: Sendable, Hashable {
        /// How many signatures the authenticator has made; 0 if it does not count.
        package let counter: UInt32
        /// The passkey can be copied to other devices.
        package let isBackupEligible: Bool
    }

    /// The most that is read of each part.
    package static let maximumBytes = 4096

    package init(
        credentialID: [UInt8], clientData: [UInt8], authenticatorData: [UInt8], signature: [UInt8]
    ) throws(SignatureProblem) {
        guard Passkey.credentialBytes.contains(credentialID.count) else {
            throw .malformed("the credential id must have 1 to 1023 bytes")
        }
        for (name, part) in [("client_data", clientData), ("authenticator_data", authenticatorData)] {
            guard part.count <= Self.maximumBytes else { throw .malformed("\(name) is too long") }
        }
        guard signature.count <= 128 else { throw .malformed("the passkey's signature is too long") }
        self.credentialID = credentialID
        self.clientData = clientData
        self.authenticatorData = authenticatorData
        self.signature = signature
    }

    /// Checks everything that makes an assertion count: type, challenge, origin, relying party, presence and
    /// verification of the user, and the signature. The caller checks the counter.
    ///
    /// `challenge` is what the page was given, `origin` that of the page as browsers write it
    /// (`https://agent.example:8443`), and `rpID` its host.
    @discardableResult
    package func check(
        by passkey: Passkey, challenge: [UInt8], origin: String, rpID: String
    ) throws(SignatureProblem) -> Evidence {
        guard credentialID == passkey.credentialID else { throw .otherKey }
        try checkClientData(challenge, origin)
        let head = try checkAuthenticatorData(rpID)
        let raw = passkey.algorithm == .edDSA ? signature : try Self.raw(fromDER: signature)
        guard passkey.key.isValid(raw, for: authenticatorData + sha256(clientData)) else { throw .wrong }
        return head
    }

    /// The origin of the page that asked, as its client data has it. It is no secret, and no proof before ``check``.
    package var claimedOrigin: String? { (try? JSON.parse(clientData))?["origin"]?.string }

    private func checkClientData(_ challenge: [UInt8], _ origin: String) throws(SignatureProblem) {
        guard let data = (try? JSON.parse(clientData))?.object, let type = data["type"]?.string,
            let sent = data["challenge"]?.string, let found = data["origin"]?.string
        else { throw .malformed("client_data is no JSON object with type, challenge and origin") }
        guard type == "webauthn.get" else { throw .ceremony(type) }
        guard sent.utf8.elementsEqual(Base64.encodeURL(challenge).utf8) else { throw .challenge }
        guard found.utf8.elementsEqual(origin.utf8) else { throw .origin(found: found, wanted: origin) }
        guard data["crossOrigin"] ?? false == false, data["topOrigin"] == nil else { throw .framed }
    }

    /// SHA-256 of the relying party's id, flags, counter; what follows is not read, but is signed.
    private func checkAuthenticatorData(_ rpID: String) throws(SignatureProblem) -> Evidence {
        var reader = WireReader(authenticatorData)
        guard let party = reader.bytes(32), let flags = reader.byte(), let counter = reader.uint32(),
            reader.isAtEnd || flags & 0b1100_0000 != 0
        else { throw .malformed("authenticator_data is cut off or damaged") }
        guard party == sha256(Array(rpID.utf8)) else { throw .relyingParty(wanted: rpID) }
        guard flags & 0b0000_0001 != 0 else { throw .userNotPresent }
        guard flags & 0b0000_0100 != 0 else { throw .userNotVerified }
        let (isEligible, isBackedUp) = (flags & 0b0000_1000 != 0, flags & 0b0001_0000 != 0)
        guard isEligible || !isBackedUp else { throw .malformed("authenticator_data contradicts itself") }
        return Evidence(counter: counter, isBackupEligible: isEligible)
    }

    /// `r` and `s` of a DER signature: a sequence of two integers, in at most 72 bytes.
    private static func raw(fromDER der: [UInt8]) throws(SignatureProblem) -> [UInt8] {
        let damaged = SignatureProblem.malformed("the passkey's signature is no DER signature of two integers")
        var reader = WireReader(der)
        guard reader.byte() == 0x30, let length = reader.byte(), length < 0x80, Int(length) == der.count - 2 else {
            throw damaged
        }
        var raw: [UInt8] = []
        for _ in 0..<2 {
            guard reader.byte() == 0x02, let length = reader.byte(), let integer = reader.bytes(Int(length)),
                let scalar = VerifyingKey.scalar(integer)
            else { throw damaged }
            raw += scalar
        }
        guard reader.isAtEnd else { throw damaged }
        return raw
    }
}
