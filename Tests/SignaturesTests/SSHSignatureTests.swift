import AgentTestSupport
import FoundationEssentials
import Testing
import WireTestSupport

@testable import Signatures

/// What `ssh-keygen` signs, the agent takes, and the other way round.
struct SSHSignatureTests {
    static let sample = ApprovalText(
        agent: "proxmox-agent/pve-1/5k2n", plan: "pln_0123456789abcdefghjk",
        planHash: String(repeating: "ab", count: 32), decision: "approve", principal: "alice",
        reason: "disk is full, see “INC-7”\n\t<now>")

    /// Runs it in a directory that holds a key and the text.
    static func withKey(
        _ type: [String], _ body: (_ directory: String, _ publicLine: String) async throws -> Void
    ) async throws {
        try await inDirectory { directory in
            let made = try await Tool.run(
                ["ssh-keygen", "-q", "-t"] + type + ["-N", "", "-C", "alice@laptop", "-f", "\(directory)/key"])
            try #require(made.status == 0, "\(made)")
            let line = String(decoding: try Data(contentsOf: URL(filePath: "\(directory)/key.pub")), as: UTF8.self)
            try Data(sample.bytes).write(to: URL(filePath: "\(directory)/text"))
            try await body(directory, String(line.dropLast()))
        }
    }

