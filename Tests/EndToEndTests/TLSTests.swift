import AgentModel
import AgentTestSupport
import FoundationEssentials
import Glibc
import HTTPMessage
import StrictJSON
import Testing
import WireTestSupport

@testable import proxmox_agent

/// TLS on the listener: what is shown, who gets in by a certificate, and how certificates are renewed.
@Suite(.timeLimit(.minutes(2)))
struct TLSTests {
    /// An authority, a server's certificate and those of two clients, in a directory of a test.
    private final class TestCertificates: Sendable {
        let directory: TemporaryDirectory
        let authority: CertificateAuthority
        let server: CertificateAuthority.Identity
        let agent: CertificateAuthority.Identity
        let alice: CertificateAuthority.Identity

        init() async throws {
            directory = try TemporaryDirectory()
            authority = try await CertificateAuthority("authority", in: directory.path)
            server = try await authority.issue("server", for: .serverAuth)
            agent = try await authority.issue("agent", for: .clientAuth)
            alice = try await authority.issue("alice", for: .clientAuth)
            try write(try text(of: authority.certificate), to: clients)
        }

        /// The authorities of clients.
        var clients: String { directory.path + "/clients.pem" }

        var tls: JSONObject { ["cert_file": .string(server.certificate), "key_file": .string(server.key)] }

        var mutualTLS: JSONObject {
            var tls = tls
            tls["client_ca_file"] = .string(clients)
            return tls
        }

        /// An agent that `pi-agent` and `alice` get into by certificates, and `bob` by a token.
        func setup() async throws -> Setup {
            var setup = Setup(settings: [
                "tls": .object(mutualTLS),
                "principals": [
                    ["id": "pi-agent", "roles": ["operator"], "cert_sha256": .string(try await agent.fingerprint())],
                    ["id": "alice", "roles": ["approver"], "cert_sha256": .string(try await alice.fingerprint())],
                    [
                        "id": "bob", "roles": ["viewer"],
                        "token_sha256": .string(CredentialDigest(of: Person.bob.token.utf8).description),
                    ],
                ],
            ])
            setup.token = nil
            return setup
        }

        /// The status and document that curl gets.
        func curl(
            _ agent: RunningAgent, _ path: String, as identity: CertificateAuthority.Identity? = nil,
            token: String? = nil, body: JSON? = nil
        ) async throws -> (status: String, json: JSON) {
            var words = ["curl", "-sS", "--max-time", "20", "--cacert", authority.certificate, "-w", "\n%{http_code}"]
            if let identity { words += ["--cert", identity.certificate, "--key", identity.key] }
            if let token { words += ["-H", "Authorization: Bearer \(token)"] }
            if let body { words += ["-H", "Content-Type: application/json", "--data-binary", body.text] }
            let result = try await Tool.run(words + ["https://\(agent.address)\(path)"])
            let parts = result.text.split(separator: "\n", omittingEmptySubsequences: false)
            try #require(result.status == 0 && parts.count > 1, "\(result)")
            return (String(parts[parts.count - 1]), try JSON.parse(Array(parts.dropLast().joined().utf8)))
        }

        /// Runs a command as somebody with a certificate.
        func run(
            _ arguments: String..., as identity: CertificateAuthority.Identity, at agent: RunningAgent
        ) async throws -> Program.Result {
            try await Program(
                arguments,
                variables: [
                    "PROXMOX_AGENT_URL": "https://\(agent.address)", "PROXMOX_AGENT_CA_FILE": authority.certificate,
                    "PROXMOX_AGENT_CERT_FILE": identity.certificate, "PROXMOX_AGENT_KEY_FILE": identity.key,
                ]
            ).end()
        }
    }

