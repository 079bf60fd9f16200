import AgentModel
import CurlHTTP
import FoundationEssentials
import StrictJSON

/// Reads one environment.
extension ConfigReading {
    func environment(_ reader: inout ObjectReader, _ declared: Bool) -> AgentConfig.Environment? {
        let name = reader.parsed("name", "1 to 64 of A-Z a-z 0-9 . _ -", EnvironmentName.init)
        let baseURL = reader.string("base_url")
        let tokenID = self.tokenID(&reader)
        reader.require("name", "a name such as home")
        reader.require("base_url", "https://host:8006 or simulator://NAME")
        reader.require("token_id", "a PVE token id such as agent@pve!home")
        let readOnly = reader.bool("read_only") ?? false
        let timeout = reader.integer("timeout_ms", in: 100...600_000, unit: "ms") ?? 30_000
        var labels: [String: String] = [:]
        for member in reader.object("labels")?.members ?? [] {
            guard let text = member.value.string else {
                reader.report([JSONError(path: reader.path.key("labels").key(member.key), detail: "expected a string")])
                continue
            }
            labels[member.key] = text
        }
        let commands = list("agent_exec_allow", "a command: its words, separated by blanks", &reader) { text in
            let words = text.split(separator: " ").map(String.init)
            return words.isEmpty || !TextForm.line(1024).matches(text) ? nil : words
        }
        let downloads = list("download_allow", "https://HOST/, at least", &reader) { text in
            DownloadAddress(text).flatMap { $0.scheme == "https" && $0.query == nil ? text : nil }
        }
        let agent = reader.parsed("prefer_agent", Self.agentNameForm) { TextForm.environment.matches($0) ? $0 : nil }
        let trust = self.trust(&reader)
        let endpoint = baseURL.flatMap { self.endpoint($0, trust, &reader) }
        let secret = self.secret(&reader, isSimulated: baseURL?.hasPrefix("simulator://") == true)
        guard let name, let baseURL, let tokenID, let endpoint, let secret else { return nil }
        let settings = EnvironmentSettings(
            name: name, baseURL: baseURL, tokenID: tokenID, trust: Self.words(for: trust), readOnly: readOnly,
            acceptsDeclaredApprovals: declared, labels: labels, allowedCommands: commands,
            allowedDownloads: downloads, preferredAgent: agent)
        return AgentConfig.Environment(
            settings: settings, endpoint: endpoint, secret: secret, timeout: .milliseconds(timeout))
    }

    /// The texts of a list, each parsed by `read`.
    private func list<T>(
        _ key: String, _ expected: String, _ reader: inout ObjectReader, _ read: (String) -> T?
    ) -> [T] {
        (reader.strings(key) ?? []).enumerated().compactMap { index, text in
            if let value = read(text) { return value }
            let path = reader.path.key(key).index(index)
            let shown = JSON.string(text).shown.withoutUserinfo
            reader.report([JSONError(path: path, detail: "expected \(expected), got \(shown)")])
            return nil
        }
    }

    /// The id. An invalid one is not repeated: it may include the secret, as in `id=secret`.
    private func tokenID(_ reader: inout ObjectReader) -> String? {
        guard let text = reader.string("token_id") else { return nil }
        if Self.isTokenID(text) { return text }
        reader.report(
            "token_id",
            "must be a PVE token id such as agent@pve!home, without its secret; realm and name have two characters at least"
        )
        return nil
    }

    /// `user@realm!name`, in PVE's form (`POST /access/users/{userid}/token/{tokenid}`): realm and name begin with a
    /// letter and have at least two characters.
    static func isTokenID(_ text: String) -> Bool {
        let parts = text.split(separator: "!", omittingEmptySubsequences: false)
        guard parts.count == 2, let at = parts[0].lastIndex(of: "@"), at > parts[0].startIndex else { return false }
        let user = parts[0][..<at].utf8
        return user.allSatisfy { $0 > 0x20 && $0 < 0x7F && !":/=".utf8.contains($0) }
            && [parts[0][parts[0].index(after: at)...], parts[1]].allSatisfy { word in
                word.utf8.count > 1 && word.first.map { $0.isASCII && $0.isLetter } ?? false
                    && word.utf8.allSatisfy { byte in
                        switch byte {
                        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                        default: ".-_".utf8.contains(byte)
                        }
                    }
            }
    }

    func trust(_ reader: inout ObjectReader) -> ServerTrust {
        var trust = ServerTrust.system
        reader.section("tls") { tls in
            let file = tls.string("ca_file")
            let pin = tls.parsed(
                "fingerprint_sha256", "32 hexadecimal bytes with colons, AA:BB:…, as PVE shows them",
                CertificateFingerprint.init(parsing:))
            if file != nil, pin != nil { tls.report("ca_file", "give either ca_file or fingerprint_sha256, not both") }
            if let file {
                trust = .authority(file: file)
                do throws(FileError) {
                    let text = String(decoding: try readFile(file, limit: 16 << 20), as: UTF8.self)
                    if !text.contains("-----BEGIN CERTIFICATE-----") {
                        tls.report("ca_file", "\(file) holds no certificate in PEM form")
                    }
                } catch {
                    tls.report("ca_file", "\(file): \(error.detail)")
                }
            }
            if let pin { trust = .pinned(pin) }
        }
        return trust
    }

