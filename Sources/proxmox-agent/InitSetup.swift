import AgentModel
import CurlHTTP
import HTTPMessage
import Logging
import StrictJSON

extension InitCommand {
    /// One run of `init`. Writes nothing before everything is known and the token was tested.
    struct Setup {
        let options: InitCommand
        private let system: InstalledSystem
        private var document: JSONObject

        init(_ options: InitCommand) throws(StartError) {
            self.options = options
            system = InstalledSystem(root: options.root)
            document = try system.readConfig()
        }

        mutating func run() async throws(StartError) {
            let taken = KnownNames("name", of: document["environments"]).all ?? []
            let url = try answer(options.url, "Where is PVE, as https://host:8006?", "--url")
            let origin = try Self.origin(url)
            let name = try answer(options.name, "A name for it", "--name", default: Self.name(for: origin))
            guard let environment = EnvironmentName(name) else {
                throw StartError("the name takes 1 to 64 of A-Z a-z 0-9 . _ -, not \(quoted(name))")
            }
            if taken.contains(name) {
                throw StartError(
                    "there is an environment \(name) already: another --name, or edit \(system.config)")
            }
            for line in Self.commands(for: name) { complain(line) }
            let tokenID = try answer(options.tokenID, "The token's id", "--token-id", default: "agent@pve!\(name)")
            guard ConfigReading.isTokenID(tokenID) else {
                throw StartError("the token's id must be as agent@pve!home, without its secret")
            }
            let secret = try options.secret()
            let trust = try await trust(in: origin)
            try await test(environment, url, origin, tokenID, secret, trust)
            let callers = try newCallers()
            try write(environment, url, tokenID, secret, trust, callers)
        }

        private func answer(
            _ given: String?, _ question: String, _ option: String, default preset: String? = nil
        ) throws(StartError) -> String { try InitCommand.answer(given, question, option, default: preset) }

        private static func origin(_ url: String) throws(StartError) -> HTTPOrigin {
            do throws(HTTPOrigin.Invalid) { return try HTTPOrigin(parsing: url) } catch {
                throw StartError("the URL \(ConfigReading.wording(of: error, url))")
            }
        }

        /// The host's first label, if it is a valid name.
        private static func name(for origin: HTTPOrigin) -> String {
            let label = origin.host.split(separator: ".").first.map(String.init) ?? ""
            let isAddress = origin.host.contains(":") || origin.host.allSatisfy { $0.isNumber || $0 == "." }
            return EnvironmentName(label) == nil || isAddress ? "home" : label
        }

        /// Commands that make a token with exactly the privileges that the agent's actions need.
        static func commands(for name: String) -> [String] {
            let roles = PVEVersion.supported.reversed().flatMap { major in
                ["    # on PVE \(major):", "    " + EnvironmentReport.roleCommand(on: major)]
            }
            return [
                "",
                "If there is no token yet, make one on a node of that PVE; leave out the privileges of what the",
                "agent should not be able to do. PVE tells its version only to a token, so take the role of yours",
                "(pveversion says which):", "", "    pveum user add agent@pve",
            ] + roles + [
                "    pveum acl modify / --users agent@pve --roles ProxmoxAgent",
                "    pveum user token add agent@pve \(name)",
                "    pveum acl modify / --tokens 'agent@pve!\(name)' --roles ProxmoxAgent", "",
            ]
        }

        /// How PVE proves its identity: by the named authority, else by the certificate that it shows, once a person
        /// has compared it.
        private func trust(in origin: HTTPOrigin) async throws(StartError) -> ServerTrust {
            if let file = options.caFile { return .authority(file: file) }
            if origin.scheme == .http { return .system }
            let shown: CertificateFingerprint
            do throws(TransportError) { shown = try await .shown(by: origin) } catch {
                throw StartError("\(origin) shows no certificate: \(error)")
            }
            if let given = options.fingerprint.flatMap(CertificateFingerprint.init(parsing:)) {
                guard given == shown else {
                    throw StartError(
                        "\(origin) shows \(shown), not --fingerprint: another machine answers there")
                }
                return .pinned(shown)
            }
            complain("\(origin) shows the certificate with the SHA-256 fingerprint\n\n    \(shown)\n")
            complain("Compare it with PVE's web interface, Node, Certificates, or on the node itself:")
            complain("    openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem\n")
            guard try answer(nil, "Does it match, yes or no?", "--fingerprint") == "yes" else {
                throw StartError("the certificate was not confirmed; nothing has been written")
            }
            return .pinned(shown)
        }

