import AgentModel
import AgentService
import FoundationEssentials

/// A mail as it is sent (RFC 5322, 2045, 2047): ASCII headers, and a text whose lines cannot be taken for headers.
struct MailMessage {
    let bytes: [UInt8]

    init(_ text: NoticeText, _ id: RecordID, from: MailAddress, to recipients: [MailAddress], at now: Date) {
        let body = text.body(title: false, upTo: 8000).replacing("\n", with: "\r\n") + "\r\n"
        let head = [
            "Date: \(Self.date(now))", "From: proxmox-agent <\(from)>",
            "To: " + recipients.map(\.description).joined(separator: ",\r\n "),
            "Subject: \(Self.words(text.notice.title))", "Message-ID: <\(id)@\(from.host)>", "MIME-Version: 1.0",
            "Auto-Submitted: auto-generated", "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: base64",
        ]
        let lines = Data(body.utf8).base64EncodedString(options: [.lineLength76Characters, .endLineWithCarriageReturn])
        let encoded = lines.split { $0.isNewline }.joined(separator: "\r\n")
        bytes = Array((head.joined(separator: "\r\n") + "\r\n\r\n" + encoded + "\r\n").utf8)
    }

    /// `Sun, 29 Nov 2026 05:54:27 +0000`
    static func date(_ date: Date) -> String {
        let stamp = Timestamp(date)
        let text = stamp.description
        let days = Int(stamp.milliseconds / 86_400_000)
        let (names, months) = (
            ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"],
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        )
        let parts = text.split { "-T.".contains($0) }
        guard parts.count == 5, let month = Int(parts[1]), months.indices.contains(month - 1) else { return text }
        return "\(names[((days % 7) + 7) % 7]), \(parts[2]) \(months[month - 1]) \(parts[0]) \(parts[3]) +0000"
    }

    /// The text of a header: as it is if it is plain ASCII, else as encoded words of at most 75 characters.
    static func words(_ text: String) -> String {
        if text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }), !text.contains("=?") { return text }
        var parts: [[UInt8]] = [[]]
        for scalar in text.unicodeScalars {
            let bytes = Array(String(scalar).utf8)
            if (parts.last?.count ?? 0) + bytes.count > 42 { parts.append([]) }
            parts[parts.count - 1] += bytes
        }
        return parts.map { "=?utf-8?B?\(Data($0).base64EncodedString())?=" }.joined(separator: "\r\n ")
    }
}
