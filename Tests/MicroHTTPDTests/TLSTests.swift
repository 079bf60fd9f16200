import FoundationEssentials
import Glibc
import HTTPMessage
import HTTPTypes
import MicroHTTPD
import Testing
import WireTestSupport

/// Tells what became of the client's certificate.
private let tellCertificate = Handler { request in
    switch request.certificate {
    case .accepted(let digest): .text("accepted " + digest.map { hex($0) }.joined(separator: ":"))
    case .refused(let why): .text("refused: " + why)
    case nil: .text("none")
    }
}

private func hex(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) }

/// Certificates of a test: of a server, and authorities.
private struct TestCertificates {
    let directory: String
    let authority: CertificateAuthority
    let server: CertificateAuthority.Identity

    static func with(_ body: (TestCertificates) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            let authority = try await CertificateAuthority("authority", in: directory)
            try await body(
                TestCertificates(
                    directory: directory, authority: authority,
                    server: try await authority.issue("server", for: .serverAuth)))
        }
    }

    func credentials(
        _ identity: CertificateAuthority.Identity? = nil, clients: CertificateAuthority? = nil
    ) throws -> TLSCredentials {
        let identity = identity ?? server
        return try TLSCredentials(
            certificate: Array(try read(identity.certificate).utf8), key: Array(try read(identity.key).utf8),
            clientAuthorities: try clients.map { Array(try read($0.certificate).utf8) })
    }

    /// What curl gets; `options` are further ones of its own.
    func curl(_ server: HTTPServer, _ options: String..., path: String = "/") async throws -> Tool.Result {
        try await Tool.run(
            ["curl", "-sS", "--max-time", "20", "--cacert", authority.certificate] + options + [url(of: server) + path])
    }

    func url(of server: HTTPServer) -> String { "https://\(server.address)" }

    /// The options by which curl shows a certificate.
    func showing(_ identity: CertificateAuthority.Identity) -> [String] {
        ["--cert", identity.certificate, "--key", identity.key]
    }
}

extension Serving {
    @Suite struct TLSTests {
        @Test func `speaks TLS`() async throws {
            try await TestCertificates.with { papers in
                let tls = try papers.credentials()
                #expect(tls.names == ["localhost"])
                #expect(tls.validity.contains(Int(Date().timeIntervalSince1970)))
                try await withServer(echo, { $0.tls = tls }) { server in
                    let got = try await papers.curl(server, path: "/tls?x")
                    #expect(got.text == "GET /tls x ", "\(got)")
                }
            }
        }

        @Test func `sends streams through TLS`() async throws {
            let stream = ResponseStream()
            let handler = Handler { _ in
                var answer = Response(status: .ok)
                answer.stream = stream
                return answer
            }
            try await TestCertificates.with { papers in
                let tls = try papers.credentials()
                try await withServer(handler, { $0.tls = tls }) { server in
                    async let got = papers.curl(server)
                    while server.openStreams == 0 { await Latch().wait(within: .milliseconds(1)) }
                    for number in 0..<200 {
                        stream.send(Array("part \(number)\n".utf8))
                        await Latch().wait(within: .milliseconds(number % 50 == 0 ? 20 : 0))
                    }
                    stream.finish()
                    let text = (0..<200).map { "part \($0)\n" }.joined()
                    let sent = try await got
                    #expect(sent.text == text)
                }
            }
        }

        @Test(arguments: [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)])
        func `takes TLS 1.2 and 1.3 and nothing older`(_ version: String, isTaken: Bool) async throws {
            try await TestCertificates.with { papers in
                let tls = try papers.credentials()
                try await withServer(echo, { $0.tls = tls }) { server in
                    let shown = try await Tool.run(
                        "openssl", "s_client", version, "-cipher", "DEFAULT:@SECLEVEL=0", "-connect",
                        "\(server.address)", input: "Q\n")
                    #expect((shown.status == 0) == isTaken, "\(shown)")
                    #expect(shown.text.contains("BEGIN CERTIFICATE") == isTaken)
                }
            }
        }