        /// Calls PVE with the token, and prints the result.
        private func test(
            _ name: EnvironmentName, _ url: String, _ origin: HTTPOrigin, _ tokenID: String, _ secret: Secret,
            _ trust: ServerTrust
        ) async throws(StartError) {
            var config = AgentConfig()
            config.environments = [
                AgentConfig.Environment(
                    settings: EnvironmentSettings(name: name, baseURL: url, tokenID: tokenID, trust: "\(trust)"),
                    endpoint: .remote(origin, trust), secret: secret, timeout: .seconds(30))
            ]
            let upstreams = try PVEConnections(config, log: Logger(label: "init") { _ in SwiftLogNoOpLogHandler() })
            var isGood = true
            for managed in upstreams.managedEnvironments {
                let report = await EnvironmentReport(looking: managed)
                for line in report.lines { complain(quoted(line)) }
                isGood = isGood && report.isGood
            }
            await upstreams.shutdown(within: .seconds(1))
            guard isGood else { throw StartError("fix that and run it again; nothing has been written") }
        }

        /// On the first run, one operator and one approver.
        private func newCallers() throws(StartError) -> [(id: String, role: Role)] {
            guard document["principals"]?.array?.isEmpty ?? true else { return [] }
            let agent = try answer(options.agent, "Who plans and applies, a name", "--agent", default: "pi-agent")
            let approver = try answer(options.approver, "Who approves, another name", "--approver", default: "admin")
            for id in [agent, approver] {
                guard TextForm.label.matches(id) else {
                    throw StartError("a principal's id takes 3 to 128 of A-Z a-z 0-9 . _ : @ / -, not \(quoted(id))")
                }
                if let flaw = ConfigReading.flaw(inID: id) { throw StartError(flaw) }
            }
            guard agent.lowercased() != approver.lowercased() else {
                throw StartError("the requester cannot be the approver: give two names")
            }
            return [(agent, .operator), (approver, .approver)]
        }

        private mutating func write(
            _ name: EnvironmentName, _ url: String, _ tokenID: String, _ secret: Secret, _ trust: ServerTrust,
            _ callers: [(id: String, role: Role)]
        ) throws(StartError) {
            let tls: JSON? =
                switch trust {
                case .system: nil
                case .authority(let file): ["ca_file": .string(file)]
                case .pinned(let print): ["fingerprint_sha256": .string("\(print)")]
                }
            let entry: JSON = [
                "name": .string("\(name)"), "base_url": .string(url), "token_id": .string(tokenID),
                "token_secret_file": .string("$CREDENTIALS_DIRECTORY/secret_\(name)"), "tls": tls,
                "read_only": options.readOnly ? true : nil,
            ]
            document["environments"] = .array((document["environments"]?.array ?? []) + [entry])
            let tokens = callers.map { (caller: $0, token: CallerToken.make()) }
            if !tokens.isEmpty {
                document["principals"] = .array(
                    tokens.map { CallerToken.entry(of: $0.token, $0.caller.id, [$0.caller.role]) })
            }
            try system.write(document, credential: "\(name)", secret)
            for (caller, token) in tokens { print("\(caller.id) (\(caller.role.rawValue)): \(token)") }
            if !tokens.isEmpty { complain("These tokens are shown this once; give each to its holder.") }
            complain("To put it in force: systemctl daemon-reload && systemctl restart proxmox-agent")
        }
    }
}
