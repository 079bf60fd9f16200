import FoundationEssentials
import Glibc
import Signatures

/// Signs the text of an approval through `ssh-keygen -Y sign`, which knows private files, ssh-agent and security keys.
struct SSHSigner: Sendable {
    /// A private key, or a `.pub` file whose private key ssh-agent or a security key holds.
    let key: String

    /// The variable that names the key of those who name none.
    static let variable = "PROXMOX_AGENT_SIGNING_KEY"
    private static let usual = ["id_ed25519_sk", "id_ecdsa_sk", "id_ed25519", "id_ecdsa"]

    /// The key that is given, or that of the environment, or the first of the usual files in `~/.ssh`.
    init(_ given: String?, _ variables: [String: String]) throws(ClientError) {
        if let named = given ?? variables[Self.variable], !named.isEmpty {
            key = named
            return
        }
        let directory = (variables["HOME"] ?? "") + "/.ssh/"
        guard let name = Self.usual.first(where: { access(directory + $0, F_OK) == 0 }) else {
            throw ClientError([
                "no key to sign with: none of \(Self.usual.joined(separator: ", ")) is in \(directory); name one with "
                    + "--key or \(Self.variable), or make one: ssh-keygen -t ed25519"
            ])
        }
        key = directory + name
    }

    /// The signature in its armour. Prompts, such as for a touch or a passphrase, go to the terminal.
    func sign(_ text: ApprovalText) async throws(ClientError) -> String {
        let (status, output) = try await run(
            ["ssh-keygen", "-q", "-Y", "sign", "-n", ApprovalText.namespace, "-f", key], text.bytes)
        guard status == 0 else { throw ClientError(["not signed: ssh-keygen failed with \(key), see above"]) }
        let armour = String(decoding: output, as: UTF8.self)
        do throws(SignatureProblem) {
            let signature = try SSHSignature(armoured: armour)
            try signature.check(text.bytes, namespace: ApprovalText.namespace)
        } catch {
            throw ClientError(["not sent: the signature by \(key) does not count: \(error)"])
        }
        return armour
    }

    /// Runs a program with these bytes as its input, for two minutes at most.
    private func run(
        _ words: [String], _ input: [UInt8]
    ) async throws(ClientError) -> (status: Int32, output: [UInt8]) {
        // Files, so that no pipe fills up.
        let files = try [Self.scratch(), Self.scratch()]
        defer { for file in files { close(file) } }
        guard write(files[0], input, input.count) == input.count, lseek(files[0], 0, SEEK_SET) == 0 else {
            throw ClientError(["cannot write a temporary file: \(String(cString: strerror(errno)))"])
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, files[0], STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, files[1], STDOUT_FILENO)
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var child = pid_t()
        let failure = posix_spawnp(&child, words[0], &actions, nil, &arguments, environ)
        guard failure == 0 else {
            throw ClientError([
                "\(words[0]) cannot be started: \(String(cString: strerror(failure))); install openssh-client"
            ])
        }
        let status = try await Self.wait(for: child)
        var output = [UInt8](repeating: 0, count: SSHSignature.maximumBytes + 1)
        let count = pread(files[1], &output, output.count, 0)
        return (status, Array(output.prefix(max(count, 0))))
    }

    /// A file without a name.
    private static func scratch() throws(ClientError) -> Int32 {
        var path = Array("/tmp/proxmox-agent-XXXXXX".utf8CString)
        let file = mkstemp(&path)
        guard file >= 0 else {
            throw ClientError(["cannot make a temporary file: \(String(cString: strerror(errno)))"])
        }
        unlink(path)
        _ = fcntl(file, F_SETFD, FD_CLOEXEC)
        return file
    }

    /// The exit status; -1 if a signal ended it. Ends it after two minutes.
    private static func wait(for child: pid_t) async throws(ClientError) -> Int32 {
        let deadline = ContinuousClock.now + .seconds(120)
        var status: Int32 = 0
        while true {
            let ended = waitpid(child, &status, WNOHANG)
            if ended == child { return status & 0x7F == 0 ? status >> 8 & 0xFF : -1 }
            guard ended == 0 || errno == EINTR else { return -1 }
            if .now > deadline || Task.isCancelled {
                kill(child, SIGKILL)
                while waitpid(child, &status, 0) < 0, errno == EINTR {}
                throw ClientError(["not signed: ssh-keygen was not done in two minutes"])
            }
            try? await Task.sleep(for: .milliseconds(20))
        }
    }
}