    /// The trust as part of the environment's identity.
    private static func words(for trust: ServerTrust) -> String {
        switch trust {
        case .system: "system"
        case .authority(let file): "ca:\(file)"
        case .pinned(let fingerprint): "sha256:\(fingerprint)"
        }
    }

    private func endpoint(_ text: String, _ trust: ServerTrust, _ reader: inout ObjectReader) -> AgentConfig.Endpoint? {
        if text.hasPrefix("simulator://") {
            let name = String(text.dropFirst("simulator://".count))
            guard EnvironmentName(name) != nil else {
                reader.report("base_url", "simulator:// takes a name such as home, got \(JSON.string(name).shown)")
                return nil
            }
            if trust != .system { reader.report("tls", "is for https://; a simulator:// has none") }
            return .simulator(name: name)
        }
        do throws(HTTPOrigin.Invalid) {
            let origin = try HTTPOrigin(parsing: text)
            if origin.scheme == .http, trust != .system { reader.report("tls", "is for https://; this is http://") }
            return .remote(origin, trust)
        } catch {
            reader.report("base_url", Self.wording(of: error, text))
            return nil
        }
    }

    static func wording(of error: HTTPOrigin.Invalid, _ text: String) -> String {
        switch error {
        case .scheme: "must start with https:// or simulator://"
        case .host: "has no valid host name or address"
        case .port: "has no valid port; 1 to 65535"
        case .notOnlyOrigin: "must be scheme, host and port alone: https://pve.lan:8006"
        case .plaintextBeyondLoopback:
            "\(JSON.string(text).shown) is not encrypted; use https:// with tls.ca_file or tls.fingerprint_sha256"
        }
    }

    private func secret(_ reader: inout ObjectReader, isSimulated: Bool) -> Secret? {
        let variable = reader.string("token_secret_env")
        let file = reader.parsed("token_secret_file", "a file's path") { $0.isEmpty ? nil : $0 }
        if variable != nil, file != nil {
            reader.report("token_secret_file", "give either token_secret_env or token_secret_file, not both")
            return nil
        }
        if let file { return secret(file: file, &reader) }
        // An invalid name may be the secret itself, and is not repeated.
        if let variable, !Self.isVariable(variable) {
            reader.report(
                "token_secret_env",
                "must be the name of a variable, of A-Z a-z 0-9 _; the secret itself has no place in this file")
            return nil
        }
        if let variable, let text = variables[variable], !text.isEmpty {
            if let secret = Self.checked(text) { return secret }
            reader.report("token_secret_env", "\(variable) holds white space or control characters; set it anew")
            return nil
        }
        // A simulator accepts any token, so a first run needs none.
        if isSimulated { return Secret("simulator") }
        if let variable {
            reader.report("token_secret_env", "\(variable) is not set; export it, or use token_secret_file")
        } else {
            reader.report("token_secret_env", "is missing; name the variable that holds the token's secret")
        }
        return nil
    }

    static func isVariable(_ text: String) -> Bool {
        !text.isEmpty && !text.utf8.contains(UInt8(ascii: "-")) && TextForm.word.matches(text)
    }

    private func secret(file: String, _ reader: inout ObjectReader) -> Secret? {
        guard let (path, text) = secretText(file, "token_secret_file", &reader) else { return nil }
        if let secret = Self.checked(text) { return secret }
        reader.report("token_secret_file", "\(path) must hold the secret alone, on one line")
        return nil
    }

    /// The text of a file that is not world-readable, without its final newline, and the file's path.
    func secretText(_ file: String, _ key: String, _ reader: inout ObjectReader) -> (path: String, text: String)? {
        bytes(of: file, key, &reader, limit: 4096, isSecret: true).map { path, bytes in
            (path, String(decoding: bytes.last == UInt8(ascii: "\n") ? bytes.dropLast() : bytes[...], as: UTF8.self))
        }
    }

    /// The bytes of a file that the configuration names, possibly in `$CREDENTIALS_DIRECTORY`, and its path.
    func bytes(
        of file: String, _ key: String, _ reader: inout ObjectReader, limit: Int, isSecret: Bool
    ) -> (path: String, bytes: [UInt8])? {
        var path = file
        if path.hasPrefix("$CREDENTIALS_DIRECTORY/") {
            guard let directory = variables["CREDENTIALS_DIRECTORY"] else {
                reader.report(key, "$CREDENTIALS_DIRECTORY is not set; systemd sets it for LoadCredential=")
                return nil
            }
            path = directory + path.dropFirst("$CREDENTIALS_DIRECTORY".count)
        }
        do throws(FileError) {
            return (path, try readFile(path, limit: limit, isSecret: isSecret))
        } catch {
            reader.report(key, "\(path): \(error.detail)")
            return nil
        }
    }

    /// A secret that is valid in a header.
    static func checked(_ text: String) -> Secret? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
        return Secret(text)
    }
}
