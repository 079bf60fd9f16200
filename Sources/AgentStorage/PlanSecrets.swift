import AgentModel
import StrictJSON

/// The secrets of a live plan, separate from the rest of it: those of its request, and those of its calls.
///
/// Their text leaves the process only sealed with the installation's key, bound to the plan's id.
struct PlanSecrets {
    private var request: [JSONPath: Secret]
    /// In the order of the calls.
    private var calls: [Secret]

    init(of plan: Plan) {
        request = plan.request.secrets
        calls = plan.preview.calls.flatMap(\.parameters).compactMap { parameter in
            guard case .secret(let secret) = parameter.value else { return nil }
            return secret
        }
    }

    /// `nil` if there is nothing to seal, as in an ended plan.
    func sealed(with key: InstallationKey, for plan: Plan) -> [UInt8]? {
        guard !plan.state.isEnded, !(request.isEmpty && calls.isEmpty) else { return nil }
        let document: JSON = [
            "request": .array(
                request.map { path, secret in ["path": Self.steps(path), "text": .string(secret.reveal())] }),
            "calls": JSON(calls.map { $0.reveal() }),
        ]
        return key.seal(document.bytes(.exact), for: plan.id)
    }

    /// Puts the sealed secrets back into a plan that was read without them.
    static func open(_ sealed: [UInt8]?, with key: InstallationKey, in plan: Plan) throws(RowDecodingError) -> Plan {
        let places = PlanSecrets(of: plan).calls.count
        guard let sealed else {
            guard plan.state.isEnded || places == 0 else { throw RowDecodingError(detail: "its secrets are missing") }
            return plan
        }
        guard !plan.state.isEnded else {
            throw RowDecodingError(detail: "it has ended, but its secrets are still there")
        }
        guard let bytes = key.open(sealed, for: plan.id) else {
            throw RowDecodingError(detail: "its secrets were changed, or sealed under another key")
        }
        // Do not report what is wrong: that could reveal parts of the text.
        guard let document = try? JSON.parse(bytes), let secrets = PlanSecrets(document), secrets.calls.count == places
        else { throw RowDecodingError(detail: "its secrets are not in a form that this version knows") }
        return plan.with(secrets.request, secrets.calls)
    }

    private init?(_ document: JSON) {
        guard let members = document["request"]?.array, let texts = document["calls"].flatMap(StoredFields.texts)
        else { return nil }
        request = [:]
        calls = texts.map { Secret($0) }
        for member in members {
            guard let path = member["path"]?.array.flatMap(Self.path), let text = member["text"]?.string else {
                return nil
            }
            request[path] = Secret(text)
        }
    }

    private static func steps(_ path: JSONPath) -> JSON {
        .array(
            path.steps.map { step in
                switch step {
                case .key(let key): .string(key)
                case .index(let index): JSON(index)
                }
            })
    }

    private static func path(_ steps: [JSON]) -> JSONPath? {
        let known = steps.compactMap { step -> JSONPath.Step? in
            step.string.map { .key($0) } ?? step.integer.flatMap { Int(exactly: $0) }.map { .index($0) }
        }
        return known.count == steps.count ? JSONPath(known) : nil
    }
}

extension Plan {
    /// The same plan with these secrets in its request and, in order, in its calls.
    fileprivate func with(_ requestSecrets: [JSONPath: Secret], _ callSecrets: [Secret]) -> Plan {
        var rest = callSecrets[...]
        var preview = preview
        preview.calls = preview.calls.map { call in
            let parameters = call.parameters.map { parameter -> (name: String, value: Call.Value) in
                guard case .secret = parameter.value, let secret = rest.popFirst() else { return parameter }
                return (parameter.name, .secret(secret))
            }
            return call.with(parameters)
        }
        let request = ActionRequest(
            environment: request.environment, action: request.action, target: request.target, params: request.params,
            secrets: requestSecrets, dryRun: request.dryRun,
            notes: .init(
                reason: request.reason, expiresAt: request.expiresAt, approvalTicket: request.approvalTicket,
                applyAt: request.applyAt,
                approvedBy: request.approvedBy))
        return Plan(
            id: id, request: request, requestHash: requestHash, planHash: planHash, requester: requester,
            environmentIdentity: environmentIdentity, policyVersion: policyVersion, decision: decision,
            preview: preview, requires: requires, createdAt: createdAt, expiresAt: expiresAt, standing: standing)
    }
}
