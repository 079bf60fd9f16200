import AgentModel
import StrictJSON

/// Checks on numbers, nodes and the cluster.
extension Look {
    func idIsFree(_ id: String) async throws(HypervisorError) -> [Check] {
        do throws(HypervisorError) {
            _ = try await read(["cluster", "nextid"], ["vmid": id])
            return []
        } catch {
            guard case .refused(let upstream) = error, upstream.status == 400 else { throw error }
            return [Check("new-id", .block, "id \(id) is taken; GET /cluster/nextid names a free one")]
        }
    }

    func otherNode(_ wanted: String) async throws(HypervisorError) -> [Check] {
        if let guest, wanted == node?.description {
            return [Check("target-node", .block, "\(guest) is on \(wanted) already")]
        }
        let nodes = try await read(["nodes"]).array ?? []
        guard let row = nodes.first(where: { $0["node"]?.string == wanted }) else {
            let names = nodes.compactMap { $0["node"]?.string }.sorted().joined(separator: ", ")
            return [Check("target-node", .block, "there is no node \(wanted); there are \(names)")]
        }
        guard row["status"]?.string == "online" else {
            return [Check("target-node", .block, "node \(wanted) is \(row["status"]?.string ?? "not online")")]
        }
        return [Check("target-node", .ok, "node \(wanted) is online")]
    }

    func migration() -> [Check] {
        guard let guest, status == "running", request.params["online"] != true else { return [] }
        return [Check("online", .block, "\(guest) is running; give online: true, or stop it first")]
    }
}
