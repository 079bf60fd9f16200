/// Text that must not be seen: a token, a password, a key.
///
/// It prints and mirrors as `<redacted>`, cannot be encoded, and gives its text only to ``reveal()``.
package struct Secret: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let text: String

    package init(_ text: String) { self.text = text }

    /// The text itself; call it where the text leaves the process, nowhere else.
    package func reveal() -> String { text }

    package var description: String { "<redacted>" }
    package var debugDescription: String { "<redacted>" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
