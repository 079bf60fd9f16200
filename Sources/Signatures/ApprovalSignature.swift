package import StrictJSON

/// A signature of an approval, as it is sent, recorded and stored.
package enum ApprovalSignature: Sendable, Hashable {
    /// The armoured text.
    case ssh(String)
    case passkey(PasskeyAssertion)

    /// `{"ssh": …}` or `{"passkey": {credential_id, client_data, authenticator_data, signature}}`, the parts in base64url.
    package var form: JSON {
        switch self {
        case .ssh(let armour): ["ssh": .string(armour)]
        case .passkey(let assertion): ["passkey": .object(assertion.form)]
        }
    }

    /// Reads ``form``. What an SSH signature holds is read when it is checked.
    package init(form: JSON) throws(SignatureProblem) {
        guard let object = form.object, object.count == 1 else {
            throw .malformed("the signature must be an object with either ssh or passkey")
        }
        if let armour = object["ssh"]?.string {
            guard armour.utf8.count <= SSHSignature.maximumBytes else {
                throw .malformed("the SSH signature is too long")
            }
            self = .ssh(armour)
        } else if let parts = object["passkey"]?.object {
            self = .passkey(try PasskeyAssertion(form: parts))
        } else {
            throw .malformed("the signature must be an object with either ssh (text) or passkey (an object)")
        }
    }

    /// The one of `keys` that it says it was made with; `nil` if there is none.
    package func key(among keys: [ApprovalKey]) throws(SignatureProblem) -> ApprovalKey? {
        switch self {
        case .ssh(let armour):
            let signature = try SSHSignature(armoured: armour)
            return keys.first { $0.material == .ssh(signature.key) }
        case .passkey(let assertion):
            return keys.first { $0.isOf(assertion) }
        }
    }

    /// Checks that this is a signature of `text` by `key`, and returns a passkey's counter. A passkey must have signed at
    /// `place`; years later, when nobody knows that place any more, `nil` takes the one that the client data names.
    @discardableResult
    package func check(
        _ text: ApprovalText, by key: ApprovalKey, at place: SigningPlace?
    ) throws(SignatureProblem) -> UInt32? {
        switch (self, key.material) {
        case (.ssh(let armour), .ssh(let key)):
            let signature = try SSHSignature(armoured: armour)
            guard signature.key == key else { throw .otherKey }
            try signature.check(text.bytes, namespace: ApprovalText.namespace)
            return nil
        case (.passkey(let assertion), .passkey(let passkey)):
            let claimed = assertion.claimedOrigin.flatMap(SigningPlace.init)
            guard let place = place ?? claimed else {
                throw .malformed("client_data has no origin of a page")
            }
            return try assertion.check(
                by: passkey, challenge: text.challenge, origin: place.origin, rpID: place.rpID
            ).counter
        case (.ssh, .passkey), (.passkey, .ssh): throw .otherKey
        }
    }
}

/// An approval that was signed, with all that anybody needs to check it: the text, the key and the signature.
package struct SignedApproval: Sendable, Hashable {
    package let text: ApprovalText
    package let key: ApprovalKey
    package let signature: ApprovalSignature

    package init(_ text: ApprovalText, by key: ApprovalKey, _ signature: ApprovalSignature) {
        self.text = text
        self.key = key
        self.signature = signature
    }

    /// `{text, key, signature}`, as answers, audit records and the store have it.
    package var form: JSON {
        ["text": .string(text.text), "key": .string("\(key)"), "signature": signature.form]
    }

    /// Reads ``form``. The signature is not checked.
    package init(form: JSON) throws(SignatureProblem) {
        guard let object = form.object, object.count == 3, let text = object["text"]?.string,
            let line = object["key"]?.string, let signature = object["signature"]
        else { throw .malformed("a signed approval is an object with text, key and signature") }
        guard let text = ApprovalText(reading: text) else { throw .malformed("the text is not that of an approval") }
        self.init(text, by: try ApprovalKey(line: line), try ApprovalSignature(form: signature))
    }

    /// Checks the signature, as ``ApprovalSignature/check(_:by:at:)`` does.
    @discardableResult
    package func check(at place: SigningPlace? = nil) throws(SignatureProblem) -> UInt32? {
        try signature.check(text, by: key, at: place)
    }
}

/// Where passkeys sign: the origin of the agent's pages, and the relying party's id, which is its host.
package struct SigningPlace: Sendable, Hashable {
    package let origin: String
    package let rpID: String

    /// Reads an origin as browsers write it: `https://agent.example:8443`, or `http://localhost:8080`.
    package init?(_ origin: String) {
        guard let scheme = ["https://", "http://"].first(where: origin.hasPrefix) else { return nil }
        let host = origin.dropFirst(scheme.count).prefix { $0 != ":" && $0 != "/" }
        guard !host.isEmpty else { return nil }
        self.origin = origin
        rpID = String(host)
    }
}

extension PasskeyAssertion {
    /// `{credential_id, client_data, authenticator_data, signature}`, each in base64url without padding.
    package var form: JSONObject {
        [
            "credential_id": .string(Base64.encodeURL(credentialID)),
            "client_data": .string(Base64.encodeURL(clientData)),
            "authenticator_data": .string(Base64.encodeURL(authenticatorData)),
            "signature": .string(Base64.encodeURL(signature)),
        ]
    }

    /// Reads ``form``.
    package init(form: JSONObject) throws(SignatureProblem) {
        var parts: [[UInt8]] = []
        for name in ["credential_id", "client_data", "authenticator_data", "signature"] {
            // Base64 takes a third more than what it stands for.
            guard let text = form[name]?.string, text.utf8.count <= Self.maximumBytes * 2,
                let bytes = Base64.decodeURL(text.utf8)
            else { throw .malformed("the passkey's \(name) must be base64url without padding") }
            parts.append(bytes)
        }
        guard form.count == parts.count else { throw .malformed("the passkey has members that are not known") }
        try self.init(
            credentialID: parts[0], clientData: parts[1], authenticatorData: parts[2], signature: parts[3])
    }
}
