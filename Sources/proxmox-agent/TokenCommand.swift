import AgentModel
import ArgumentParser
import StrictJSON
import SystemFile
import SystemPackage

/// `proxmox-agent token`
struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Create tokens for callers.", subcommands: [New.self, Hash.self])

    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "new",
            abstract: "Create a token for a caller, and the configuration entry that accepts it.",
            discussion: """
                Prints the token on the first line, the only time that it can be seen, and on the second the entry for \
                "principals" in the configuration, which holds its SHA-256. Nothing is written anywhere. After the \
                entry is in the file, SIGHUP puts it in force.
                """)

        @Argument(help: ArgumentHelp("The caller's name in records, such as pi-agent or alice.", valueName: "id"))
        var id: String

        @Option(
            help: ArgumentHelp(
                "viewer, operator, approver, auditor, administrator or emergency; may be repeated.", valueName: "role"))
        var role: [String] = ["viewer"]

        @Option(
            help: ArgumentHelp(
                "An environment where the roles apply, instead of all; may be repeated.", valueName: "name"))
        var environment: [String] = []

        @Flag(help: "Print one JSON object with token and principal.")
        var json = false

        func validate() throws {
            guard TextForm.label.matches(id) else {
                throw ValidationError("ID takes 3 to 128 of A-Z a-z 0-9 . _ : @ / -, not \(id)")
            }
            if let flaw = ConfigReading.flaw(inID: id) { throw ValidationError("ID \(flaw)") }
            if let wrong = role.first(where: { Role(rawValue: $0) == nil }) {
                throw ValidationError(
                    "--role takes viewer, operator, approver, auditor, administrator or emergency, not \(wrong)")
            }
            if let wrong = environment.first(where: { EnvironmentName($0) == nil }) {
                throw ValidationError("--environment takes 1 to 64 of A-Z a-z 0-9 . _ -, not \(wrong)")
            }
        }

        func run() {
            let token = CallerToken.make()
            let roles = Role.allCases.filter { role.contains($0.rawValue) }
            let principal = CallerToken.entry(of: token, id, roles, environments: environment)
            if json {
                print((["token": .string(token), "principal": principal] as JSON).text)
            } else {
                print(token)
                print(principal.text)
                complain("the first line is the token, shown this once; the second goes into \"principals\"")
            }
        }
    }

    struct Hash: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "hash",
            abstract: "Print the SHA-256 of a token read from standard input.",
            discussion: """
                For token_sha256 in the configuration. The token is not an argument, as the list of processes would \
                show it: proxmox-agent token hash < FILE.
                """)

        func run() throws {
            var text = String(decoding: Self.input(), as: UTF8.self)
            if text.hasSuffix("\n") { text.removeLast() }
            if let flaw = CallerToken.flaw(in: text) { throw fail("standard input \(flaw)") }
            print(CredentialDigest(of: text.utf8))
        }

        /// Standard input, up to the size that shows that it is not a token.
        static func input() -> [UInt8] {
            var bytes: [UInt8] = []
            var block = [UInt8](repeating: 0, count: 4096)
            while bytes.count <= 4096 {
                guard let count = try? FileDescriptor.standardInput.readNext(into: &block), count > 0 else { break }
                bytes.append(contentsOf: block[..<count])
            }
            return bytes
        }
    }
}
