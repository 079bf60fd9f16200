internal import FoundationEssentials

/// Why a text is not what it should be, in words that name the place. Holds nothing of the text.
package struct NoteError: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// A text with signatures (c2sp.org/signed-note).
package struct SignedNote: Sendable, Hashable {
    /// One signature line. Whose it is, only a ``VerifierKey`` can tell.
    package struct Signature: Sendable, Hashable {
        package let name: String
        package let keyID: UInt32
        /// Without the key id.
        package let bytes: [UInt8]

        package init(name: String, keyID: UInt32, bytes: [UInt8]) {
            self.name = name
            self.keyID = keyID
            self.bytes = bytes
        }
    }

    /// The largest note that is read, in bytes, and the most signatures.
    package static let maximumBytes = 64 << 10
    package static let maximumSignatures = 64

    /// What is signed, with its last newline.
    package let text: String
    package var signatures: [Signature]

    package init(text: String, signatures: [Signature]) {
        self.text = text
        self.signatures = signatures
    }

    package init(parsing bytes: some Collection<UInt8>) throws(NoteError) {
        guard bytes.count <= Self.maximumBytes else {
            throw NoteError("the note is larger than \(Self.maximumBytes) bytes")
        }
        guard let whole = String(validating: bytes, as: UTF8.self) else { throw NoteError("the note is not UTF-8") }
        guard whole.utf8.allSatisfy({ $0 >= 0x20 || $0 == 0x0A }) else {
            throw NoteError("the note holds control characters")
        }
        let all = Array(whole.utf8)
        guard let gap = all.indices.dropLast().last(where: { all[$0] == 0x0A && all[$0 + 1] == 0x0A }), gap > 0 else {
            throw NoteError("the note has no empty line before its signatures")
        }
        text = String(decoding: all[...gap], as: UTF8.self)
        signatures = try Self.signatures(String(decoding: all[(gap + 2)...], as: UTF8.self))
        guard !signatures.isEmpty else { throw NoteError("the note has no signature") }
    }

    /// Reads signature lines, as a witness answers with them.
    package static func signatures(_ lines: String) throws(NoteError) -> [Signature] {
        guard lines.isEmpty || lines.utf8.last == 0x0A else { throw NoteError("the last line has no newline") }
        let all = lines.utf8.dropLast().split(separator: 0x0A, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        if lines.isEmpty { return [] }
        guard all.count <= maximumSignatures else {
            throw NoteError("there are more than \(maximumSignatures) signatures")
        }
        var found: [Signature] = []
        for line in all {
            let words = line.split(separator: " ", omittingEmptySubsequences: false)
            guard words.count == 3, words[0] == "\u{2014}", isKeyName(words[1]), let data = strictBase64(words[2]),
                data.count > 4
            else { throw NoteError("signature line \(found.count + 1) is no \"\u{2014} NAME BASE64\"") }
            let id = data.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            found.append(Signature(name: String(words[1]), keyID: id, bytes: Array(data.dropFirst(4))))
        }
        return found
    }

    /// Whether a text can be a key's name: not empty, and without white space, `+` and control characters.
    package static func isKeyName(_ text: some StringProtocol) -> Bool {
        (1...255).contains(text.utf8.count)
            && text.unicodeScalars.allSatisfy {
                !$0.properties.isWhitespace && $0 != "+" && $0.properties.generalCategory != .control
            }
    }
}

extension SignedNote: CustomStringConvertible {
    /// The note as it is sent and kept.
    package var description: String { text + "\n" + signatures.map { "\($0)\n" }.joined() }
}

extension SignedNote.Signature: CustomStringConvertible {
    /// The line without its newline.
    package var description: String {
        let id = (0..<4).map { UInt8(truncatingIfNeeded: keyID >> (24 - 8 * $0)) }
        return "\u{2014} \(name) \(Data(id + bytes).base64EncodedString())"
    }
}
