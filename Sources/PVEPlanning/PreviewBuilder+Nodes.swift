import AgentModel
import AgentService
import StrictJSON

/// Checks on nodes that do not answer, and on the cluster's votes.
extension PreviewBuilder {
    /// Why the node did not answer; `nil` where the error has another cause.
    func silence(of node: String, _ error: HypervisorError) async -> String? {
        guard case .refused(let upstream) = error, error.isSilence else { return nil }
        let rows = (try? await read(["nodes"]))?.array ?? []
        let status = rows.first { $0["node"]?.string == node }?["status"]?.string
        guard let status, status != "online" else {
            return "node \(node) does not answer: \(upstream.reason.isEmpty ? "\(upstream.status)" : upstream.reason)"
        }
        return "node \(node) is \(status)"
    }

    /// The check that blocks a request because a node that it needs does not answer.
    func silenceCheck(of node: String, _ error: HypervisorError) async -> Check? {
        await silence(of: node, error).map { Check("node-answers", .block, $0) }
    }

    static let silenceID = "node-answers"

    /// Checks that the nodes of the calls are online.
    func nodesOnline(for calls: [Call]) async throws(HypervisorError) -> [Check] {
        let names = Set(calls.filter { $0.path.first == "nodes" && $0.path.count > 1 }.map { $0.path[1] })
        guard !names.isEmpty else { return [] }
        let rows = try await read(["nodes"]).array ?? []
        return names.sorted().compactMap { name in
            let status = rows.first { $0["node"]?.string == name }?["status"]?.string
            return status.flatMap { $0 == "online" ? nil : Check("node-answers", .block, "node \(name) is \($0)") }
        }
    }

    // MARK: Votes

    /// The cluster's own report on its quorum; `nil` for a node outside a cluster.
    private func votes() async throws(HypervisorError) -> JSON? {
        let rows = try await read(["cluster", "status"]).array ?? []
        return rows.first { $0["type"] == "cluster" }.map { $0["quorate"] ?? .null }
    }

    /// Whether PVE can answer questions that need quorum.
    func isQuorate() async -> Bool {
        guard let said = try? await votes() else { return true }
        return said.flag == true
    }

    /// Blocks what PVE does not do without quorum. Guests can be stopped, but a guest that HA manages needs a request
    /// to HA.
    func quorum() async throws(HypervisorError) -> [Check] {
        let asksHA = isManaged
        let needsIt = request.needsQuorum(in: findings.callContext)
        guard needsIt || asksHA, !calls.isEmpty else { return [] }
        do throws(HypervisorError) {
            guard let said = try await votes(), said.flag != true else { return [] }
            let found = said.flag == false ? "" : " (it says quorate: \(said.shown))"
            return [
                needsIt
                    ? Check("quorum", .block, "the cluster has no quorum\(found); PVE refuses this until it has")
                    : Check("quorum", .warn, "the cluster has no quorum\(found), and HA does nothing without")
            ]
        } catch {
            guard case .refused(let upstream) = error, !upstream.isFromGateway else { throw error }
            return [Check("quorum", .warn, "PVE does not tell whether the cluster has quorum: \(upstream.reason)")]
        }
    }

    /// Checks that the other nodes keep the majority when the target is down.
    func quorateWithout() async throws(HypervisorError) -> [Check] {
        guard case .node(let own) = request.target, let said = try await votes() else { return [] }
        guard said.flag == true else {
            return [Check("quorum", .block, "the cluster has no quorum; PVE takes no changes")]
        }
        let nodes = try await read(["cluster", "status"]).array?.filter { $0["type"] == "node" } ?? []
        let left = nodes.filter { flag($0, "online", of: "a node") && $0["name"]?.string != own.description }
        let names = left.compactMap { $0["name"]?.string }
        guard let known = try await votesByNode() else {
            guard names.count * 2 <= nodes.count else { return [] }
            return [
                Check(
                    "quorum", .warn,
                    "without \(own) only \(names.count) of \(nodes.count) nodes are online: perhaps no quorum")
            ]
        }
        let (rest, all) = (names.reduce(0) { $0 + (known[$1] ?? 0) }, known.values.reduce(0, +))
        guard rest * 2 <= all else { return [] }
        let counted = "without \(own) only \(rest) of \(all) votes of nodes are left"
        let device = try await hasOtherVotes()
        return [
            Check(
                "quorum", .warn,
                device ? "\(counted): perhaps no quorum; a QDevice may vote too" : "\(counted): no quorum")
        ]
    }

    /// Each node's votes; `nil` where PVE does not tell.
    private func votesByNode() async throws(HypervisorError) -> [String: Int]? {
        guard let rows = try await tell("the votes of nodes", ["cluster", "config", "nodes"])?.array, !rows.isEmpty
        else { return nil }
        return rows.reduce(into: [:]) { votes, row in
            let number = row["quorum_votes"].flatMap(\.whole) ?? 1
            if let name = (row["name"] ?? row["node"])?.string { votes[name] = Int(min(max(number, 0), 1000)) }
        }
    }

    /// Whether anything other than the nodes has a vote, as far as PVE tells.
    private func hasOtherVotes() async throws(HypervisorError) -> Bool {
        try await tell("whether a QDevice votes", ["cluster", "config", "qdevice"])?.object.map { !$0.isEmpty } ?? true
    }

    /// A read that PVE may refuse; a refusal becomes a warning.
    private func tell(_ what: String, _ path: [String]) async throws(HypervisorError) -> JSON? {
        do throws(HypervisorError) { return try await read(path) } catch {
            guard case .refused(let upstream) = error, !upstream.isFromGateway else { throw error }
            note("quorum", "PVE does not tell \(what): \(upstream.reason)")
            return nil
        }
    }
}

extension HypervisorError {
    /// Whether the node that received the request failed to reach the node that should answer it.
    var isSilence: Bool {
        guard case .refused(let upstream) = self else { return false }
        return (595...599).contains(upstream.status)
    }
}
