import AgentModel
import ArgumentParser
import CurlHTTP
import Glibc
import StrictJSON
import SystemPackage

/// `proxmox-agent init`
struct InitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Set up an environment for the installed service, and on the first run its callers.",
        discussion: """
            Prints the commands that make a user, a role and a token at PVE with no more privileges than the agent \
            uses, shows the certificate's fingerprint for comparison, tests the token, and says which privileges it \
            lacks or has too many. Then it writes the environment into /etc/proxmox-agent/config.json, the token's \
            secret into /etc/proxmox-agent/credentials, and a drop-in for systemd that lets the service reach that PVE \
            and the DNS servers. Where the configuration has no principals it makes two, an agent and an approver, and \
            shows their tokens once. What is not given is asked for. Run it as root, and once more for each further \
            environment.
            """)

    @Option(help: ArgumentHelp("The URL of PVE, such as https://pve.lan:8006.", valueName: "url"))
    var url: String?

    @Option(help: ArgumentHelp("The environment's name.", valueName: "name"))
    var name: String?

    @Option(help: ArgumentHelp("The PVE token's id, agent@pve!home.", valueName: "id"))
    var tokenID: String?

    @Option(
        help: ArgumentHelp("The file that holds the token's secret; it is never an argument.", valueName: "file"),
        completion: .file())
    var secretFile: String?

    @Option(
        help: ArgumentHelp("The expected SHA-256 fingerprint, AA:BB:…, instead of a prompt.", valueName: "print"))
    var fingerprint: String?

    @Option(help: ArgumentHelp("Trust this certificate authority instead of pinning a fingerprint.", valueName: "file"))
    var caFile: String?

    @Option(help: ArgumentHelp("The first principal, who plans and applies.", valueName: "id"))
    var agent: String?

    @Option(help: ArgumentHelp("The second principal, who approves.", valueName: "id"))
    var approver: String?

    @Flag(help: "Deny every change in this environment.")
    var readOnly = false

    @Option(help: ArgumentHelp("The root of the system to set up, instead of this one.", valueName: "directory"))
    var root = ""

    func validate() throws {
        if fingerprint != nil, caFile != nil {
            throw ValidationError("give either --fingerprint or --ca-file, not both")
        }
        if let fingerprint, CertificateFingerprint(parsing: fingerprint) == nil {
            throw ValidationError("--fingerprint takes 32 hexadecimal bytes with colons, AA:BB:…")
        }
        if let name, EnvironmentName(name) == nil {
            throw ValidationError("--name takes 1 to 64 of A-Z a-z 0-9 . _ -, not \(name)")
        }
    }

    func run() async throws {
        do throws(StartError) {
            var setup = try Setup(self)
            try await setup.run()
        } catch { throw fail("proxmox-agent init: \(error)") }
    }
}

extension InitCommand {
    /// The given value, or else an answer to a prompt on standard error, since standard output is for results.
    static func answer(
        _ given: String?, _ question: String, _ option: String, default preset: String? = nil
    ) throws(StartError) -> String {
        if let given { return given }
        let end = question.hasSuffix("?") ? " " : ": "
        write(Array((question + (preset.map { " [\($0)]" } ?? "") + end).utf8), to: .standardError)
        guard let line = readLine() else {
            complain("")
            throw StartError("no answer was given; use \(option)")
        }
        let text = String(line.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        if !text.isEmpty { return text }
        guard let preset else { throw StartError("the answer is empty; use \(option)") }
        return preset
    }

    /// The token's secret: from the file, or typed without echo.
    func secret() throws(StartError) -> Secret {
        var text: String
        if let secretFile {
            do throws(FileError) {
                text = String(decoding: try readFile(secretFile, limit: 4096, isSecret: true), as: UTF8.self)
            } catch {
                throw StartError("--secret-file \(secretFile): \(error.detail)")
            }
            if text.hasSuffix("\n") { text.removeLast() }
        } else {
            guard let typed = getpass("The token's secret (not shown): ") else {
                throw StartError("no answer was given; use --secret-file")
            }
            text = String(cString: typed)
            memset(typed, 0, strlen(typed))
        }
        guard let secret = ConfigReading.checked(text) else {
            throw StartError("the secret must stand alone on one line, without white space")
        }
        return secret
    }
}