        @Test(arguments: ["AES256-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA", "DHE-RSA-AES256-GCM-SHA384"])
        func `takes no cipher without forward secrecy or authentication`(_ cipher: String) async throws {
            try await TestCertificates.with { papers in
                let tls = try papers.credentials()
                try await withServer(echo, { $0.tls = tls }) { server in
                    let shown = try await Tool.run(
                        "openssl", "s_client", "-tls1_2", "-cipher", "\(cipher):@SECLEVEL=0", "-connect",
                        "\(server.address)", input: "Q\n")
                    #expect(shown.status == 1, "\(shown)")
                }
            }
        }

        @Test func `carries large bodies both ways, and answers that take their time`() async throws {
            let large = String(repeating: "0123456789abcdef", count: 60_000)
            let handler = Handler { request in
                await Task.detached {}.value
                return Response(status: .ok, body: .init(request.body + request.body))
            }
            try await TestCertificates.with { papers in
                let tls = try papers.credentials()
                try await withServer(handler, { $0.tls = tls }) { server in
                    let file = papers.directory + "/large"
                    try large.write(toFile: file, atomically: false, encoding: .utf8)
                    let got = try await papers.curl(server, "--data-binary", "@" + file)
                    #expect(got.output.count == 2 * large.utf8.count)
                    #expect(got.text == large + large)
                }
            }
        }

        @Test func `answers requests that came in one piece, one after the other`() async throws {
            let handler = Handler { request in
                if request.path == "/slow" { await Task.detached {}.value }
                return .text("<\(request.path)>", request.path == "/last" ? .close : .keep)
            }
            try await TestCertificates.with { papers in
                let tls = try papers.credentials()
                try await withServer(handler, { $0.tls = tls }) { server in
                    let requests = get("/slow") + get("/b") + post("/slow", "body") + get("/slow") + get("/last")
                    let got = try await Tool.run(
                        "openssl", "s_client", "-quiet", "-CAfile", papers.authority.certificate,
                        "-connect", "\(server.address)", input: requests)
                    let bodies = got.text.split(separator: "<").dropFirst().map { $0.prefix { $0 != ">" } }
                    #expect(bodies == ["/slow", "/b", "/slow", "/slow", "/last"], "\(got)")
                }
            }
        }

        @Test func `serves many at once`() async throws {
            let handler = Handler { request in
                await Task.detached {}.value
                return .text(request.path + "\n")
            }
            try await TestCertificates.with { papers in
                let tls = try papers.credentials()
                try await withServer(handler, { $0.tls = tls }) { server in
                    let got = try await papers.curl(
                        server, "--parallel", "--parallel-immediate", "--parallel-max", "40", path: "/[1-200]")
                    #expect(Set(got.text.split(separator: "\n")) == Set((1...200).map { "/\($0)" }), "\(got)")
                }
            }
        }

        @Test func `shows a renewed certificate, and lets those go on who are connected`() async throws {
            try await TestCertificates.with { papers in
                let other = try await CertificateAuthority("other", in: papers.directory)
                let renewed = try papers.credentials(try await other.issue("server", for: .serverAuth))
                let tls = try papers.credentials()
                let running = Lock<HTTPServer?>(nil)
                let handler = Handler { request in
                    if request.path == "/1" { running.withLock { $0 }?.replace(renewed) }
                    return .text("\(request.peer)\n")
                }
                try await withServer(handler, { $0.tls = tls }) { server in
                    running.withLock { $0 = server }
                    let went = try await papers.curl(server, path: "/[1-3]")
                    let peers = went.text.split(separator: "\n")
                    #expect(peers.count == 3 && Set(peers).count == 1, "\(went)")
                    let old = try await papers.curl(server)
                    #expect(old.status == 60, "\(old)")
                    let new = try await papers.curl(server, "--cacert", other.certificate)
                    #expect(new.status == 0, "\(new)")
                    running.withLock { $0 = nil }
                }
            }
        }

