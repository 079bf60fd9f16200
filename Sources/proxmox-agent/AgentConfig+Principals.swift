import AgentModel
import CurlHTTP
import Signatures
import StrictJSON

/// Reads the principals and their roles.
extension ConfigReading {
    func principals(
        _ reader: inout ObjectReader, _ config: inout AgentConfig, in environments: KnownNames
    ) {
        reader.each("principals") { index, reader in
            let id = self.id(&reader, among: config.principals)
            let certificate = self.certificate(&reader, config)
            let token = self.token(
                &reader,
                missing: reader.value("cert_sha256") != nil
                    ? nil : "is missing; proxmox-agent token new ID makes a token and prints this key")
            let roles = reader.set("roles", Self.roleForm, Role.init(rawValue:))
            reader.require("roles", "a list, each " + Self.roleForm)
            let limit = reader.environments(among: environments)
            let keys = approvalKeys(&reader, config)
            if let token {
                checkIsOwn(
                    token.digest, token.key, &reader, config, "give each its own", "give the caller a token of its own")
            }
            guard let id, token != nil || certificate != nil else { return }
            config.principals.append(
                AgentConfig.Holder(
                    index: index,
                    principal: Principal(id: id, roles: roles ?? [], environments: limit, approvalKeys: keys),
                    roles: Role.allCases.filter { roles?.contains($0) ?? false }, token: token?.digest,
                    certificate: certificate))
        }
    }

    /// The public keys that sign a principal's approvals, each only once in the file.
    private func approvalKeys(_ reader: inout ObjectReader, _ config: AgentConfig) -> [ApprovalKey] {
        var keys: [ApprovalKey] = []
        for (index, element) in (reader.array("approval_keys") ?? []).enumerated() {
            let path = reader.path.key("approval_keys").index(index)
            // A wrong value may be a private key, by mistake, so it is not repeated.
            func report(_ detail: String) { reader.report([JSONError(path: path, detail: detail)]) }
            guard let line = element.string else {
                report("expected the line of a public key, got \(element.kind)")
                continue
            }
            do throws(SignatureProblem) {
                let key = try ApprovalKey(line: line)
                if keys.contains(where: key.isSame(as:)) { report("stands there already; name it once") }
                if let other = config.principals.first(where: {
                    $0.principal.approvalKeys.contains(where: key.isSame(as:))
                }) {
                    report("is a key of principals[\(other.index)] too; a key says who signed, so give each their own")
                }
                keys.append(key)
            } catch {
                report("\(error)")
            }
        }
        return keys
    }

    /// The token of `metrics`, which is nobody else's.
    func scrapeToken(_ reader: inout ObjectReader, _ config: inout AgentConfig) {
        let token = token(&reader, missing: "is missing; openssl rand -hex 32 > FILE makes a token for token_file")
        guard let token else { return }
        checkIsOwn(token.digest, token.key, &reader, config, "give metrics its own", "give metrics its own")
        config.scrapeToken = token.digest
    }

    /// Reports a token that is a principal's or an environment's already, each with its cure.
    private func checkIsOwn(
        _ digest: CredentialDigest, _ key: String, _ reader: inout ObjectReader, _ config: AgentConfig,
        _ cure: String, _ cureAtPVE: String
    ) {
        if let other = config.principals.first(where: { $0.token == digest }) {
            reader.report(key, "is the token of principals[\(other.index)] too; \(cure)")
        }
        if config.environments.contains(where: { environment in
            !environment.settings.isSimulator && CredentialDigest(of: environment.secret.reveal().utf8) == digest
        }) {
            reader.report(key, "is a PVE token's secret as well; \(cureAtPVE)")
        }
    }