    @Test(
        arguments: [["ed25519"], ["ecdsa", "-b", "256"]], ["sha256", "sha512"])
    func `takes what ssh-keygen signs, for that text, key and namespace alone`(
        type: [String], hash: String
    ) async throws {
        try await Self.withKey(type) { directory, line in
            let signed = try await Tool.run(
                "ssh-keygen", "-q", "-Y", "sign", "-f", "\(directory)/key", "-n", "approval@proxmox-agent", "-O",
                "hashalg=\(hash)", "\(directory)/text")
            try #require(signed.status == 0, "\(signed)")
            let armour = String(
                decoding: try Data(contentsOf: URL(filePath: "\(directory)/text.sig")), as: UTF8.self)
            let key = try ApprovalKey(line: line)
            #expect(key.comment == "alice@laptop" && key.description == line && !key.isHardware)
            let shown = try await Tool.run("ssh-keygen", "-l", "-f", "\(directory)/key.pub")
            #expect(shown.text.contains(" \(key.fingerprint) "))

            let signature = ApprovalSignature.ssh(armour)
            #expect(try signature.key(among: [key]) == key)
            try signature.check(Self.sample, by: key, at: nil)
            var other = Self.sample
            other.decision = "reject"
            #expect(throws: SignatureProblem.wrong) { try signature.check(other, by: key, at: nil) }
            #expect(throws: SignatureProblem.namespace(found: "approval@proxmox-agent", wanted: "git")) {
                try SSHSignature(armoured: armour).check(Self.sample.bytes, namespace: "git")
            }
            let stranger = ApprovalKey(.ssh(try SSHPublicKey(blob: SoftwareToken.ed25519.sshBlob())))
            #expect(try signature.key(among: [stranger]) == nil)
            #expect(throws: SignatureProblem.otherKey) { try signature.check(Self.sample, by: stranger, at: nil) }
        }
    }

    @Test(arguments: [SoftwareToken.ed25519, .p256], [true, false])
    func `a signature that the agent takes is good for ssh-keygen`(
        token: SoftwareToken, isSecurityKey: Bool
    ) async throws {
        try await inDirectory { directory in
            let blob = try token.sshSignature(of: Self.sample.bytes) { $0.isSecurityKey = isSecurityKey }
            let key = ApprovalKey(.ssh(try SSHPublicKey(blob: token.sshBlob(isSecurityKey: isSecurityKey))))
            try ApprovalSignature.ssh(SoftwareToken.armour(blob)).check(Self.sample, by: key, at: nil)
            #expect(key.isHardware == isSecurityKey)

            try Data(SoftwareToken.armour(blob).utf8).write(to: URL(filePath: "\(directory)/sig"))
            try Data("alice \(key)\n".utf8).write(to: URL(filePath: "\(directory)/allowed_signers"))
            let verified = try await Tool.run(
                "ssh-keygen", "-Y", "verify", "-f", "\(directory)/allowed_signers", "-I", "alice", "-n",
                "approval@proxmox-agent", "-s", "\(directory)/sig", input: Self.sample.text)
            #expect(verified.status == 0, "\(verified)")
        }
    }

    @Test(arguments: [SoftwareToken.ed25519, .p256])
    func `a security key that saw nobody does not count`(token: SoftwareToken) throws {
        // User verified, but not present.
        let blob = try token.sshSignature(of: Self.sample.bytes) { $0.flags = 0b100 }
        #expect(throws: SignatureProblem.userNotPresent) {
            try SSHSignature(blob: blob).check(Self.sample.bytes, namespace: ApprovalText.namespace)
        }
    }

    @Test(arguments: [["rsa", "-b", "2048"], ["ecdsa", "-b", "384"]])
    func `refuses other keys of ssh-keygen, with the cure`(type: [String]) async throws {
        try await Self.withKey(type) { directory, line in
            let refusal = try #require(throws: SignatureProblem.self) { try ApprovalKey(line: line) }
            #expect("\(refusal)".contains("ssh-keygen -t ed25519"))
            let signed = try await Tool.run(
                "ssh-keygen", "-q", "-Y", "sign", "-f", "\(directory)/key", "-n", "approval@proxmox-agent",
                "\(directory)/text")
            try #require(signed.status == 0, "\(signed)")
            let armour = String(
                decoding: try Data(contentsOf: URL(filePath: "\(directory)/text.sig")), as: UTF8.self)
            #expect(throws: refusal) { try SSHSignature(armoured: armour) }
        }
    }

    @Test func `DSA is refused by its name`() {
        let refusal = #expect(throws: SignatureProblem.self) { try ApprovalKey(line: "ssh-dss AAAAB3NzaC1kc3MA x") }
        #expect(refusal.map { "\($0)" }?.hasPrefix("DSA keys are not accepted") == true)
    }

    @Test(arguments: try damaged())
    func `refuses a damaged signature`(damage: (name: String, blob: [UInt8])) {
        #expect(throws: SignatureProblem.self, "\(damage.name)") {
            try SSHSignature(blob: damage.blob).check(Self.sample.bytes, namespace: ApprovalText.namespace)
        }
    }

    static func damaged() throws -> [(name: String, blob: [UInt8])] {
        let token = SoftwareToken.p256
        let good = try token.sshSignature(of: sample.bytes)
        var huge = good
        // The length of the key's string.
        huge.replaceSubrange(10..<14, with: [0xFF, 0xFF, 0xFF, 0xFF])
        return [
            ("nothing", []), ("magic alone", Array("SSHSIG".utf8)), ("other magic", [0] + good.dropFirst()),
            ("version 2", try token.sshSignature(of: sample.bytes) { $0.version = 2 }),
            ("version 0", try token.sshSignature(of: sample.bytes) { $0.version = 0 }),
            ("md5", try token.sshSignature(of: sample.bytes) { $0.hash = "md5" }),
            ("another namespace", try token.sshSignature(of: sample.bytes) { $0.namespace = "file" }),
            (
                "a namespace with a zero",
                try token.sshSignature(of: sample.bytes) { $0.namespace = "approval@proxmox-agent\0" }
            ),
            ("a byte behind it", good + [0]), ("the last byte gone", Array(good.dropLast())),
            ("a length beyond the end", huge),
            ("key of another type", plainKey(in: good, token)),
        ]
    }

    /// A blob whose key is plain, while its signature is a security key's.
    private static func plainKey(in blob: [UInt8], _ token: SoftwareToken) -> [UInt8] {
        let rest = blob.dropFirst(10 + 4 + token.sshBlob().count)
        return blob.prefix(10) + Wire.string(token.sshBlob(isSecurityKey: false)) + rest
    }

    @Test func `what is reserved is part of what is signed, and otherwise ignored`() throws {
        let blob = try SoftwareToken.ed25519.sshSignature(of: Self.sample.bytes) { $0.reserved = [1, 2, 3] }
        try SSHSignature(blob: blob).check(Self.sample.bytes, namespace: ApprovalText.namespace)
    }

    @Test(
        arguments: [
            "", "hello", "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n",
            "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH!\n-----END SSH SIGNATURE-----\n",
            "-----BEGIN SSH SIGNATURE-----\n\(String(repeating: "A", count: 80))\n-----END SSH SIGNATURE-----\n",
            "-----BEGIN PGP SIGNATURE-----\nU1NIU0lH\n-----END PGP SIGNATURE-----\n",
            String(repeating: "A", count: 10_000),
        ])
    func `refuses what is no armour`(text: String) {
        #expect(throws: SignatureProblem.self) { try SSHSignature(armoured: text) }
    }

    @Test func `takes the armour with the line ends of other systems`() throws {
        let blob = try SoftwareToken.ed25519.sshSignature(of: Self.sample.bytes)
        let armour = SoftwareToken.armour(blob).split(separator: "\n").joined(separator: "\r\n")
        #expect(try SSHSignature(armoured: armour) == SSHSignature(blob: blob))
    }
}

/// Runs it with the path of a directory that is gone afterwards.
func inDirectory(_ body: (String) async throws -> Void) async throws {
    let directory = try TemporaryDirectory()
    try await body(directory.path)
    withExtendedLifetime(directory) {}
}
