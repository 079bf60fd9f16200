import AgentService
internal import SystemFile
internal import SystemPackage

/// Keeps all other agents from using the state while it exists (`flock`).
struct StateLock: ~Copyable {
    private let file: OpenFile

    /// A lock as an object.
    final class Held {
        private let lock: StateLock
        init(_ lock: consuming StateLock) { self.lock = lock }
    }

    init(_ place: StatePlace) throws(StoreError) {
        let path = place.lock
        let file: OpenFile
        do throws(Errno) { file = try OpenFile(path, .readWrite, [.create, .noFollow, .nonBlocking]) } catch {
            let isLink = error == .tooManySymbolicLinkLevels
            let cure = isLink ? "it is a symbolic link: remove it" : "let the agent's user write the directory"
            throw .system("cannot open", path, error, cure: cure)
        }
        _ = try StatePlace.size(path)
        do throws(Errno) { try file.lock() } catch {
            throw StoreError(
                "state \(place.database): another process uses it; stop that one (fuser \(path) names it), "
                    + "or name another file")
        }
        self.file = file
    }
}