    private func certificate(_ reader: inout ObjectReader, _ config: AgentConfig) -> CredentialDigest? {
        let form = "32 hexadecimal bytes with colons, as openssl x509 -noout -fingerprint -sha256 shows them"
        let digest = reader.parsed("cert_sha256", form) { text in
            CertificateFingerprint(parsing: text).flatMap { CredentialDigest(bytes: $0.bytes) }
                ?? CredentialDigest(text)
        }
        guard let digest else { return nil }
        // Only if the key is absent: errors in the authorities are reported at their own place.
        if config.document["tls"]?.object?["client_ca_file"] == nil {
            reader.report(
                "cert_sha256", "needs tls.client_ca_file, the authorities by which certificates of clients count")
        }
        if let other = config.principals.first(where: { $0.certificate == digest }) {
            reader.report("cert_sha256", "is the certificate of principals[\(other.index)] too; give each its own")
        }
        return digest
    }

    private static let roleForm = "one of " + Role.allCases.map(\.rawValue).joined(separator: ", ")

    private func id(_ reader: inout ObjectReader, among others: [AgentConfig.Holder]) -> String? {
        let form = "3 to 128 of A-Z a-z 0-9 . _ : @ / -"
        let id = reader.parsed("id", form) { TextForm.label.matches($0) ? $0 : nil }
        reader.require("id", form)
        guard let id else { return nil }
        if let flaw = Self.flaw(inID: id) { reader.report("id", flaw) }
        if let other = others.first(where: { $0.principal.id.lowercased() == id.lowercased() }) {
            reader.report("id", "\"\(id)\" is taken by principals[\(other.index)]; ids are unique whatever their case")
        }
        return id
    }

    /// Why a well-formed id is not allowed for a principal; `nil` if it is.
    static func flaw(inID id: String) -> String? {
        Principal.isReserved(id)
            ? "\"\(id)\" is what records call the agent or a stranger; take another" : nil
    }

    /// The token, which may be given in one of several ways. A wrong value may be the token itself, by mistake, so it
    /// is not repeated.
    private func token(
        _ reader: inout ObjectReader, missing: String?
    ) -> (key: String, digest: CredentialDigest)? {
        let forms = ["token_sha256", "token_env", "token_file"]
        let given = forms.compactMap { key in reader.value(key).map { (key: key, value: $0) } }
        guard let (key, value) = given.first else {
            if let missing { reader.report(forms[0], missing) }
            return nil
        }
        guard given.count == 1 else {
            reader.report(given[1].key, "give one of token_sha256, token_env and token_file, not more")
            return nil
        }
        guard let text = value.string else {
            reader.report(key, "expected a string, got \(value.kind)")
            return nil
        }
        let digest =
            switch key {
            case "token_sha256": self.digest(text, &reader)
            case "token_env": token(inVariable: text, &reader)
            default: token(inFile: text, &reader)
            }
        return digest.map { (key, $0) }
    }

    private func digest(_ text: String, _ reader: inout ObjectReader) -> CredentialDigest? {
        guard let digest = CredentialDigest(text) else {
            reader.report(
                "token_sha256",
                "must be 64 lower-case hexadecimal digits, as proxmox-agent token hash prints; the token itself has "
                    + "no place in this file")
            return nil
        }
        if ["", "change-me"].contains(where: { CredentialDigest(of: $0.utf8) == digest }) {
            reader.report("token_sha256", "is that of a token everybody knows; proxmox-agent token new ID makes one")
        }
        return digest
    }

    private func token(inVariable name: String, _ reader: inout ObjectReader) -> CredentialDigest? {
        guard Self.isVariable(name) else {
            reader.report(
                "token_env",
                "must be the name of a variable, of A-Z a-z 0-9 _; the token itself has no place in this file")
            return nil
        }
        guard let text = variables[name], !text.isEmpty else {
            reader.report("token_env", "\(name) is not set; export it, or use token_file or token_sha256")
            return nil
        }
        if let flaw = CallerToken.flaw(in: text) {
            reader.report("token_env", "\(name) \(flaw)")
            return nil
        }
        return CredentialDigest(of: text.utf8)
    }

    private func token(inFile file: String, _ reader: inout ObjectReader) -> CredentialDigest? {
        guard let (path, text) = secretText(file, "token_file", &reader) else { return nil }
        if let flaw = CallerToken.flaw(in: text) {
            reader.report("token_file", "\(path) \(flaw)")
            return nil
        }
        return CredentialDigest(of: text.utf8)
    }
}
