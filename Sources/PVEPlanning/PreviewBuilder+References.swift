import AgentModel
import AgentService
import StrictJSON

/// Checks on objects that are connected with the object of an edit.
extension PreviewBuilder {
    /// Finds the users of the object: they block its deletion, and a change warns of them.
    func unreferenced(_ references: [Reference]) async throws(HypervisorError) -> [Check] {
        guard let call = calls.first, call.method != .post, findings.object != nil else { return [] }
        var users: [String] = []
        for reference in references { users += try await self.users(reference) }
        guard !users.isEmpty else { return [] }
        let shown = users.prefix(20).joined(separator: ", ") + (users.count > 20 ? ", …" : "")
        return [
            call.method == .delete
                ? Check("in-use", .block, "\(call.shownPath) is used by \(shown); change those first")
                : Check("in-use", .warn, "\(call.shownPath) is used by \(shown), which the change is for as well")
        ]
    }

    private func users(_ reference: Reference) async throws(HypervisorError) -> [String] {
        switch reference {
        case .rows(let path, let field, let value, let name):
            let wanted = request.fill(value, findings.callContext)
            let rows = try await read(request.path(path, findings.callContext)).array ?? []
            return rows.filter { row in
                field.map { (row[$0]?.string ?? row[$0]?.text) == wanted } ?? true
            }.map { "\(name) \($0[name]?.string ?? $0[name]?.text ?? "?")" }.sorted()
        case .networkDevices(let value):
            let wanted = request.fill(value, findings.callContext)
            let found = try await configurations().filter { _, config in
                (config.object?.members ?? []).contains { member in
                    "net[n]".names(member.key)
                        && PropertyString.settings(member.key, member.value.string ?? "")?["bridge"]?.string == wanted
                }
            }.map(\.0).sorted()
            // Policy rules protect guests from a disconnection, by name, tag and pool.
            try await add(found.map { ($0.id, .affected) }, observing: .nothing)
            if try await granted(on: "/vms")?.contains("VM.Audit") != true {
                block("the request may reach guests that the token does not see: it needs VM.Audit on /vms")
            }
            return found.map(\.description)
        }
    }

    /// Checks that what the parameter names exists.
    func present(_ parameter: String, at template: String) async throws(HypervisorError) -> [Check] {
        guard request.params[parameter] != nil else { return [] }
        let path = request.path(template, findings.callContext)
        do throws(HypervisorError) {
            _ = try await read(path)
            return []
        } catch {
            guard case .refused(let upstream) = error, upstream.saysAbsent else { throw error }
            return [Check("absent", .block, "there is no \(Call(.get, path).shownPath), which \(parameter) names")]
        }
    }

    /// Changes that are not in force yet, by others or for another reason: the request's last call applies them too.
    /// They must not change until then, unless the request itself changes them.
    func carriesAlong(_ lists: [PendingList]) async throws(HypervisorError) -> [Check] {
        let own = findings.observed.shown["object"]?["path"]?.string
        var found: [String] = []
        var others = JSONObject()
        for list in lists {
            let path = request.path(list.path, findings.callContext)
            for (name, row) in try await pendingRows(of: path, list.name) {
                let place = Call(.get, path + [name]).shownPath
                if let state = row["state"] {
                    found.append("\(place) (\(state.string ?? state.text))")
                    if place != own { others[place] = ["state": state, "pending": row["pending"] ?? .null] }
                }
                guard let part = list.part else { continue }
                let below = path + [name, part]
                for (name, row) in try await pendingRows(of: below, list.partName) {
                    guard let state = row["state"] else { continue }
                    let place = Call(.get, below + [name]).shownPath
                    found.append("\(place) (\(state.string ?? state.text))")
                    others[place] = ["state": state, "pending": row["pending"] ?? .null]
                }
            }
        }
        if !others.isEmpty {
            findings.observed.shown["pending"] = .object(others)
            findings.observed.compared.append("pending")
        }
        guard !found.isEmpty else { return [] }
        let shown = found.prefix(20).joined(separator: ", ") + (found.count > 20 ? ", …" : "")
        return [
            Check("carries-along", .warn, "what is changed and not applied yet goes into force as well: \(shown)")
        ]
    }

    /// The rows of a list, with pending changes; empty where this PVE version has no such list.
    private func pendingRows(of path: [String], _ name: String) async throws(HypervisorError) -> [(String, JSON)] {
        do throws(HypervisorError) {
            return (try await read(path, ["pending": "1"]).array ?? []).compactMap { row in
                row[name].map { ($0.string ?? $0.text, row) }
            }
        } catch {
            guard error.isUnknownPath else { throw error }
            return []
        }
    }
}
