import Crypto
import FoundationEssentials
package import StrictJSON

/// The hashes that bind an approval to what the approver saw.
///
/// The hashed forms are written only here, and they never change. A field that is renamed in an answer, a record or a
/// stored document keeps its old name here. Otherwise the hashes of plans under way would no longer match.
package struct PlanDigest: Sendable {
    /// Keys the hashes of secrets, so that a hash reveals nothing about a short password.
    private let key: InstallationKey

    package init(key: InstallationKey) { self.key = key }

    /// Lower-case hex SHA-256 of the RFC 8785 canonical form.
    package static func hash(_ value: JSON) -> String { hexadecimal(SHA256.hash(data: value.canonicalBytes)) }

    /// A hash of the caller's request, which may hold secrets. It shows whether the same request is sent again.
    package func payloadHash(_ value: JSON) -> String { key.authenticate(value.canonicalBytes) }

    /// The hash of `{environment, action, target, params, dry_run}`, defaults filled in, secrets as an HMAC.
    package func requestHash(_ request: ActionRequest) -> String {
        Self.hash([
            "environment": .string(request.environment.description), "action": .string(request.action.rawValue),
            "target": .string(request.target.description),
            "params": keyed(.object(request.params), request.secrets, JSONPath()),
            "dry_run": .bool(request.dryRun),
        ])
    }

    /// The hash of everything that an approver approves.
    package func planHash(
        id: RecordID, requestHash: String, requester: Caller, environmentIdentity: String, preview: Preview,
        policyVersion: String, requires: Requirement, expiresAt: String, applyAt: ApplyTime? = nil
    ) -> String {
        Self.hash([
            "plan_id": .string(id.description), "request_hash": .string(requestHash),
            "requester": .string(requester.actor), "environment_identity": .string(environmentIdentity),
            "calls": .array(preview.calls.map(keyed)), "observed": .object(preview.observed.shown),
            "subjects": .array(preview.reach.subjects.map(Self.canonical)),
            "policy_version": .string(policyVersion), "requires": Self.canonical(requires),
            "expires_at": .string(expiresAt), "apply_at": applyAt.map { .string($0.rawValue) },
        ])
    }

    private static func canonical(_ subject: Subject) -> JSON {
        [
            "role": .string(subject.role.rawValue), "name": .string(subject.name),
            "also": subject.aliases.isEmpty ? nil : JSON(subject.aliases),
            "tags": subject.tags.isEmpty ? nil : JSON(subject.tags.sorted()),
        ]
    }

    private static func canonical(_ requirement: Requirement) -> JSON {
        [
            "approvals": JSON(requirement.approvals), "assurance": .string(requirement.assurance.rawValue),
            "clauses": requirement.clauses.isEmpty ? nil : .array(requirement.clauses.map(canonical)),
        ]
    }

    private static func canonical(_ clause: ApprovalClause) -> JSON {
        [
            "rule": .string(clause.rule), "approvals": JSON(clause.approvals),
            "principals": JSON(clause.principals.sorted()), "roles": JSON(clause.roles.map(\.rawValue).sorted()),
            "groups": JSON(clause.groups.sorted()), "other_group": .bool(clause.isFromOtherGroup),
        ]
    }

    private func keyed(_ call: Call) -> JSON {
        var params = JSONObject()
        for (name, value) in call.parameters {
            switch value {
            case .text(let text): params.append(name, .string(text))
            case .list(let texts): params.append(name, JSON(texts))
            case .secret(let secret): params.append(name, .string(authenticate(secret)))
            case .observedDigest: params.append(name, "<observed>")
            }
        }
        return ["method": .string(call.method.rawValue), "path": JSON(call.path), "params": .object(params)]
    }

    private func keyed(_ value: JSON, _ secrets: [JSONPath: Secret], _ path: JSONPath) -> JSON {
        if let secret = secrets[path] { return .string(authenticate(secret)) }
        guard let object = value.object else { return value }
        var out = JSONObject()
        for member in object.members { out.append(member.key, keyed(member.value, secrets, path.key(member.key))) }
        return .object(out)
    }

    private func authenticate(_ secret: Secret) -> String {
        "hmac-sha256:" + key.authenticate(Array(secret.reveal().utf8))
    }
}