        @Test func `tells a certificate that counts by its digest`() async throws {
            try await TestCertificates.with { papers in
                let tls = try papers.credentials(clients: papers.authority)
                let client = try await papers.authority.issue("client", for: .clientAuth)
                try await withServer(tellCertificate, { $0.tls = tls }) { server in
                    let got = try await papers.curl(server, "--cert", client.certificate, "--key", client.key)
                    #expect(got.text == "accepted " + (try await client.fingerprint()), "\(got)")
                    let none = try await papers.curl(server)
                    #expect(none.text == "none", "\(none)")
                }
            }
        }

        enum Flaw: CaseIterable { case foreign, expired, forServers, impostor, weak }

        @Test(arguments: Flaw.allCases) func `refuses a certificate that does not count`(_ flaw: Flaw) async throws {
            try await TestCertificates.with { papers in
                let tls = try papers.credentials(clients: papers.authority)
                let (client, why): (CertificateAuthority.Identity, String)
                switch flaw {
                case .foreign:
                    let other = try await CertificateAuthority("other", in: papers.directory)
                    client = try await other.issue("client", for: .clientAuth)
                    why = "no authority that counts has signed it"
                case .expired:
                    client = try await papers.authority.issue("client", for: .clientAuth, until: Date() - 60)
                    why = "it has expired"
                case .forServers:
                    client = papers.server
                    why = "it is not meant for clients"
                case .weak:
                    client = try await papers.authority.issue("client", for: .clientAuth, weak: true)
                    why = "its key, or that of who signed it, is too weak"
                case .impostor:
                    // Another authority that has taken the same name.
                    try FileManager.default.createDirectory(
                        atPath: papers.directory + "/x", withIntermediateDirectories: false)
                    let other = try await CertificateAuthority("authority", in: papers.directory + "/x")
                    client = try await other.issue("client", for: .clientAuth)
                    why = "no authority that counts has signed it"
                }
                try await withServer(tellCertificate, { $0.tls = tls }) { server in
                    // curl would not show a weak certificate.
                    let got = try await Tool.run(
                        "openssl", "s_client", "-quiet", "-cipher", "DEFAULT:@SECLEVEL=0", "-cert", client.certificate,
                        "-key", client.key, "-CAfile", papers.authority.certificate, "-connect", "\(server.address)",
                        input: get("/", "Connection: close"))
                    #expect(got.text.hasSuffix("\r\n\r\nrefused: " + why), "\(got)")
                }
                try? FileManager.default.removeItem(atPath: papers.directory + "/x")
            }
        }

        @Test func `asks for no certificate where no authority is named, and heeds none`() async throws {
            try await TestCertificates.with { papers in
                let tls = try papers.credentials()
                let client = try await papers.authority.issue("client", for: .clientAuth)
                try await withServer(tellCertificate, { $0.tls = tls }) { server in
                    let got = try await papers.curl(server, "--cert", client.certificate, "--key", client.key)
                    #expect(got.text == "none", "\(got)")
                }
            }
        }

        @Test func `judges who is connected anew when the authorities change`() async throws {
            try await TestCertificates.with { papers in
                let other = try await CertificateAuthority("other", in: papers.directory)
                let (first, second) = (
                    try papers.credentials(clients: papers.authority), try papers.credentials(clients: other)
                )
                let bare = try papers.credentials()
                let client = try await papers.authority.issue("client", for: .clientAuth)
                let running = Lock<HTTPServer?>(nil)
                let handler = Handler { request in
                    let told = await tellCertificate.answer(request)
                    let next = ["/1": second, "/2": bare, "/3": first][request.path]
                    if let next { running.withLock { $0 }?.replace(next) }
                    return .text(String(decoding: told.body.bytes, as: UTF8.self).prefix(9) + " \(request.peer)\n")
                }
                try await withServer(handler, { $0.tls = first }) { server in
                    running.withLock { $0 = server }
                    let got = try await papers.curl(
                        server, "--cert", client.certificate, "--key", client.key, path: "/[1-4]")
                    let lines = got.text.split(separator: "\n").map { $0.split(separator: " ") }
                    #expect(lines.map(\.first) == ["accepted", "refused:", "none", "accepted"], "\(got)")
                    #expect(Set(lines.map(\.last)).count == 1, "not one connection")
                    running.withLock { $0 = nil }
                }
            }
        }

