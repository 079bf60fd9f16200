import FoundationEssentials
import Glibc
import HTTPMessage
import Testing

@testable import CurlHTTP

/// `openssl s_server` with a certificate of its own, in a directory of its own. Shows what came through TLS.
final class TLSServer {
    let directory: String
    let certificate: String
    let port: UInt16
    private let process: pid_t
    private let input: Int32

    /// `names` are the certificate's subject alternative names: `IP:127.0.0.1`.
    init(names: String, options: [String] = []) async throws {
        directory = FileManager.default.temporaryDirectory.path + "/tls-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        certificate = directory + "/certificate.pem"
        let key = directory + "/key.pem"
        try await Self.run(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
            certificate, "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=\(names)")
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        input = ends[1]
        _ = fcntl(input, F_SETFD, FD_CLOEXEC)
        let output = directory + "/output"
        process = try Self.spawn(
            ["s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key] + options, input: ends[0],
            output: output)
        close(ends[0])
        var found: UInt16?
        _ = await eventually {
            found = Self.port(in: Self.text(output))
            return found != nil
        }
        port = try #require(found)
    }

    deinit {
        kill(process, SIGKILL)
        waitpid(process, nil, 0)
        close(input)
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// All that the server printed: its own words and the bytes that clients sent through TLS.
    var output: String { Self.text(directory + "/output") }

    /// Sends `text` to the client that is connected.
    func send(_ text: String) {
        _ = text.withCString { write(input, $0, text.utf8.count) }
    }

    func fingerprint() async throws -> CertificateFingerprint {
        let file = directory + "/fingerprint"
        try await Self.run("x509", "-in", certificate, "-noout", "-fingerprint", "-sha256", output: file)
        let text = Self.text(file).split(separator: "=").last?.prefix { $0 != "\n" } ?? ""
        return try #require(CertificateFingerprint(parsing: String(text)))
    }

    private static func port(in text: String) -> UInt16? {
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("ACCEPT ") }),
            text.contains(line + "\n")
        else { return nil }
        return line.split(separator: ":").last.flatMap { UInt16($0) }
    }

    private static func text(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func run(_ arguments: String..., output: String = "/dev/null") async throws {
        let process = try spawn(arguments, input: nil, output: output)
        var status: Int32 = -1
        #expect(await eventually { waitpid(process, &status, WNOHANG) == process })
        try #require(status == 0)
    }

    private static func spawn(_ arguments: [String], input: Int32?, output: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var words = (["openssl"] + arguments).map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        var process: pid_t = 0
        try #require(posix_spawnp(&process, "openssl", &actions, nil, &words, environ) == 0)
        return process
    }
}
