import Glibc
import StrictJSON
import SystemPackage

/// Shows on standard error how far an operation is: a bar that is drawn anew on a terminal, elsewhere a line for each
/// change.
struct ProgressLine {
    private let isTerminal: Bool
    private var last = ""

    init(isTerminal: Bool = isatty(STDERR_FILENO) == 1) { self.isTerminal = isTerminal }

    /// The text for an answer's `progress`; empty if it has none.
    static func text(_ progress: JSON?, isTerminal: Bool) -> String {
        guard let progress else { return "" }
        let text = quoted(progress["text"]?.string ?? "")
        guard let percent = progress["percent"]?.integer, (0...100).contains(percent) else { return text }
        let number = String(repeating: " ", count: percent < 10 ? 2 : percent < 100 ? 1 : 0) + "\(percent)%"
        guard isTerminal else { return "\(number)  \(text)" }
        let width = 30
        let done = Int(percent) * width / 100
        let bar = String(repeating: "#", count: done) + String(repeating: "-", count: width - done)
        return "[\(bar)] \(number)  \(text)"
    }

    /// Shows the operation's progress if it is news.
    mutating func show(_ operation: JSON) {
        let text = Self.text(operation["progress"], isTerminal: isTerminal)
        guard text != last, !text.isEmpty else { return }
        last = text
        // To the beginning of the line, and what is left of the one before erased.
        if isTerminal { write(Array("\r\(text)\u{1B}[K".utf8), to: .standardError) } else { complain(text) }
    }

    /// Removes the bar.
    mutating func end() {
        if isTerminal, !last.isEmpty { write(Array("\r\u{1B}[K".utf8), to: .standardError) }
        last = ""
    }
}
