package import AgentModel
package import AgentService
internal import Glibc

/// The file of the installation's key: ``InstallationKey/length`` bytes, mode 0600, made once.
package enum InstallationKeyFile {
    /// Reads the key; `nil` where there is no such file. A file that is not private or of another length is refused.
    package static func read(_ path: String) throws(StoreError) -> InstallationKey? {
        try bytes(path, for: .agent).flatMap { InstallationKey($0) }
    }

    /// Makes a new key and its file, durable but for the directory.
    static func create(_ path: String) throws(StoreError) -> InstallationKey {
        try StatePlace.create(path, InstallationKey.newBytes())
        guard let key = try read(path) else { throw missing(path) }
        return key
    }

    static func bytes(_ path: String, for reader: StatePlace.Reader) throws(StoreError) -> [UInt8]? {
        guard let size = try StatePlace.size(path, for: reader) else { return nil }
        guard size == InstallationKey.length else {
            throw StoreError(
                "state \(path): holds \(size) bytes, a key has \(InstallationKey.length); restore it from your backup")
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { throw .system("cannot open", path, cure: "let the agent's user read it") }
        defer { _ = close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: InstallationKey.length)
        guard Glibc.read(descriptor, &bytes, bytes.count) == bytes.count else {
            throw .system("cannot read", path, cure: "look after its file system")
        }
        return bytes
    }

    static func missing(_ path: String) -> StoreError {
        StoreError("state \(path): the key is missing; restore it from your backup, or move the state aside")
    }
}