    @Test func `two principals with certificates plan, approve and apply, by curl and on the command line`()
        async throws
    {
        let papers = try await TestCertificates()
        try await withAgent(try await papers.setup()) { agent in
            let plan = try await papers.curl(agent, "/v1/actions/plan", as: papers.agent, body: PlanRequest.stop.json)
            #expect(plan.status == "200" && plan.json["state"] == "awaiting_approval", "\(plan)")
            let id = try #require(plan.json["plan_id"]?.string)
            let hash = String(try #require(plan.json["plan_hash"]?.string).prefix(16))
            let astray = try await Program.run(
                "plans", "--server", "https://\(agent.address)", "--cert-file", papers.alice.certificate, "--key-file",
                papers.alice.key)
            #expect(astray.status == 1 && astray.err.contains("--ca-file or PROXMOX_AGENT_CA_FILE"), "\(astray)")
            let own = try await papers.run("approve", id, "--hash", hash, as: papers.agent, at: agent)
            #expect(own.status == 1, "\(own)")
            let approved = try await papers.run("approve", id, "--hash", hash, as: papers.alice, at: agent)
            #expect(approved.status == 0, "\(approved)")
            let applied = try await papers.curl(
                agent, "/v1/actions/apply", as: papers.agent, body: ["plan_id": .string(id)])
            #expect(applied.status == "202", "\(applied)")
            let followed = try await papers.run(
                "operation", "show", try #require(applied.json["operation"]?["operation_id"]?.string), "--wait",
                as: papers.agent,
                at: agent)
            #expect(followed.status == 0, "\(followed)")
            #expect(try agent.records().first { $0["kind"] == "approve" }?["principal"] == "alice")
        }
    }

    @Test func `a certificate that does not count is told why, and neither token nor route makes up for it`()
        async throws
    {
        let papers = try await TestCertificates()
        let other = try await CertificateAuthority("other", in: papers.directory.path)
        let foreign = try await other.issue("agent", for: .clientAuth)
        let expired = try await papers.authority.issue("late", for: .clientAuth, until: Date() - 60)
        let unknown = try await papers.authority.issue("unknown", for: .clientAuth)
        let cases: [(CertificateAuthority.Identity?, String?, String)] = [
            (foreign, nil, "no authority that counts has signed it"), (expired, nil, "it has expired"),
            (foreign, Person.bob.token, "no authority that counts has signed it"),
            (papers.server, nil, "it is not meant for clients"),
            (unknown, nil, "no principal has the client certificate"),
            (nil, nil, "send the header Authorization"), (papers.alice, Person.bob.token, "those of two principals"),
            (papers.alice, "wrong", "the token is not valid"),
        ]
        try await withAgent(try await papers.setup()) { agent in
            for (identity, token, why) in cases {
                let (status, json) = try await papers.curl(agent, "/v1/environments", as: identity, token: token)
                #expect(status == "401" && json["code"] == "unauthenticated", "\(json)")
                #expect(json["detail"]?.string?.contains(why) == true, "\(json)")
                #expect(try await papers.curl(agent, "/healthz", as: identity).status == "200")
            }
            for identity in [nil, unknown] {
                let (status, json) = try await papers.curl(
                    agent, "/v1/environments", as: identity, token: Person.bob.token)
                #expect(status == "200", "\(json)")
            }
        }
    }

    /// An agent's listener stands for PVE's: the handshake is all that is seen of it.
    @Test func `a PVE with a renewed certificate behind a pin is told with both fingerprints and the cure`()
        async throws
    {
        let papers = try await TestCertificates()
        let old = try await papers.alice.fingerprint()
        let new = try await papers.server.fingerprint()
        try await withAgent(try await papers.setup()) { pve in
            var behind = Setup.Environment.elsewhere("cloud", at: 0)
            behind.baseURL = "https://\(pve.address)"
            behind.settings = ["tls": ["fingerprint_sha256": .string(old)]]
            let setup = Setup(behind)
            let config = papers.directory.path + "/pinned.json"
            try write(
                setup.document(auditLog: papers.directory.path + "/pinned.log", addresses: [:]).text, to: config)
            let checked = try await Program(["check", "--config", config], variables: setup.variables()).end()
            #expect(checked.status == 1, "\(checked)")
            let agent = try await RunningAgent(setup)
            await agent.probe()
            let planned = try await agent.plan(.start)
            #expect(planned["code"] == "upstream_unreachable", "\(planned)")
            let ready = try await agent.get("/readyz")
            #expect(ready.status == 200)
            let texts = [
                checked.out, planned["detail"]?.string ?? "", ready["environments"]?.array?.first?.text ?? "",
            ]
            for text in texts {
                #expect(text.contains("the certificate has changed: \(old) is configured, and \(new) is shown"))
                #expect(text.contains("put it into tls.fingerprint_sha256 of the environment and restart"), "\(text)")
            }
            await agent.stop()
        }
    }

    @Test func `a reload takes renewed certificates, and none that are of no use`() async throws {
        let papers = try await TestCertificates()
        let setup = try await papers.setup()
        try await withAgent(setup) { agent in
            let config = papers.directory.path + "/config.json"
            try write(setup.document(auditLog: agent.auditLog, addresses: agent.datacenter.addresses).text, to: config)
            func shown() async throws -> String {
                let result = try await Tool.run(
                    "openssl", "s_client", "-connect", "\(agent.address)", "-CAfile", papers.authority.certificate,
                    "-verify_return_error", input: "Q\n")
                return result.text.split(separator: "\n").first { $0.hasPrefix("subject=") }.map { String($0) }
                    ?? "\(result)"
            }
            #expect(try await shown() == "subject=CN = server")
            let renewed = try await papers.authority.issue("renewed", for: .serverAuth)
            try write(try text(of: renewed.certificate), to: papers.server.certificate)
            await agent.agent.reload(config, variables: setup.variables())
            #expect(try await shown() == "subject=CN = server")
            #expect(
                agent.log.lines.contains {
                    $0.contains("tls.key_file: \(papers.server.key) is not the key of the certificate")
                })
            try write(try text(of: renewed.key), to: papers.server.key)
            await agent.agent.reload(config, variables: setup.variables())
            #expect(try await shown() == "subject=CN = renewed")
            #expect(try await papers.curl(agent, "/v1/environments", as: papers.alice).status == "200")

            let other = try await CertificateAuthority("other", in: papers.directory.path)
            try write(try text(of: other.certificate), to: papers.clients)
            await agent.agent.reload(config, variables: setup.variables())
            let (status, json) = try await papers.curl(agent, "/v1/environments", as: papers.alice)
            #expect(status == "401", "\(json)")
            #expect(!agent.log.lines.contains { $0.contains("needs a restart") })
        }
    }

