import AgentAPI
import AgentAudit
import AgentModel
import AgentPolicy
import AgentService
import AgentTestSupport
import FoundationEssentials
import Glibc
import Signatures
import StrictJSON
import Testing

@testable import proxmox_agent

/// Principals and policy rules in the configuration, as it is read.
struct ConfigCallersTests {
    static let token = "s3cr3t-token-of-a-principal"
    static let digest = CredentialDigest(of: token.utf8).description
    private static let variables = ["S": "s3cr3t-of-home", "T": token, "U": "s3cr3t-token-of-another"]

    /// A configuration with two environments, these principals, and these rules.
    private static func document(principals: String = "", rules: String = "") -> String {
        """
        {"environments":[
            {"name":"home","base_url":"https://pve.lan:8006","token_id":"agent@pve!home","token_secret_env":"S"},
            {"name":"lab","base_url":"simulator://lab","token_id":"agent@pve!lab","token_secret_env":"UNSET"}],
         "principals":[\(principals)],"policy":{"rules":[\(rules)]}}
        """
    }

    private static func name(_ text: String) throws -> EnvironmentName { try #require(EnvironmentName(text)) }

    // MARK: The scrape token

    @Test func `the scrape token is read, and belongs to nobody else`() throws {
        func document(_ metrics: String, principals: String = "") -> String {
            Self.document(principals: principals).dropLast(1) + ",\"metrics\":\(metrics)}"
        }
        func wrong(_ text: String, _ more: [String: String] = [:]) -> [String] {
            AgentConfigTests.wrong(text, Self.variables.merging(more) { $1 })
        }
        let config = try AgentConfigTests.config(document(#"{"token_env":"T"}"#), Self.variables)
        #expect(config.scrapeToken == CredentialDigest(of: Self.token.utf8))
        #expect(config.credentials.isEmpty)
        #expect(try AgentConfigTests.config(Self.document(), Self.variables).scrapeToken == nil)
        #expect(
            wrong(document("{}")) == [
                "metrics.token_sha256: is missing; openssl rand -hex 32 > FILE makes a token for token_file"
            ])
        let alice = #"{"id":"alice","roles":["viewer"],"token_env":"T"}"#
        #expect(
            wrong(document(#"{"token_sha256":"\#(Self.digest)"}"#, principals: alice)) == [
                "metrics.token_sha256: is the token of principals[0] too; give metrics its own"
            ])
        #expect(
            wrong(document(#"{"token_env":"P"}"#), ["S": Self.token, "P": Self.token]) == [
                "metrics.token_env: is a PVE token's secret as well; give metrics its own"
            ])
        #expect(
            wrong(document(#"{"token_env":"T"}"#), [AgentConfig.tokenVariable: Self.token]) == [
                "\(AgentConfig.tokenVariable): is the token of metrics as well; give metrics its own"
            ])
    }

    @Test func `another scrape token takes effect without a restart`() throws {
        let configs = try ["T", "U"].map { name in
            try AgentConfigTests.config(
                Self.document().dropLast(1) + #","metrics":{"token_env":"\#(name)"}}"#, Self.variables)
        }
        let (old, new) = (configs[0], configs[1])
        #expect(!new.isInForce(after: old) && old.isInForce(after: old))
        #expect(old.needsRestart(for: new).isEmpty)
    }

    // MARK: What is right

    @Test func `principals are read with their tokens, roles and environments`() throws {
        let directory = try TemporaryDirectory()
        let isWritten = FileManager.default.createFile(
            atPath: "\(directory.path)/carol", contents: Data("s3cr3t-token-from-a-file\n".utf8),
            attributes: [.posixPermissions: 0o600])
        try #require(isWritten)
        let config = try AgentConfigTests.config(
            Self.document(
                principals: """
                    {"id":"pi-agent","token_env":"T","roles":["operator"]},
                    {"id":"alice","token_sha256":"\(CredentialDigest(of: "whatever it is".utf8))",
                     "roles":["approver","viewer"],"environments":["home"]},
                    {"id":"carol","token_file":"$CREDENTIALS_DIRECTORY/carol","roles":["auditor"]}
                    """), Self.variables.merging(["CREDENTIALS_DIRECTORY": directory.path]) { $1 })
        let alice = Principal(id: "alice", roles: [.approver, .viewer], environments: [try Self.name("home")])
        #expect(
            config.credentials == [
                Credentials(
                    Principal(id: "pi-agent", roles: [.operator]), token: CredentialDigest(of: Self.token.utf8)),
                Credentials(alice, token: CredentialDigest(of: "whatever it is".utf8)),
                Credentials(
                    Principal(id: "carol", roles: [.auditor]),
                    token: CredentialDigest(of: "s3cr3t-token-from-a-file".utf8)),
            ])
        #expect(config.rules.directory == Directory(config.principals.map(\.principal)))
        #expect(!config.rules.directory.isShared)
        #expect(config.rules.directory.isApprover("alice", in: try Self.name("home")))
        #expect(!"\(config)".contains("s3cr3t"))
        #expect(
            config.callerLines == [
                "principal pi-agent: operator in all environments", "principal alice: viewer, approver in home",
                "principal carol: auditor in all environments",
            ])
    }

    @Test func `without principals the directory is the shared token's, or nobody's`() throws {
        let shared = try AgentConfigTests.config("{}", ["PROXMOX_AGENT_API_TOKEN": "0123456789abcdef"])
        #expect(shared.rules.directory == .shared)
        let nobody = try AgentConfigTests.config(#"{"principals":[]}"#, [:])
        #expect(nobody.rules.directory.isEmpty && !nobody.rules.directory.isShared)
        #expect(nobody.credentials.isEmpty)
    }

    @Test func `rules are read with all their conditions`() throws {
        let config = try AgentConfigTests.config(
            Self.document(
                rules: """
                    {"id":"two-for-home","effect":"require_approval","approvals":2,"reason":"two pairs of eyes",
                     "environments":["home"],"actions":["start_vm","stop_vm"],"targets":["vm/*","vm/101"],
                     "tags":["Prod","db+1"],"principals":["operator"]},
                    {"id":"never","effect":"deny"}
                    """), Self.variables)
        var scope = PolicyRule.Scope()
        scope.environments = [try Self.name("home")]
        scope.actions = [.startVM, .stopVM]
        scope.targets = Set(try ["vm/*", "vm/101"].map { try #require(TargetPattern($0)) })
        scope.tags = ["prod", "db+1"]
        scope.principals = ["operator"]
        #expect(
            config.policy.rules == [
                PolicyRule(id: "never", effect: .deny),
                PolicyRule(
                    id: "two-for-home", effect: .requireApproval, approvals: 2, reason: "two pairs of eyes",
                    scope: scope),
            ])
        #expect(config.rules.policy == config.policy)
        #expect(
            config.callerLines == [
                "rule never: deny",
                "rule two-for-home: require_approval (2) in home for start_vm, stop_vm on vm/*, vm/101 "
                    + "tagged db+1, prod by operator",
            ])
    }

    // MARK: What is no error but said

    @Test func `too few approvers for what rules ask is said, environment by environment`() throws {
        let config = try AgentConfigTests.config(
            Self.document(
                principals: """
                    {"id":"pi-agent","token_env":"T","roles":["operator"]},
                    {"id":"alice","token_env":"U","roles":["approver"],"environments":["home"]}
                    """,
                rules: """
                    {"id":"two","effect":"require_approval","approvals":2},
                    {"id":"two-in-lab","effect":"require_approval","approvals":2,"environments":["lab"]},
                    {"id":"one","effect":"require_approval"},{"id":"never","effect":"deny"}
                    """), Self.variables)
        #expect(
            config.warnings() == [
                "no principal is an approver in lab: what needs an approval cannot be applied there",
                "rule two asks for 2 approvals, but home has 1 approver: what it is about cannot be applied there",
            ])
    }

    @Test func `with the shared token nothing is said of approvers, and without any token that nobody gets in`() throws
    {
        let text = Self.document(rules: #"{"id":"two","effect":"require_approval","approvals":2}"#)
        let shared = try AgentConfigTests.config(
            text, Self.variables.merging(["PROXMOX_AGENT_API_TOKEN": "0123456789abcdef"]) { $1 })
        #expect(shared.warnings().isEmpty)
        let nobody = try AgentConfigTests.config(text, Self.variables)
        #expect(
            nobody.warnings() == [
                "PROXMOX_AGENT_API_TOKEN is not set and there are no principals: every /v1 route answers 503"
            ])
    }

    // MARK: What is wrong

    struct Wrong: Sendable, CustomTestStringConvertible {
        let text: String
        let line: String
        var testDescription: String { line }
    }

    private static func principal(_ text: String, _ line: String) -> Wrong {
        Wrong(text: document(principals: text), line: "principals" + line)
    }

    private static func rule(_ text: String, _ line: String) -> Wrong {
        Wrong(text: document(rules: text), line: "policy.rules" + line)
    }

    private static let alice = #"{"id":"alice","roles":["viewer"],"#
    private static let known = "roles, token_env, token_file, token_sha256"

    static let principals: [Wrong] = [
        Wrong(text: #"{"principals":{}}"#, line: "principals: expected an array, got an object"),
        principal("1", "[0]: expected an object, got an integer"),
        principal(
            #"{"roles":["viewer"],"token_env":"T"}"#,
            "[0].id: is missing; expected 3 to 128 of A-Z a-z 0-9 . _ : @ / -"),
        principal(
            #"{"id":"ab","roles":["viewer"],"token_env":"T"}"#,
            #"[0].id: expected 3 to 128 of A-Z a-z 0-9 . _ : @ / -, got "ab""#),
        principal(
            #"{"id":"Anonymous","roles":["viewer"],"token_env":"T"}"#,
            #"[0].id: "Anonymous" is what records call the agent or a stranger; take another"#),
        principal(
            alice + #""token_env":"T"},{"id":"ALICE","roles":["viewer"],"token_env":"U"}"#,
            #"[1].id: "ALICE" is taken by principals[0]; ids are unique whatever their case"#),
        principal(
            #"{"id":"alice","token_env":"T"}"#,
            "[0].roles: is missing; expected a list, each one of viewer, operator, approver, auditor, administrator, emergency"
        ),
        principal(
            #"{"id":"alice","roles":[],"token_env":"T"}"#,
            "[0].roles: is empty; expected one of viewer, operator, approver, auditor, administrator, emergency"),
        principal(
            #"{"id":"alice","roles":["viewer","admin"],"token_env":"T"}"#,
            #"[0].roles[1]: expected one of viewer, operator, approver, auditor, administrator, emergency, got "admin""#
        ),
        principal(
            #"{"id":"alice","roles":["viewer","viewer"],"token_env":"T"}"#,
            #"[0].roles[1]: "viewer" stands there already; name it once"#),
        principal(
            alice + #""token_env":"T","environments":["prod"]}"#,
            #"[0].environments[0]: expected the name of one environment here (home, lab), got "prod""#),
        principal(
            alice + #""token_env":"T","environments":[]}"#,
            "[0].environments: is empty; expected the name of one environment here (home, lab)"),
        principal(
            alice + #""token_env":"T","role":"viewer"}"#,
            "[0].role: unknown key; known here: approval_keys, cert_sha256, environments, id, \(known)"),
    ]

    static let tokens: [Wrong] = [
        principal(
            #"{"id":"alice","roles":["viewer"]}"#,
            "[0].token_sha256: is missing; proxmox-agent token new ID makes a token and prints this key"),
        principal(
            alice + #""token_env":"T","token_sha256":"\#(digest)"}"#,
            "[0].token_env: give one of token_sha256, token_env and token_file, not more"),
        principal(alice + #""token_env":["T"]}"#, "[0].token_env: expected a string, got an array"),
        principal(
            alice + #""token_sha256":"\#(digest.uppercased())"}"#,
            "[0].token_sha256: must be 64 lower-case hexadecimal digits, as proxmox-agent token hash prints; the token "
                + "itself has no place in this file"),
        principal(
            alice + #""token_sha256":"\#(token)"}"#,
            "[0].token_sha256: must be 64 lower-case hexadecimal digits, as proxmox-agent token hash prints; the token "
                + "itself has no place in this file"),
        principal(
            alice + #""token_sha256":"\#(CredentialDigest(of: "change-me".utf8))"}"#,
            "[0].token_sha256: is that of a token everybody knows; proxmox-agent token new ID makes one"),
        principal(
            alice + #""token_env":"NOWHERE"}"#,
            "[0].token_env: NOWHERE is not set; export it, or use token_file or token_sha256"),
        principal(
            alice + #""token_env":"\#(token)"}"#,
            "[0].token_env: must be the name of a variable, of A-Z a-z 0-9 _; the token itself has no place in this file"
        ),
        principal(
            alice + #""token_env":"SHORT"}"#,
            "[0].token_env: SHORT holds fewer than 20 characters; make a token with: proxmox-agent token new ID"),
        principal(
            alice + #""token_env":"EXAMPLE"}"#,
            "[0].token_env: EXAMPLE holds fewer than 20 characters; make a token with: proxmox-agent token new ID"),
        principal(
            alice + #""token_env":"BLANK"}"#,
            "[0].token_env: BLANK holds white space or other characters that no token has; it must be the token alone, "
                + "on one line"),
        principal(
            alice + #""token_file":"/nowhere/token"}"#,
            "[0].token_file: /nowhere/token: cannot be opened: No such file or directory; name a file that this user can read"
        ),
        principal(
            alice + #""token_file":"/etc/passwd"}"#,
            "[0].token_file: /etc/passwd: everybody can read it; chmod \(geteuid() == 0 ? "600" : "o-r") /etc/passwd"),
        principal(
            alice + #""token_file":"$CREDENTIALS_DIRECTORY/alice"}"#,
            "[0].token_file: $CREDENTIALS_DIRECTORY is not set; systemd sets it for LoadCredential="),
        principal(
            alice + #""token_env":"T"},{"id":"bob","roles":["viewer"],"token_sha256":"\#(digest)"}"#,
            "[1].token_sha256: is the token of principals[0] too; give each its own"),
        principal(
            alice + #""token_env":"PVE"}"#,
            "[0].token_env: is a PVE token's secret as well; give the caller a token of its own"),
    ]

    private static let deny = #"{"id":"x","effect":"deny","#

    private static let effects =
        "deny or require_approval, or an object with one of deny, require, raise_risk, windows, limits, allow"

    static let rules: [Wrong] = [
        Wrong(text: #"{"policy":[]}"#, line: "policy: expected an object, got an array"),
        Wrong(text: #"{"policy":{"rules":{}}}"#, line: "policy.rules: expected an array, got an object"),
        Wrong(text: #"{"policy":{"rule":[]}}"#, line: "policy.rule: unknown key; known here: $schema, groups, rules"),
        rule("1", "[0]: expected an object, got an integer"),
        rule(#"{"effect":"deny"}"#, "[0].id: is missing; expected a name such as two-for-prod"),
        rule(#"{"id":"A","effect":"deny"}"#, #"[0].id: expected 1 to 64 of a-z 0-9 - _ ., got "A""#),
        rule(#"{"id":"","effect":"deny"}"#, #"[0].id: expected 1 to 64 of a-z 0-9 - _ ., got """#),
        rule(
            #"{"id":"x","effect":"deny"},{"id":"x","effect":"deny"}"#,
            #"[1].id: "x" is taken by another rule; ids are unique"#),
        rule(#"{"id":"x"}"#, "[0].effect: is missing; expected \(effects)"),
        rule(#"{"id":"x","effect":"allow"}"#, #"[0].effect: expected \#(effects), got "allow""#),
        rule(
            #"{"id":"x","effect":"require_approval","approvals":0}"#,
            "[0].approvals: expected an integer from 1 to 10, got 0"),
        rule(
            #"{"id":"x","effect":"require_approval","approvals":11}"#,
            "[0].approvals: expected an integer from 1 to 10, got 11"),
        rule(
            deny + #""approvals":2}"#,
            "[0].approvals: is for require_approval; what is denied cannot be approved"),
        rule(
            #"{"id":"x","effect":"require_approval","assurance":"verified"}"#,
            #"[0].assurance: expected signed or hardware, got "verified""#),
        rule(
            deny + #""assurance":"signed"}"#,
            "[0].assurance: is for require_approval; what is denied cannot be approved"),
        rule(
            deny + #""reason":""}"#, #"[0].reason: expected a text of 1 to 500 characters on one line, got """#),
        rule(
            deny + #""environments":["prod"]}"#,
            #"[0].environments[0]: expected the name of one environment here (home, lab), got "prod""#),
        rule(
            deny + #""actions":["explode"]}"#,
            #"[0].actions[0]: expected an action, as GET /v1/actions lists them, got "explode""#),
        rule(deny + #""actions":[]}"#, "[0].actions: is empty; expected an action, as GET /v1/actions lists them"),
        rule(
            #"{"id":"x","effect":"require_approval","actions":["read_vm","read_nodes"]}"#,
            "[0].actions: names reads alone, which take no approval; deny bounds them"),
        rule(
            deny + #""targets":["vm/1*1"]}"#,
            "[0].targets[0]: expected a target such as vm/101, or the beginning of one with a * behind it, as in vm/*, "
                + #"got "vm/1*1""#),
        rule(
            deny + #""tags":["-prod"]}"#,
            #"[0].tags[0]: expected a tag, of A-Z a-z 0-9 _ - + . and not beginning with - + .; * and ? stand for others, got "-prod""#
        ),
        rule(deny + #""tags":["prod","PROD"]}"#, #"[0].tags[1]: "PROD" stands there already; name it once"#),
        rule(
            deny + #""principals":["alice"]}"#,
            #"[0].principals[0]: expected the name of one principal here (operator), got "alice""#),
        rule(
            deny + #""when":"always"}"#,
            "[0].when: unknown key; known here: actions, approvals, assurance, description, effect, environments, id, match, principals, reason, tags, "
                + "targets"),
    ]

    private static func keys(_ list: String, _ line: String) -> Wrong {
        principal(alice + #""token_env":"T","approval_keys":\#(list)}"#, line)
    }

    private static let line = SoftwareToken.ed25519.sshLine(isSecurityKey: false)
    private static let passkey = (try? SoftwareToken.p256.passkey()).map { "\(ApprovalKey(.passkey($0)))" } ?? ""
    private static let samePasskey = "passkey EdDSA YSBjcmVkZW50aWFs " + Base64.encode(SoftwareToken.ed25519.spki)

    static let approvalKeys: [Wrong] = [
        keys(#""\#(line)""#, "[0].approval_keys: expected an array, got a string"),
        keys("[1]", "[0].approval_keys[0]: expected the line of a public key, got an integer"),
        keys(
            #"["-----BEGIN OPENSSH PRIVATE KEY----- s3cr3t"]"#,
            "[0].approval_keys[0]: must be the line of a public key, such as the content of id_ed25519.pub, without "
                + "options; or passkey, ES256 or EdDSA, credential id and public key"),
        keys(
            #"["ssh-rsa AAAAB3NzaC1yc2EA alice"]"#,
            "[0].approval_keys[0]: RSA keys are not accepted; make one with ssh-keygen -t ed25519, or -t ed25519-sk on a "
                + "security key"),
        keys(
            #"["ssh-dss AAAAB3NzaC1kc3MA"]"#,
            "[0].approval_keys[0]: DSA keys are not accepted; make one with ssh-keygen -t ed25519, or -t ed25519-sk on a "
                + "security key"),
        keys(
            #"["\#(line)","\#(line) again"]"#, "[0].approval_keys[1]: stands there already; name it once"),
        keys(
            #"["\#(passkey)","\#(samePasskey)"]"#, "[0].approval_keys[1]: stands there already; name it once"),
        principal(
            alice + #""token_env":"T","approval_keys":["\#(line)"]},"#
                + #"{"id":"bob","roles":["viewer"],"token_env":"U","approval_keys":["\#(passkey)","\#(line) bob"]}"#,
            "[1].approval_keys[1]: is a key of principals[0] too; a key says who signed, so give each their own"),
    ]

    @Test func `approval keys are read, shown by check, and take effect without a restart`() throws {
        func config(_ keys: [String]) throws -> AgentConfig {
            let list = keys.map { "\"\($0)\"" }.joined(separator: ",")
            return try AgentConfigTests.config(
                Self.document(
                    principals: #"{"id":"alice","roles":["approver"],"token_env":"T","approval_keys":[\#(list)]}"#,
                    rules: #"{"id":"sign","effect":"require_approval","assurance":"hardware"}"#), Self.variables)
        }
        let (old, new) = (try config([Self.line]), try config([Self.line + " laptop", Self.passkey]))
        let keys = try #require(new.principals.first?.principal.approvalKeys)
        #expect(keys.map(\.kind) == ["ssh-ed25519", "passkey"])
        #expect(
            new.callerLines == [
                "principal alice: approver in all environments",
                "  approval key: ssh-ed25519 \(keys[0].fingerprint) token laptop",
                "  approval key: passkey \(keys[1].fingerprint)", "rule sign: require_approval (1, hardware)",
            ])
        #expect(!new.isInForce(after: old) && old.needsRestart(for: new).isEmpty)
        #expect(
            new.recordOfRules["approval_keys"]
                == ["alice": JSON(keys.map(\.fingerprint).sorted())])
        #expect(
            new.warnings()
                == ["home", "lab"].map { name in
                    "rule sign asks for 1 approval signed with a security key, but \(name) has 0 approvers with a security "
                        + "key in approval_keys: what it is about cannot be applied there"
                })
        let shared = try AgentConfigTests.config(
            Self.document(rules: #"{"id":"sign","effect":"require_approval","assurance":"signed"}"#),
            Self.variables.merging(["PROXMOX_AGENT_API_TOKEN": "0123456789abcdef"]) { $1 })
        #expect(
            shared.warnings().first?.hasPrefix("rule sign asks for signed approvals, which only principals") == true)
    }

    @Test(arguments: principals + tokens + rules + approvalKeys)
    func `what is wrong is told in one line with its place and the cure, and without tokens`(given: Wrong) {
        let more = ["SHORT": "s3cr3t-token-19-lon", "EXAMPLE": "change-me", "BLANK": Self.token + " "]
        var variables = Self.variables.merging(more) { $1 }
        if given.text.contains(#""PVE""#) {
            variables["PVE"] = Self.token
            variables["S"] = Self.token
        }
        let lines = AgentConfigTests.wrong(given.text, variables)
        #expect(lines == [given.line])
        #expect(!lines.joined().contains("s3cr3t"))
    }

    @Test func `principals and the shared token exclude each other, even where the principals are wrong`() {
        let variables = Self.variables.merging(["PROXMOX_AGENT_API_TOKEN": "s3cr3t-shared"]) { $1 }
        let line =
            "PROXMOX_AGENT_API_TOKEN: is set, and so are principals: two ways to get in; unset it, or take principals out"
        let good = Self.document(principals: Self.alice + #""token_env":"T"}"#)
        #expect(AgentConfigTests.wrong(good, variables) == [line])
        #expect(
            AgentConfigTests.wrong(Self.document(principals: Self.alice + #""token_env":"X"}"#), variables).count == 2)
        #expect(AgentConfigTests.wrong(Self.document(), variables).isEmpty)
    }

    @Test func `rules name principals that are configured, and no others`() {
        let principals = Self.alice + #""token_env":"T"}"#
        func wrong(_ name: String) -> [String] {
            let rules = #"{"id":"x","effect":"deny","principals":["\#(name)"]}"#
            return AgentConfigTests.wrong(Self.document(principals: principals, rules: rules), Self.variables)
        }
        #expect(wrong("alice").isEmpty)
        for name in ["operator", "Alice", "bob"] {
            let expected = "expected the name of one principal here (alice), got \"\(name)\""
            #expect(wrong(name) == ["policy.rules[0].principals[0]: " + expected])
        }
    }
}
