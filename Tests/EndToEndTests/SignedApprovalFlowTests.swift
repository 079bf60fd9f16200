import AgentModel
import AgentTestSupport
import FoundationEssentials
import Glibc
import HTTPTypes
import Signatures
import StrictJSON
import Testing
import WireTestSupport

@testable import proxmox_agent

/// Approvals that are signed with the tools that people have, and checked with those that auditors have.
@Suite(.timeLimit(.minutes(2)))
struct SignedApprovalFlowTests {
    private static let origin = "proxmox-agent/test/1"
    private static let rules: JSON = [
        ["id": "signed", "effect": "require_approval", "assurance": "signed", "actions": ["stop_vm"]],
        ["id": "hard", "effect": "require_approval", "assurance": "hardware", "actions": ["delete_vm"]],
    ]

    /// The agent of ``Person/setup(_:rules:)`` with these keys of Alice's.
    private static func setup(_ keys: [String], rules: JSON = rules) -> Setup {
        var setup = Person.setup(rules: rules)
        let people = setup.settings["principals"]?.array ?? []
        setup.settings["principals"] = .array(
            people.map { person in
                guard person["id"] == "alice", !keys.isEmpty, var object = person.object else { return person }
                object["approval_keys"] = JSON(keys)
                return .object(object)
            })
        setup.settings["audit_origin"] = .string(origin)
        setup.settings["public_url"] = "https://agent.example:8443"
        return setup
    }

    /// Makes a key with ssh-keygen, and gives the line of its `.pub` file.
    private static func makeKey(_ file: String, _ type: String..., passphrase: String = "") async throws -> String {
        let made = try await Tool.run(["ssh-keygen", "-q", "-N", passphrase, "-C", "alice", "-f", file, "-t"] + type)
        try #require(made.status == 0, "\(made)")
        return String(decoding: try readFile(file + ".pub", limit: 4096).dropLast(), as: UTF8.self)
    }

    /// Runs these lines of bash, as the documents have them, in a directory.
    private static func bash(_ lines: String, in directory: String) async throws -> Tool.Result {
        try await Tool.run("bash", "-euo", "pipefail", "-c", "cd \(directory)\n" + lines)
    }

    @Test func `a person signs on the command line, and years later ssh-keygen alone says that they did`() async throws
    {
        let place = try ConfigFile()
        let key = "\(place.directory)/key"
        let line = try await Self.makeKey(key, "ed25519")
        try await withAgent(Self.setup([line])) { agent in
            let plan = try await Person.agent.plan(.stop, at: agent)
            let (id, hash) = (try #require(plan["plan_id"]?.string), try #require(plan["plan_hash"]?.string))
            #expect(plan["requires"] == ["approvals": 1, "assurance": "signed"])
            #expect(plan["decision"]?["assurance"] == "signed")
            let shown = try await Person.alice.run("plan", "show", id, at: agent)
            #expect(shown.out.contains("\napprovals: 0 of 1, signed\n"), "\(shown)")
            #expect(shown.out.hasSuffix("approve \(id) --hash \(hash.prefix(8)) --sign\n"), "\(shown)")

            let unsigned = try await Person.alice.run("approve", id, "--hash", hash, at: agent)
            #expect(unsigned.status == 1 && unsigned.err.hasPrefix("signature_required: "), "\(unsigned)")
            let keyless = try await Person.bob.run("approve", id, "--hash", hash, at: agent)
            #expect(keyless.err.contains("bob has no approval_keys; add the public key"), "\(keyless)")

            let yes = try await Person.alice.run(
                "approve", id, "--hash", hash, "--reason", "seen \"it\"", "--sign", "--key", key, at: agent)
            #expect(yes.status == 0 && yes.out.contains("approved, approvals: 1 of 1 (alice)"), "\(yes)")
            #expect(
                yes.err.contains("signing: agent \(Self.origin)\n") && yes.err.contains("signing: plan_hash \(hash)"))
            let applied = try await Person.agent.apply(id, at: agent)
            #expect(applied.status < 300, "\(applied)")

            // What docs/approvals.md says.
            let checked = try await Self.bash(try Self.recipe(id, agent.auditLog), in: place.directory)
            #expect(checked.status == 0, "\(checked)")
            #expect(checked.text.contains("Good \"approval@proxmox-agent\" signature for alice"), "\(checked)")
            #expect(checked.text.contains("plan_hash \(hash)"), "\(checked)")
            let verified = try await Program.run("audit", "verify", agent.auditLog)
            #expect(verified.status == 0 && verified.out.contains("chain whole, 1 signature good, head"), "\(verified)")
        }
    }

