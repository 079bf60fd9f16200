import AgentService
import Glibc
import Synchronization
import SystemFile

/// Checks how much space is left for the audit log and the state.
final class DiskFloor: Sendable {
    private struct Place {
        let directory: String
        let name: String
        /// The name as a label.
        let label: String
        let code: ErrorCode
    }

    private struct Look {
        var at: ContinuousClock.Instant
        var shortage: ServiceError?
    }

    /// How long a result is valid.
    private static let lasts = Duration.seconds(1)

    private let places: [Place]
    private let floor: UInt64
    private let last = Mutex<Look?>(nil)

    /// With a `floor` of 0 bytes there is never a shortage.
    init(auditLog: String, state: String?, floor: Int) {
        let log = Place(
            directory: PrivateFile.directory(of: auditLog), name: "audit log", label: "audit_log",
            code: .auditUnavailable)
        places =
            [log]
            + (state.map { state in
                [
                    Place(
                        directory: PrivateFile.directory(of: state), name: "state", label: "state",
                        code: .storeUnavailable)
                ]
            } ?? [])
        self.floor = UInt64(max(0, floor))
    }

    /// The error for new requests; `nil` while there is enough space.
    func shortage() -> ServiceError? {
        guard floor > 0 else { return nil }
        return last.withLock { last in
            let now = ContinuousClock.now
            if let last, now - last.at < Self.lasts { return last.shortage }
            let shortage = places.lazy.compactMap { self.shortage(at: $0) }.first
            last = Look(at: now, shortage: shortage)
            return shortage
        }
    }

    var floorBytes: Int { Int(clamping: floor) }

    /// The free bytes of each place, as far as they can be determined.
    func free() -> [(place: String, bytes: Int?)] {
        places.map { place in (place.label, Self.free(in: place.directory).map { Int(clamping: $0) }) }
    }

    /// `statvfs(3)`; `nil` if it fails.
    private static func free(in directory: String) -> UInt64? {
        var info = statvfs()
        guard statvfs(directory, &info) == 0 else { return nil }
        let (free, overflows) = UInt64(info.f_bavail).multipliedReportingOverflow(by: UInt64(info.f_frsize))
        return overflows ? .max : free
    }

    /// If the space cannot be determined, no shortage is reported; the next write reports the error.
    private func shortage(at place: Place) -> ServiceError? {
        guard let free = Self.free(in: place.directory), free < floor else { return nil }
        return ServiceError(
            place.code,
            "\(free) bytes are free on the file system of the \(place.name), and limits.min_free_bytes is \(floor): until "
                + "there is more space only freezes, cancels, rejections and the ends of operations are taken")
    }
}
