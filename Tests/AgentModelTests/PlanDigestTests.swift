import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

struct PlanDigestTests {
    private let digest = PlanDigest(key: .random())

    /// SHA-256 of the sorted, compact JSON of the five fields, computed with another program.
    @Test func `a request's hash is that of its canonical JSON`() throws {
        #expect(
            digest.requestHash(try .sample(.startVM, "vm/101"))
                == "e1fd3aae4ba08515d1efaaa1d103f45cf39580d7baa880692396936a4b04f84c")
        #expect(
            digest.requestHash(try .sample(.startVM, "vm/101", ["timeout": 30, "node": "pve1"]))
                == "cad6938b65245eef5a76e854f235dd7c6a758504fca60d663e2ee04a9759d1eb")
        #expect(
            digest.requestHash(
                try .sample(
                    .snapshotVM, "vm/101",
                    ["snapname": "before", "description": "Größe \"1\"\n\u{20AC}", "vmstate": true], dryRun: true))
                == "aef3b0de5320fd5e9eb133a0271ba916fdb97f1a9f06e83d7d0c2259fa620fcc")
    }

    @Test func `defaults and the order of parameters make no difference`() throws {
        let one = try ActionRequest(
            parsing: [
                "environment": "home", "action": "start_vm", "target": "vm/101",
                "params": ["timeout": 30, "node": "a"],
            ])
        let other = try ActionRequest(
            parsing: [
                "dry_run": false, "params": ["node": "a", "timeout": 30], "target": "vm/101", "action": "start_vm",
                "environment": "home", "reason": "why not",
            ])
        #expect(digest.requestHash(one) == digest.requestHash(other))
    }

    @Test func `everything that is asked for makes a difference`() throws {
        let hashes = try [
            ActionRequest.sample(.startVM, "vm/101"), .sample(.stopVM, "vm/101"), .sample(.startVM, "vm/102"),
            .sample(.startVM, "vm/101", ["timeout": 1]), .sample(.startVM, "vm/101", ["timeout": 2]),
            .sample(.startVM, "vm/101", environment: "cloud"), .sample(.startVM, "vm/101", dryRun: true),
        ].map(digest.requestHash)
        #expect(Set(hashes).count == hashes.count)
    }

    @Test func `a secret is hashed under a key of its own`() throws {
        func request(_ password: JSON) throws(RequestError) -> ActionRequest {
            try .sample(
                .storageEdit, "storage/nas",
                ["endpoint": "/storage/nas", "method": "PUT", "params": ["password": password, "username": "u"]])
        }
        let hash = digest.requestHash(try request("one"))
        #expect(hash == digest.requestHash(try request("one")))
        #expect(hash != digest.requestHash(try request("two")))
        #expect(hash != digest.requestHash(try request("<redacted>")))
        #expect(hash != PlanDigest(key: .random()).requestHash(try request("one")), "another key, another hash")
    }

    @Test func `a plan's hash covers all that an approver approves`() throws {
        func hash(
            number: UInt64 = 1, requestHash: String = "r", requester: String = "a", identity: String = "i",
            password: JSON = "p", observed: JSONObject = ["status": "running"], version: String = "v",
            approvals: Int = 1,
            assurance: Assurance = .declared, expiresAt: String = "e"
        ) throws -> String {
            let request = try ActionRequest.sample(
                .storageEdit, "storage/nas",
                ["endpoint": "/storage/nas", "method": "PUT", "params": ["password": password]])
            return digest.planHash(
                id: .sample(number), requestHash: requestHash, requester: .labelled(requester),
                environmentIdentity: identity,
                preview: Preview(calls: try request.calls(onNode: nil), observed: Observed(shown: observed)),
                policyVersion: version, requires: Requirement(approvals: approvals, assurance: assurance),
                expiresAt: expiresAt)
        }
        let same = try [hash(), hash()]
        #expect(same[0] == same[1])
        #expect(same[0].utf8.count == 64)
        let others = try [
            hash(number: 2), hash(requestHash: "s"), hash(requester: "b"), hash(identity: "j"), hash(password: "q"),
            hash(observed: ["status": "stopped"]), hash(version: "w"), hash(approvals: 2), hash(assurance: .verified),
            hash(expiresAt: "f"),
        ]
        #expect(Set(others + same).count == others.count + 1)
    }

    @Test(arguments: [
        ("https://a:8006", "t@pve!x", "system"), ("https://b:8006", "t@pve!x", "system"),
        ("https://a:8006", "t@pve!y", "system"), ("https://a:8006", "t@pve!x", "sha256:AA"),
    ])
    func `an environment's identity is its address, token and trust`(url: String, token: String, trust: String) throws {
        let name = try #require(EnvironmentName("home"))
        let settings = EnvironmentSettings(name: name, baseURL: url, tokenID: token, trust: trust)
        let first = EnvironmentSettings(
            name: name, baseURL: "https://a:8006", tokenID: "t@pve!x", trust: "system", readOnly: true)
        #expect(
            (settings.identity == first.identity) == ((url, token, trust) == ("https://a:8006", "t@pve!x", "system")))
    }
}