    /// The commands of docs/approvals.md that check an approval, for this plan and this log.
    private static func recipe(_ plan: String, _ log: String) throws -> String {
        let text = try Documents.text("docs/approvals.md")
        let start = try #require(text.firstRange(of: "## Checking one approval"))
        let block = text[start.upperBound...].split(separator: "```")[1]
        return String(block.dropFirst("bash".count)).replacing("pln_…", with: plan).replacing("audit.log", with: log)
    }

    @Test func `keys of ssh-agent sign by the name of their public file`() async throws {
        let place = try ConfigFile()
        let key = "\(place.directory)/key"
        let line = try await Self.makeKey(key, "ecdsa", "-b", "256")
        try await withAgent(Self.setup([line])) { agent in
            let id = try await Person.agent.planID(.stop, at: agent)
            let shown = try await Person.alice.get("/v1/plans/\(id)", at: agent)
            let script = """
                eval "$(ssh-agent -s)" > /dev/null
                trap 'kill "$SSH_AGENT_PID"' EXIT
                ssh-add -q key
                rm key
                export PROXMOX_AGENT_URL=http://\(agent.address) PROXMOX_AGENT_TOKEN=\(Person.alice.token)
                export PROXMOX_AGENT_SIGNING_KEY=key.pub
                \(Program.path) approve \(id) --hash \(shown["plan_hash"]?.string ?? "") --sign
                """
            let yes = try await Self.bash(script, in: place.directory)
            #expect(yes.status == 0 && yes.text.contains("approved, approvals: 1 of 1"), "\(yes)")
        }
    }