    @Test func `a command says what is wrong with a client's certificate and key, and asks for no passphrase`()
        async throws
    {
        let papers = try await TestCertificates()
        let path = papers.directory.path
        let locked = path + "/locked.key"
        _ = try await Tool.run(
            "openssl", "pkey", "-in", papers.alice.key, "-aes256", "-passout", "pass:x", "-out", locked)
        try write("nothing", to: path + "/nothing.pem")
        func said(_ certificate: String?, _ key: String?, _ options: String...) async throws -> String {
            let result = try await Program(
                ["plans", "--server", "https://127.0.0.1:9"] + options,
                variables: [
                    "PROXMOX_AGENT_CERT_FILE": certificate ?? "", "PROXMOX_AGENT_KEY_FILE": key ?? "",
                    "PROXMOX_AGENT_CA_FILE": "",
                ]
            ).end()
            #expect(result.status == 1, "\(result)")
            return result.err
        }
        let (certificate, key) = (papers.alice.certificate, papers.alice.key)
        #expect(
            try await said(certificate, locked)
                == "PROXMOX_AGENT_KEY_FILE: \(locked) has a passphrase; openssl pkey -in FILE -out NEW takes it off\n")
        #expect(
            try await said(certificate, nil, "--key-file", papers.agent.key)
                == "--key-file: \(papers.agent.key) is not the key of the certificate\n")
        #expect(
            try await said(path + "/nothing.pem", key)
                == "PROXMOX_AGENT_CERT_FILE: \(path)/nothing.pem holds no certificate in PEM form\n")
        #expect(
            try await said(path + "/absent.pem", key)
                == "PROXMOX_AGENT_CERT_FILE: \(path)/absent.pem: cannot be opened: No such file or directory; name a file that this user can read\n"
        )
        #expect(try await said(nil, key).hasPrefix("certificate and key go together"))
        #expect(try await said(nil, nil).hasPrefix("no token: set PROXMOX_AGENT_TOKEN"))
    }

    @Test func `what is wrong with the files is said, with the cure`() async throws {
        let papers = try await TestCertificates()
        let path = papers.directory.path
        try write("nothing", to: path + "/nothing.pem")
        try write(try text(of: papers.server.key), to: path + "/open.key")
        try #require(chmod(path + "/open.key", 0o644) == 0)
        // Nobody writes to it: who opened it to read would wait.
        try #require(mkfifo(path + "/pipe", 0o600) == 0)
        let fingerprint = try await papers.alice.fingerprint()
        func wrong(_ tls: JSONObject?, _ principal: JSONObject? = nil) -> [String] {
            var document: JSONObject = ["tls": tls.map { .object($0) }]
            document["principals"] = principal.map { [.object($0)] }
            do throws(ConfigError) {
                _ = try AgentConfig(bytes: JSON.object(document).bytes, variables: ["CREDENTIALS_DIRECTORY": path])
                return []
            } catch {
                return error.lines
            }
        }
        func changed(_ key: String, _ file: String) -> JSONObject {
            var tls = papers.mutualTLS
            tls[key] = .string(file)
            return tls
        }
        let alice: JSONObject = ["id": "alice", "roles": ["viewer"], "cert_sha256": .string(fingerprint)]
        #expect(wrong(papers.mutualTLS, alice).isEmpty)
        #expect(wrong(changed("key_file", "$CREDENTIALS_DIRECTORY/authority-server.key")).isEmpty)
        #expect(
            wrong([:]) == [
                "tls.cert_file: is missing; expected the path of a file in PEM form",
                "tls.key_file: is missing; expected the path of a file in PEM form",
            ])
        let cases: [(String, String, String)] = [
            ("cert_file", "/nothing.pem", "/nothing.pem holds no certificate in PEM form"),
            (
                "cert_file", "/absent",
                "/absent: cannot be opened: No such file or directory; name a file that this user can read"
            ),
            ("key_file", "/nothing.pem", "/nothing.pem holds no private key in PEM form that can be used"),
            ("key_file", "/authority-alice.key", "/authority-alice.key is not the key of the certificate"),
            ("cert_file", "/open.key", "/open.key: everybody can read it; chmod 600 \(path)/open.key"),
            ("key_file", "/open.key", "/open.key: everybody can read it; chmod 600 \(path)/open.key"),
            ("client_ca_file", "/nothing.pem", "/nothing.pem holds no certificate in PEM form"),
            (
                "client_ca_file", "/absent",
                "/absent: cannot be opened: No such file or directory; name a file that this user can read"
            ),
            ("cert_file", "/pipe", "/pipe: is no regular file; name one"),
        ]
        for (key, file, line) in cases {
            #expect(wrong(changed(key, path + file)) == ["tls.\(key): \(path)\(line)"])
            #expect(wrong(changed(key, path + file), alice) == ["tls.\(key): \(path)\(line)"])
        }
        let needs =
            "principals[0].cert_sha256: needs tls.client_ca_file, the authorities by which certificates of clients count"
        #expect(wrong(papers.tls, alice) == [needs])
        #expect(wrong(nil, alice) == [needs])
        #expect(
            wrong(papers.mutualTLS, ["id": "alice", "roles": ["viewer"], "cert_sha256": "AB:CD"]).map { $0.prefix(46) }
                == ["principals[0].cert_sha256: expected 32 hexadec"])
        #expect(
            wrong(papers.mutualTLS, ["id": "alice", "roles": ["viewer"]]).first?.hasPrefix(
                "principals[0].token_sha256: is missing")
                == true)
    }

    @Test func `what may not be as it was meant is a warning`() async throws {
        let papers = try await TestCertificates()
        func config(_ document: JSONObject) throws -> AgentConfig {
            try AgentConfig(bytes: JSON.object(document).bytes, variables: [:])
        }
        let config = try config(["listen_addr": "0.0.0.0:8443", "tls": .object(papers.tls)])
        #expect(config.tlsLine?.hasPrefix("tls: certificate of localhost, valid until ") == true)
        let day = 86_400.0
        #expect(
            config.listenerWarnings(at: config.listen, now: Date() - 10 * day).first?.contains(
                "its time has not come yet") == true)
        #expect(config.listenerWarnings(at: config.listen, now: Date()).isEmpty)
        #expect(
            config.listenerWarnings(at: config.listen, now: Date() + day / 2).first?.contains("it expires soon") == true
        )
        #expect(
            config.listenerWarnings(at: config.listen, now: Date() + 10 * day).first?.contains("it has expired") == true
        )
        #expect(config.listenerWarnings(at: config.listen, now: Date() - 20 * day).count == 1)
        #expect(try plain("0.0.0.0:8080").first?.hasPrefix("0.0.0.0:8080 can be reached from other machines") == true)
        #expect(try plain("127.0.0.1:8080").isEmpty)
        #expect(try plain("unix:/run/agent.sock").isEmpty)
        // A socket that was handed over is what counts.
        #expect(try plain("127.0.0.1:8080", handedOver: "[::]:8080").count == 1)
        #expect(try plain("0.0.0.0:8080", handedOver: "unix:/run/agent.sock").isEmpty)
    }

    /// The warnings about a listener without TLS.
    private func plain(_ address: String, handedOver other: String? = nil) throws -> [String] {
        let config = try AgentConfig(
            bytes: Array(#"{"listen_addr":"\#(address)"}"#.utf8),
            variables: ["PROXMOX_AGENT_API_TOKEN": Person.bob.token])
        return config.warnings(at: try other.map { try #require(ListenAddress($0)) })
    }
}

private func text(of file: String) throws -> String {
    String(decoding: try readFile(file, limit: 1 << 20), as: UTF8.self)
}
