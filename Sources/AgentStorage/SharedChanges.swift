import AgentModel
import AgentService

/// What a transaction changes that other agents on the state want to know, as the text of a notification
/// (`pg_notify`): the id of the writer, which needs not hear it, and then words, each on a line.
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
        case .progress, .spent: words.insert(Self.line(signal))
        case .everything: words.insert(Self.everything)
        }
    }

    /// `nil` if there is nothing to tell.
    func payload(by writer: String) -> String? {
        let all = words.sorted() + operations.map(\.description).sorted()
        guard !all.isEmpty else { return nil }
        let text = ([writer] + all).joined(separator: "\n")
        return text.utf8.count > Self.limit ? "\(writer)\n\(Self.everything)" : text
    }

    /// Signals that go with no transaction, as payloads that are short enough.
    static func payloads(_ signals: [StoreSignal], by writer: String) -> [String] {
        var (all, last) = ([String](), writer)
        for line in signals.map(line) where line.utf8.count < limit / 2 {
            if last.utf8.count + 1 + line.utf8.count > limit {
                all.append(last)
                last = writer
            }
            last += "\n\(line)"
        }
        return last == writer ? all : all + [last]
    }

    private static let (progress, spent) = ("progress", "spent")

    /// Fields with tabs between them; text from elsewhere is the last one, and has no control characters.
    private static func line(_ signal: StoreSignal) -> String {
        switch signal {
        case .operation(let id): id.description
        case .freezes: freezes
        case .leases: leases
        case .history: history
        case .everything: everything
        case .progress(let id, nil): "\(progress)\t\(id)"
        case .progress(let id, let now?):
            "\(progress)\t\(id)\t\(now.percent.map { "\($0)" } ?? "-")\t\(plain(now.text))"
        case .spent(let spending):
            "\(spent)\t\(spending.budget)\t\(spending.tokens)\t\(spending.isPrincipal ? "id" : "from")\t"
                + plain(spending.party)
        }
    }

    private static func plain(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.properties.generalCategory != .control }))
    }

    /// What a notification says to all but the `writer`.
    static func signals(_ payload: String, exceptBy writer: String) -> [StoreSignal] {
        let lines = payload.split(separator: "\n").map(String.init)
        guard let first = lines.first, first != writer else { return [] }
        return lines.dropFirst().map { line in
            switch line {
            case freezes: .freezes
            case leases: .leases
            case history: .history
            // A later version may say more.
            default: RecordID(line, .operation).map { .operation($0) } ?? told(line) ?? .everything
            }
        }
    }

    private static func told(_ line: String) -> StoreSignal? {
        let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        switch (fields.first, fields.count) {
        case (progress, 2): return RecordID(fields[1], .operation).map { .progress($0, nil) }
        case (progress, 4):
            let percent = Int(fields[2])
            guard let id = RecordID(fields[1], .operation), percent.map((0...100).contains) ?? (fields[2] == "-") else {
                return nil
            }
            return .progress(id, Progress(percent: percent, text: fields[3]))
        case (spent, 5):
            guard let tokens = Int(fields[2]), tokens >= 0 else { return nil }
            return .spent(
                Spending(budget: fields[1], isPrincipal: fields[3] == "id", party: fields[4], tokens: tokens))
        default: return nil
        }
    }

    // MARK: SQL

    /// The name of the schema's channel.
    static let channel = "'proxmox_agent_' || to_hex(hashtext(current_schema()::text))"

    /// A column that tells it.
    static func notify(_ payload: String) -> String { "pg_notify(\(channel), \(payload))::text" }

    /// The same for a change of leases, which the agent that makes it hears too.
    static let notifyOfLeases = notify("'-\n\(leases)'")
}
