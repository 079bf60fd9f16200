package import AgentModel
package import AgentService
internal import SystemFile
internal import SystemPackage

/// The file of the installation's key: ``InstallationKey/length`` bytes, mode 0600, created once.
package enum InstallationKeyFile {
    /// Reads the key; `nil` if the file does not exist. Throws if it is not private or of another length.
    package static func read(_ path: String) throws(StoreError) -> InstallationKey? {
        try bytes(path, for: .agent).flatMap { InstallationKey($0) }
    }

    /// Creates a new key and its file. Durable except for the directory.
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
        let file: OpenFile
        do throws(Errno) { file = try OpenFile(path, .readOnly, [.noFollow, .nonBlocking]) } catch {
            throw .system("cannot open", path, error, cure: "let the agent's user read it")
        }
        do throws(Errno) { return try file.read(0..<Int64(InstallationKey.length)) } catch {
            throw .system("cannot read", path, error, cure: "look after its file system")
        }
    }

    static func missing(_ path: String) -> StoreError {
        StoreError("state \(path): the key is missing; restore it from your backup, or move the state aside")
    }
}