        @Test func `heeds a certificate no longer than it lasts, on an open connection too`() async throws {
            try await TestCertificates.with { papers in
                let tls = try papers.credentials(clients: papers.authority)
                let client = try await papers.authority.issue("client", for: .clientAuth)
                let peers = Lock<Set<String>>([])
                let time = Lock(Int(Date().timeIntervalSince1970))
                let handler = Handler { request in
                    peers.withLock { _ = $0.insert(request.peer) }
                    if request.path == "/1" { time.withLock { $0 += 2 * 86_400 } }
                    return await tellCertificate.answer(request)
                }
                try await withServer(handler, { ($0.tls, $0.now) = (tls, { time.withLock { $0 } }) }) { server in
                    let got = try await papers.curl(
                        server, "--cert", client.certificate, "--key", client.key, "-w", "\n", path: "/[1-2]")
                    let lines = got.text.split(separator: "\n")
                    #expect(
                        lines == ["accepted " + (try await client.fingerprint())[...], "refused: it has expired"],
                        "\(got)")
                    #expect(peers.withLock { $0.count } == 1)
                }
            }
        }

        @Test func `closes what is no TLS, says so, and goes on`() async throws {
            let lines = Lock<[String]>([])
            try await TestCertificates.with { papers in
                let tls = try papers.credentials()
                try await withServer(
                    echo,
                    {
                        $0.tls = tls; $0.log = { line in lines.withLock { $0.append(line) } }
                    }
                ) {
                    server in
                    let client = try RawClient(server.address)
                    await #expect(throws: WireError.self) { try await client.exchange(get("/")) }
                    let stranger = try await Tool.run("curl", "-sS", "--max-time", "20", papers.url(of: server))
                    #expect(stranger.status == 60, "\(stranger)")
                    #expect(try await papers.curl(server).status == 0)
                }
            }
            #expect(lines.withLock { $0 } == ["a TLS handshake failed"], "not twice within a minute")
        }

        @Test func `waits for a handshake that has stopped halfway without using the processor`() async throws {
            try await TestCertificates.with { papers in
                let tls = try papers.credentials()
                try await withServer(echo, { $0.tls = tls }) { server in
                    let clients = try (0..<4).map { _ in try RawClient(server.address) }
                    // The head of a record with the beginning of a ClientHello in it.
                    for client in clients { try await client.send([0x16, 3, 1, 2, 0, 1, 0]) }
                    #expect(try await papers.curl(server).status == 0)
                    let start = clock()
                    for client in clients { #expect(await client.staysSilent(for: .milliseconds(250))) }
                    #expect(clock() - start < CLOCKS_PER_SEC / 4)
                }
            }
        }

        enum Bad: CaseIterable { case certificate, key, otherKey, lockedKey, authorities }

        @Test(arguments: Bad.allCases) func `tells what of the credentials is wrong`(_ bad: Bad) async throws {
            try await TestCertificates.with { papers in
                let other = try await papers.authority.issue("other", for: .serverAuth)
                let locked = papers.directory + "/locked.key"
                _ = try await Tool.run(
                    "openssl", "pkey", "-in", papers.server.key, "-aes256", "-passout", "pass:x", "-out", locked)
                var (certificate, key) = (papers.server.certificate, papers.server.key)
                var authorities: [UInt8]?
                let wanted: TLSError
                switch bad {
                case .certificate: (certificate, wanted) = (key, .certificate("holds no certificate in PEM form"))
                case .key: (key, wanted) = (certificate, .key("holds no private key in PEM form that can be used"))
                case .otherKey: (key, wanted) = (other.key, .key("is not the key of the certificate"))
                case .lockedKey:
                    (key, wanted) = (
                        locked, .key("has a passphrase; openssl pkey -in FILE -out NEW takes it off")
                    )
                case .authorities:
                    (authorities, wanted) = (Array("none".utf8), .authorities("holds no certificate in PEM form"))
                }
                let error = #expect(throws: TLSError.self) {
                    try TLSCredentials(
                        certificate: Array(try read(certificate).utf8), key: Array(try read(key).utf8),
                        clientAuthorities: authorities)
                }
                #expect(error == wanted)
            }
        }
    }
}
