/// Text that must not be seen: a token, a password, a key.
///
/// It prints and mirrors as `<redacted>` and cannot be encoded. Only ``reveal()`` returns its text.
package struct Secret: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let text: String

    package init(_ text: String) { self.text = text }

    /// The text itself. Call this only where the text leaves the process.
    package func reveal() -> String { text }

    package var description: String { "<redacted>" }
    package var debugDescription: String { "<redacted>" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
