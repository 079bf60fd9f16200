import AgentModel
import Crypto
import FoundationEssentials
import Glibc
import Synchronization
import SystemFile
import SystemPackage
import TransparencyLog

/// What a witness keeps in its directory: its key, and the newest checkpoint of each log that it has signed.
///
/// A checkpoint is on stable storage before its signature leaves. The files are private, and locked for one process.
final class WitnessStore: Sendable {
    /// What is wrong, with the file and the cure.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let signingKey: SigningKey
    private let directory: String
    private let keys: [String: VerifierKey]
    private let lock: OpenFile
    private let notes: Mutex<[String: SignedNote]>

    /// Opens the directory, or makes it with a new key. `name` is for a new key; another one than the key's is refused.
    init(_ directory: String, logs: [VerifierKey], name: String?, host: String) throws(Failure) {
        self.directory = directory
        keys = Dictionary(logs.map { ($0.name, $0) }) { first, _ in first }
        do throws(Errno) {
            try PrivateFile.makeDirectory(directory)
            lock = try OpenFile("\(directory)/lock", .readWrite, [.create, .noFollow, .nonBlocking])
        } catch {
            throw Failure(description: "\(directory): cannot be used: \(error); let this user write there")
        }
        do throws(Errno) { try lock.lock() } catch {
            throw Failure(description: "\(directory): another witness uses it; name another directory")
        }
        signingKey = try Self.key(in: directory, name, host)
        var notes: [String: SignedNote] = [:]
        for log in logs {
            let file = "\(directory)/\(Self.hash(log.name)).checkpoint"
            guard let bytes = try Self.read(file) else { continue }
            guard let note = try? SignedNote(parsing: bytes), let known = try? Checkpoint(note),
                known.origin == log.name,
                case .good = signingKey.verifier.verdict(on: note)
            else { throw Failure(description: "\(file): is damaged; restore it: without it this witness could lie") }
            notes[log.name] = note
        }
        self.notes = Mutex(notes)
    }

    /// The lower-case hex SHA-256 of a log's origin.
    static func hash(_ origin: String) -> String { hexadecimal(SHA256.hash(data: Array(origin.utf8))) }

    func key(of origin: String) -> VerifierKey? { keys[origin] }

    func newest(of origin: String) -> TreeHead? {
        notes.withLock { $0[origin] }.flatMap { try? Checkpoint($0).head }
    }

    /// The newest checkpoint of the log whose origin has this hash.
    func note(named hash: String) -> SignedNote? {
        notes.withLock { $0.first { Self.hash($0.key) == hash }?.value }
    }

    /// Stores a checkpoint with the witness's signature, durably.
    func put(_ note: SignedNote, _ signature: SignedNote.Signature) throws(Failure) {
        guard let origin = try? Checkpoint(note).origin, let key = keys[origin] else {
            throw Failure(description: "the checkpoint is of no log that this witness knows")
        }
        let own = note.signatures.filter { $0.name == key.name && $0.keyID == key.id }
        let kept = SignedNote(text: note.text, signatures: own + [signature])
        let file = "\(directory)/\(Self.hash(origin)).checkpoint"
        let new = file + ".new"
        unlink(new)
        do throws(PrivateFile.CreateFailure) { try PrivateFile.create(new, Array(kept.description.utf8)) } catch {
            throw Failure(description: "\(new): cannot be written: \(error)")
        }
        guard rename(new, file) == 0, (try? PrivateFile.syncDirectory(directory)) != nil else {
            throw Failure(description: "\(file): cannot be replaced: \(Errno(rawValue: errno))")
        }
        notes.withLock { $0[origin] = kept }
    }

    // MARK: The key

    /// Two lines: the name, and the secret half in base64.
    private static func key(in directory: String, _ name: String?, _ host: String) throws(Failure) -> SigningKey {
        let file = "\(directory)/witness.key"
        if let bytes = try read(file) {
            let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
            guard lines.count == 2, let seed = Data(base64Encoded: lines[1]),
                let key = SigningKey(name: lines[0], use: .witness, seed: Array(seed))
            else { throw Failure(description: "\(file): is no key of a witness; restore it from your backup") }
            guard name == nil || name == key.verifier.name else {
                throw Failure(description: "\(file): is the key of \(key.verifier.name); leave --name out")
            }
            return key
        }
        let seed = SigningKey.newSeed()
        guard let key = SigningKey(name: name ?? host, use: .witness, seed: seed) else {
            throw Failure(description: "--name takes a name without blanks and +, such as witness.example/1")
        }
        let text = "\(key.verifier.name)\n\(Data(seed).base64EncodedString())\n"
        do throws(PrivateFile.CreateFailure) { try PrivateFile.create(file, Array(text.utf8)) } catch {
            throw Failure(description: "\(file): cannot be made: \(error)")
        }
        try? PrivateFile.syncDirectory(directory)
        return key
    }

    /// The bytes of a private file; `nil` if there is none.
    private static func read(_ file: String) throws(Failure) -> [UInt8]? {
        let info: Stat?
        do throws(Errno) { info = try PrivateFile.stat(file) } catch {
            throw Failure(description: "\(file): cannot be looked at: \(error)")
        }
        guard let info else { return nil }
        if let flaw = PrivateFile.flaw(of: info, file) { throw Failure(description: "\(file): \(flaw)") }
        do throws(FileError) { return try readFile(file, limit: 1 << 20) } catch {
            throw Failure(description: "\(file): \(error.detail)")
        }
    }
}
