import AgentModel
import AgentService

/// What a transaction changes that other agents on the state want to know, as the text of a notification
/// (`pg_notify`): the id of the writer, which needs not hear it, and then words.
struct SharedChanges {
    private var operations: Set<RecordID> = []
    private var words: Set<String> = []

    private static let (freezes, leases, history, everything) = ("freezes", "leases", "history", "everything")
    /// A notification must have less than 8,000 bytes.
    private static let limit = 7500

    mutating func add(_ signal: StoreSignal) {
        switch signal {
        case .operation(let id): operations.insert(id)
        case .freezes: words.insert(Self.freezes)
        case .leases: words.insert(Self.leases)
        case .history: words.insert(Self.history)
        case .everything: words.insert(Self.everything)
        }
    }

    /// `nil` if there is nothing to tell.
    func payload(by writer: String) -> String? {
        let all = words.sorted() + operations.map(\.description).sorted()
        guard !all.isEmpty else { return nil }
        let text = "\(writer) \(all.joined(separator: " "))"
        return text.utf8.count > Self.limit ? "\(writer) \(Self.everything)" : text
    }

    /// What a notification says to all but the `writer`.
    static func signals(_ payload: String, exceptBy writer: String) -> [StoreSignal] {
        let words = payload.split(separator: " ").map(String.init)
        guard let first = words.first, first != writer else { return [] }
        return words.dropFirst().map { word in
            switch word {
            case freezes: .freezes
            case leases: .leases
            case history: .history
            // A later version may say more.
            default: RecordID(word, .operation).map { .operation($0) } ?? .everything
            }
        }
    }

    // MARK: SQL

    /// The name of the schema's channel.
    static let channel = "'proxmox_agent_' || to_hex(hashtext(current_schema()::text))"

    /// A column that tells it.
    static func notify(_ payload: String) -> String { "pg_notify(\(channel), \(payload))::text" }

    /// The same for a change of leases, which the agent that makes it hears too.
    static let notifyOfLeases = notify("'- \(leases)'")
}
