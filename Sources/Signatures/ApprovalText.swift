internal import StrictJSON

/// What an approver signs: a text that a person can read, the same for every kind of key.
package struct ApprovalText: Sendable, Hashable {
    /// The audit origin of the installation, so that no other one takes the signature.
    package var agent: String
    package var plan: String
    package var planHash: String
    /// `approve` or `reject`.
    package var decision: String
    package var principal: String
    package var reason: String

    /// The namespace of an SSH signature.
    package static let namespace = "approval@proxmox-agent"

    package init(
        agent: String, plan: String, planHash: String, decision: String, principal: String, reason: String
    ) {
        self.agent = agent
        self.plan = plan
        self.planHash = planHash
        self.decision = decision
        self.principal = principal
        self.reason = reason
    }

    /// The text, each line with its newline. The reason is a JSON string, as `JSON.stringify` writes it.
    package var text: String {
        """
        proxmox-agent approval v1
        agent \(agent)
        plan \(plan)
        plan_hash \(planHash)
        decision \(decision)
        principal \(principal)
        reason \(JSON.string(reason).text)

        """
    }

    package var bytes: [UInt8] { Array(text.utf8) }

    /// The challenge of a passkey.
    package var challenge: [UInt8] { sha256(bytes) }

    /// Reads ``text``; `nil` for anything else, down to a blank.
    package init?(reading text: String) {
        guard text.utf8.count <= 65_536 else { return nil }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let names = ["agent", "plan", "plan_hash", "decision", "principal", "reason"]
        guard lines.count == names.count + 2 else { return nil }
        var values: [String] = []
        for (line, name) in zip(lines.dropFirst(), names) {
            guard line.hasPrefix(name + " ") else { return nil }
            values.append(String(line.dropFirst(name.count + 1)))
        }
        guard let reason = (try? JSON.parse(values[5]))?.string else { return nil }
        self.init(
            agent: values[0], plan: values[1], planHash: values[2], decision: values[3], principal: values[4],
            reason: reason)
        guard self.text.utf8.elementsEqual(text.utf8) else { return nil }
    }
}
