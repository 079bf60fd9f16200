import CurlHTTP
import HTTPMessage
import HTTPTypes
import Testing

/// Who the transport talks to, and that nobody else hears a word.
@Suite(.timeLimit(.minutes(1))) struct TrustTests {
    private static let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"

    /// Asks `server` with a secret; the answer's status, or why there is none.
    private func ask(
        _ server: TLSServer, host: String = "127.0.0.1", _ trust: ServerTrust, answers: Bool
    ) async throws -> Result<Int, TransportError> {
        let loop = try CurlLoop()
        let origin = try HTTPOrigin(parsing: "https://\(host):\(server.port)")
        let transport = CurlTransport(
            CurlConfiguration(origin: origin, trust: trust, timeout: .seconds(15)), loop: loop)
        var request = OutgoingRequest.post("/secret-target", "secret-body\n")
        request.fields[.authorization] = "secret-token"
        let task = Task { [request] () -> Result<Int, TransportError> in
            do throws(TransportError) {
                return .success(try await transport.send(request).status)
            } catch {
                return .failure(error)
            }
        }
        if answers {
            #expect(await eventually { server.output.contains("secret-body") })
            server.send(Self.answer)
        }
        let result = await task.value
        await loop.stop()
        return result
    }

    private func expectSilentRefusal(_ result: Result<Int, TransportError>, _ server: TLSServer) throws {
        guard case .failure(.unreachable(let text)) = result else {
            Issue.record("\(result)")
            return
        }
        #expect(!text.isEmpty && !text.contains("secret"))
        #expect(!server.output.contains("secret"))
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func `the certificate that is shown can be looked at, and nothing is sent`(version: String) async throws {
        let server = try await TLSServer(names: "DNS:elsewhere.example", options: [version])
        let origin = try HTTPOrigin(parsing: "https://127.0.0.1:\(server.port)")
        #expect(try await CertificateFingerprint.shown(by: origin) == server.fingerprint())
        #expect(!server.output.contains("HTTP"))
    }

    @Test func `where nobody answers there is no certificate to look at`() async throws {
        let origin = try HTTPOrigin(parsing: "https://127.0.0.1:1")
        await #expect(throws: TransportError.self) { try await CertificateFingerprint.shown(by: origin) }
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func `the pinned certificate is trusted, whatever name it has`(version: String) async throws {
        let server = try await TLSServer(names: "DNS:elsewhere.example", options: [version])
        let pin = try await server.fingerprint()
        #expect(try await ask(server, .pinned(pin), answers: true) == .success(200))
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"], [0, 31])
    func `any other certificate ends the handshake before a byte of the request`(
        version: String, changed: Int
    ) async throws {
        let server = try await TLSServer(names: "IP:127.0.0.1", options: [version])
        var text = try await server.fingerprint().description.split(separator: ":").map(String.init)
        text[changed] = text[changed] == "00" ? "01" : "00"
        let pin = try #require(CertificateFingerprint(parsing: text.joined(separator: ":")))
        let result = try await ask(server, .pinned(pin), answers: false)
        try expectSilentRefusal(result, server)
        let shown = try await server.fingerprint()
        guard case .failure(.unreachable(let why)) = result else { return }
        #expect(why.contains("\(pin) is configured, and \(shown) is shown"), "\(why)")
        #expect(why.contains("tls.fingerprint_sha256"))
    }

    @Test func `the authority's file vouches for the name`() async throws {
        let server = try await TLSServer(names: "IP:127.0.0.1,DNS:localhost")
        #expect(try await ask(server, .authority(file: server.certificate), answers: true) == .success(200))
    }

    @Test func `a certificate for another name is refused`() async throws {
        let server = try await TLSServer(names: "IP:127.0.0.2")
        let result = try await ask(server, .authority(file: server.certificate), answers: false)
        try expectSilentRefusal(result, server)
    }

    @Test func `a certificate of another authority is refused`() async throws {
        let server = try await TLSServer(names: "IP:127.0.0.1")
        let other = try await TLSServer(names: "IP:127.0.0.1")
        let result = try await ask(server, .authority(file: other.certificate), answers: false)
        try expectSilentRefusal(result, server)
    }

    @Test func `a missing authority file is refused`() async throws {
        let server = try await TLSServer(names: "IP:127.0.0.1")
        let result = try await ask(server, .authority(file: server.directory + "/none"), answers: false)
        try expectSilentRefusal(result, server)
    }

    @Test func `the system does not know the certificate`() async throws {
        let server = try await TLSServer(names: "IP:127.0.0.1")
        try expectSilentRefusal(try await ask(server, .system, answers: false), server)
    }

    @Test func `TLS below 1.2 is refused`() async throws {
        let server = try await TLSServer(names: "IP:127.0.0.1", options: ["-tls1_1", "-cipher", "ALL@SECLEVEL=0"])
        let pin = try await server.fingerprint()
        try expectSilentRefusal(try await ask(server, .pinned(pin), answers: false), server)
    }
}
