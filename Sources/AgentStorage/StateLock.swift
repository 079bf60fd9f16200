import AgentService
internal import Glibc

/// Keeps every other agent away from the state for as long as it lives (`flock`).
struct StateLock: ~Copyable {
    private let descriptor: Int32

    init(_ place: StatePlace) throws(StoreError) {
        let path = place.lock
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
        guard descriptor >= 0 else {
            let cure = errno == ELOOP ? "it is a symbolic link: remove it" : "let the agent's user write the directory"
            throw .system("cannot open", path, cure: cure)
        }
        _ = try StatePlace.size(path)
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw StoreError(
                "state \(place.database): another process uses it; stop that one (fuser \(path) names it), "
                    + "or name another file")
        }
    }

    deinit { _ = close(descriptor) }
}