    @Test func `what cannot sign, or does not count, sends nothing`() async throws {
        let place = try ConfigFile()
        let rsa = "\(place.directory)/rsa"
        _ = try await Self.makeKey(rsa, "rsa", "-b", "2048")
        let stranger = "\(place.directory)/stranger"
        _ = try await Self.makeKey(stranger, "ed25519")
        let known = try await Self.makeKey("\(place.directory)/known", "ed25519")
        try await withAgent(Self.setup([known])) { agent in
            let plan = try await Person.agent.plan(.stop, at: agent)
            let (id, hash) = (try #require(plan["plan_id"]?.string), try #require(plan["plan_hash"]?.string))
            for (key, says) in [
                (rsa, "not sent: the signature by \(rsa) does not count: RSA keys are not accepted"),
                ("/nowhere/key", "not signed: ssh-keygen failed with /nowhere/key"),
                (stranger, "signature_invalid: the signature was made with a key that is not among the approval_keys"),
            ] {
                for verdict in ["approve", "reject"] {
                    let no = try await Person.alice.run(verdict, id, "--hash", hash, "--sign", "--key", key, at: agent)
                    #expect(no.status == 1 && no.err.contains(says), "\(no)")
                }
            }
            let refused = try agent.records().filter { $0["kind"] == "refuse" }
            #expect(refused.map { $0["result"]?["code"] } == ["signature_invalid", "signature_invalid"])
            let none = try await Person.alice.run("approve", id, "--hash", hash, "--sign", at: agent)
            #expect(none.status == 1 && none.err.contains("no key to sign with"), "\(none)")
            let unused = try await Person.alice.run("approve", id, "--hash", hash, "--key", stranger, at: agent)
            #expect(unused.status == 64 && unused.err.contains("--key is for --sign"), "\(unused)")
            #expect(try await Person.alice.get("/v1/plans/\(id)", at: agent)["state"] == "awaiting_approval")
        }
    }

    @Test func `a passkey signs the challenge that the agent names, each assertion once`() async throws {
        let token = SoftwareToken.p256
        let line = "\(ApprovalKey(.passkey(try token.passkey())))"
        try await withAgent(Self.setup([line])) { agent in
            let plan = try await Person.agent.plan(.stop, at: agent)
            let id = try #require(plan["plan_id"]?.string)
            let asked = try await Person.alice.get(
                "/v1/plans/\(id)/approval-text?decision=approve&reason=seen", at: agent)
            let challenge = try #require(Base64.decodeURL((asked["challenge"]?.string ?? "").utf8))
            let assertion = try token.assertion { $0.challenge = challenge }
            func decide(_ signature: JSON) async throws -> Reply {
                let body: JSON = [
                    "decision": "approve", "plan_hash": plan["plan_hash"], "reason": "seen", "signature": signature,
                ]
                return try await agent.send(
                    .post, "/v1/plans/\(id)/approvals", body: body.bytes, as: nil, token: Person.alice.token)
            }
            for malformed: JSON in [
                "x", [:], ["ssh": 1], ["passkey": [:]], ["ssh": "x", "passkey": [:]],
                ["passkey": ["credential_id": "A", "client_data": "", "authenticator_data": "", "signature": ""]],
                ["ssh": .string(String(repeating: "A", count: 9000))],
            ] {
                let reply = try await decide(malformed)
                expectProblem(reply, 400, "invalid_request")
                #expect(reply["errors"]?.array?.first?["pointer"] == "/signature", "\(reply)")
            }
            let approved = try await decide(["passkey": .object(assertion.form)])
            let approval = try #require(approved["approvals"]?.array?.first, "\(approved)")
            #expect(approval["assurance"] == "signed" && approval["signed"]?["text"] == asked["text"])
            #expect(approval["signed"]?["key"]?.string == line)

            let deletion = try await Person.agent.plan(.delete, at: agent)
            #expect(deletion["requires"]?["assurance"] == "hardware", "\(deletion)")
        }
    }

    @Test func `SIGHUP takes a lost key out, and what it signed with it`() async throws {
        let token = SoftwareToken.ed25519
        let lines = [token.sshLine(), SoftwareToken.p256.sshLine()]
        let agent = try await ServedAgent(Self.setup(lines))
        let plan = try await agent.send(
            .post, "/v1/actions/plan", body: PlanRequest.stop.json.bytes, as: nil, token: Person.agent.token)
        let id = try #require(plan["plan_id"]?.string, "\(plan)")
        func decide(_ token: SoftwareToken) async throws -> Reply {
            let text = try #require(
                try await agent.send(
                    .get, "/v1/plans/\(id)/approval-text?decision=approve", as: nil, token: Person.alice.token)["text"]?
                    .string)
            let armour = SoftwareToken.armour(try token.sshSignature(of: Array(text.utf8)))
            let body: JSON = [
                "decision": "approve", "plan_hash": plan["plan_hash"], "signature": ["ssh": .string(armour)],
            ]
            return try await agent.send(
                .post, "/v1/plans/\(id)/approvals", body: body.bytes, as: nil, token: Person.alice.token)
        }
        #expect(try await decide(token)["state"] == "approved")
        try await agent.reload(Self.setup([lines[1]]), until: "put in force")
        let shown = try await agent.send(.get, "/v1/plans/\(id)", as: nil, token: Person.alice.token)
        #expect(shown["state"] == "awaiting_approval" && shown["approvals"] == [], "\(shown)")
        #expect(shown["withdrawn"]?.array?.first?["approver"] == "alice", "\(shown)")
        let apply: JSON = ["plan_id": .string(id)]
        let refused = try await agent.send(
            .post, "/v1/actions/apply", body: apply.bytes, as: nil, token: Person.agent.token)
        expectProblem(refused, 403, "approval_required")
        expectProblem(try await decide(token), 403, "signature_invalid")
        // The key comes back; its signature does not.
        let more: JSON = ["id": "more", "effect": "deny", "actions": ["delete_vm"]]
        let others = Self.setup(lines, rules: .array((Self.rules.array ?? []) + [more]))
        try agent.write(others)
        agent.program.signal(SIGHUP)
        _ = try await agent.program.line { $0.contains("put in force") && $0.contains("rules=3") }
        let withdrawn = try await decide(token)
        expectProblem(withdrawn, 403, "signature_invalid")
        #expect(withdrawn["detail"]?.string?.contains("was withdrawn") == true, "\(withdrawn)")
        let text = try await Program.run(
            "plan", "show", id,
            variables: [
                "PROXMOX_AGENT_URL": "http://\(agent.address)", "PROXMOX_AGENT_TOKEN": Person.bob.token,
            ])
        #expect(text.out.contains("\nwithdrawn, as its key was taken out: alice (hardware) · "), "\(text)")
        #expect(try await decide(.p256)["state"] == "approved")
        let counts = try agent.records().filter { $0["kind"] == "config" }.map {
            $0["result"]?["approval_keys"]?["alice"]?.array?.count
        }
        #expect(counts.suffix(2) == [1, 2])
        _ = try await agent.stop()
    }
}
