import AgentModel
import AgentService
import FoundationEssentials
internal import SQLite
import StrictJSON

/// What several agents share of sign-ins at the console.
///
/// Each row is sealed as a whole, with what it is found by: whoever writes the database without the installation's key
/// can sign nobody in. A row that does not open counts as none, so that it keeps nobody else out.
extension StoreRecords {
    /// Distinguishes what is sealed here from the secrets of plans.
    private static let seal = "sign_ins"

    func signIn(_ kind: SignInRecord.Kind, _ key: CredentialDigest) -> SignInRecord? {
        signIns("kind = ? AND key = ?", [.text(kind.rawValue), .text(key.description)]).first
    }

    func signIns(_ kind: SignInRecord.Kind, of owner: String?) -> [SignInRecord] {
        signIns(
            "kind = ?\(owner == nil ? "" : " AND owner = ?")",
            [.text(kind.rawValue)] + (owner.map { [.text($0)] } ?? []))
    }

    private func signIns(_ condition: String, _ values: [Value]) -> [SignInRecord] {
        var found: [SignInRecord] = []
        run("SELECT kind, key, owner, sealed FROM sign_ins WHERE \(condition)", values) { row in
            if let record = signIn(in: row) { found.append(record) }
        }
        return failure == nil ? found : []
    }

    /// What is sealed in a row of kind, key, owner and that; `nil` if it does not open, or belongs to another row.
    func signIn(in row: [Value]) -> SignInRecord? {
        guard let bytes = row[3].blob.flatMap({ key.open($0, for: Self.seal) }),
            let record = (try? JSON.parse(bytes)).flatMap({ try? StoredFields.read(SignInRecord.self, $0) }),
            Array(row[..<3]) == Self.columns(of: record)
        else { return nil }
        return record
    }

    private static func columns(of record: SignInRecord) -> [Value] {
        [.text(record.kind.rawValue), .text(record.key.description), .text(record.owner)]
    }

    func countSignIns(_ kind: SignInRecord.Kind, endingAfter date: Date) -> Int {
        var count = 0
        run("SELECT count(*) FROM sign_ins WHERE kind = ? AND ends_at > ?", [.text(kind.rawValue), Value(date)]) {
            count = Int(clamping: $0[0].integer ?? 0)
        }
        return failure == nil ? count : 0
    }

    var firstSignInEnd: Date? {
        var end: Date?
        run("SELECT min(ends_at) FROM sign_ins") { end = Date($0[0]) }
        return failure == nil ? end : nil
    }

    func put(_ record: SignInRecord) {
        upsert(
            "sign_ins", ["kind", "key", "owner", "ends_at", "sealed"], key: 2,
            Self.columns(of: record) + [
                Value(record.endsAt), .blob(key.seal(record.stored.bytes(.exact), for: Self.seal)),
            ])
    }

    func removeSignIn(_ kind: SignInRecord.Kind, _ key: CredentialDigest) {
        run("DELETE FROM sign_ins WHERE kind = ? AND key = ?", [.text(kind.rawValue), .text(key.description)])
    }

    func pruneSignIns(endedBy date: Date) { run("DELETE FROM sign_ins WHERE ends_at <= ?", [Value(date)]) }
}

extension SignInRecord: Stored {
    var stored: JSON {
        [
            "kind": JSON(kind), "key": JSON(describing: key), "owner": .string(owner), "ends_at": JSON(endsAt),
            "credentials": credentials.map { JSON(describing: $0) }, "id": session.map { JSON(describing: $0.id) },
            "passkey": session?.passkey.map { .string($0) }, "created_at": session.map { JSON($0.createdAt) },
            "last_used_at": session.map { JSON($0.lastUsedAt) }, "user_agent": session.map { .string($0.userAgent) },
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        let kind = try fields.parsed("kind", Kind.init)
        let key = try fields.parsed("key", CredentialDigest.init(_:))
        let (owner, endsAt) = (try fields.text("owner"), try fields.date("ends_at"))
        let credentials = try fields.findParsed("credentials", CredentialDigest.init(_:))
        guard kind == .session else {
            self.init(kind, key: key, owner: owner, credentials: credentials, endsAt: endsAt)
            return
        }
        guard let credentials else { throw RowDecodingError(detail: "credentials: is missing") }
        self.init(
            ConsoleSession(
                id: try fields.parsed("id") { RecordID($0, .session) }, key: key, owner: owner,
                credentials: credentials, passkey: try fields.findParsed("passkey") { $0 },
                createdAt: try fields.date("created_at"), lastUsedAt: try fields.date("last_used_at"),
                userAgent: try fields.text("user_agent")))
    }
}
