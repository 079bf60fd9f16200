import AgentModel
import AgentService
import StrictJSON

/// Finds the users of a volume in every configuration and every snapshot that could name it.
extension PreviewBuilder {
    /// The guests whose configuration, or that of one of their snapshots, names the volume or an image built on it.
    func users(of volume: String) async throws(HypervisorError) -> [String] {
        guard let wanted = VolumeName(volume) else { return [] }
        var users: Set<String> = []
        for (other, config) in try await allConfigurations() where Self.names(wanted, config) {
            users.insert(other.description)
        }
        return users.sorted()
    }

    /// Whether a value of the configuration is the volume, or an image that is built on it.
    private static func names(_ wanted: VolumeName, _ config: JSON) -> Bool {
        (config.object?.members ?? []).contains { member in
            guard !ParameterDefinition.namesNothing(member.key), let text = member.value.string else { return false }
            return text.split(separator: ",").contains { part in
                guard let value = part.split(separator: "=", maxSplits: 1).last, let found = VolumeName(value) else {
                    return false
                }
                if found == wanted { return true }
                guard let storage = wanted.storage, found.storage == storage else { return false }
                return value.split(separator: "/").dropLast().contains { VolumeName("\(storage):\($0)") == wanted }
            }
        }
    }

    /// The configurations of all guests and of all their snapshots.
    private func allConfigurations() async throws(HypervisorError) -> [(GuestRef, JSON)] {
        var found: [(GuestRef, JSON)] = []
        let rows = try await rowsByID()
        for (other, config) in try await configurations() {
            found.append((other, config))
            guard let place = rows[other.id]?["node"]?.string else { continue }
            let path = ["nodes", place, other.kind.rawValue, "\(other.id)"]
            do throws(HypervisorError) {
                let names = (try await read(path + ["snapshot"]).array ?? []).compactMap { $0["name"]?.string }
                for name in names where name != "current" {
                    found.append((other, try await read(path + ["config"], ["snapshot": name])))
                }
            } catch { await cannotTell(other, at: place, "its snapshots", error) }
        }
        return found
    }

    /// The configurations of all guests. An unreadable configuration may name anything, so it is a block.
    func configurations() async throws(HypervisorError) -> [(GuestRef, JSON)] {
        let rows = try await guestRows()
        guard rows.count <= Self.maximumScanned else {
            block(
                "it would take the configurations of \(rows.count) guests to tell what is used, and the limit is \(Self.maximumScanned)"
            )
            return []
        }
        var found: [(GuestRef, JSON)] = []
        for row in rows {
            guard let other = GuestRef(row: row), let place = row["node"]?.string else { continue }
            do throws(HypervisorError) {
                let path = ["nodes", place, other.kind.rawValue, other.id.description, "config"]
                found.append((other, try await read(path)))
            } catch { await cannotTell(other, at: place, "its configuration", error) }
        }
        return found
    }

    private func cannotTell(_ other: GuestRef, at place: String, _ what: String, _ error: HypervisorError) async {
        let silence = await silence(of: place, error)
        let why = silence ?? ServiceError(error, planner.settings.name, during: what).detail
        block("\(other) cannot be read, and may use what the request is about: \(why)")
    }

    /// The most configurations that a search for a volume or a storage reads.
    private static let maximumScanned = 2000
}
