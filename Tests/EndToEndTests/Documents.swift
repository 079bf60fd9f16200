import AgentTestSupport
import FoundationEssentials
import Testing

/// The project's own documents, as they stand in the checkout.
enum Documents {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Every document in Markdown, by its path from the root.
    static func all() throws -> [String] {
        try ["", "docs/", "docs/adr/", "docs/examples/", "docs/monitoring/", "docs/policies/", "data/"].flatMap {
            folder in
            try FileManager.default.contentsOfDirectory(atPath: root.appending(path: folder).path)
                .filter { $0.hasSuffix(".md") }.map { folder + $0 }.sorted()
        }
    }

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appending(path: path).path)
    }

    static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: root.appending(path: path)), as: UTF8.self)
    }

    static func lines(_ path: String) throws -> [String] {
        try text(path).split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    }

    /// The rows of the table whose header is `header`, as they are written.
    static func rows(_ path: String, under header: String) throws -> [String] {
        let lines = try lines(path)
        guard let start = lines.firstIndex(of: header) else { return [] }
        return Array(lines.dropFirst(start + 2).prefix { $0.hasPrefix("|") })
    }

    /// Holds the table under `header` against `rows`; writes it anew where golden files are written.
    static func expectTable(
        _ path: String, under header: String, _ rows: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        if GoldenFile.isWriting {
            var lines = try lines(path)
            guard let start = lines.firstIndex(of: header) else { return }
            let end = lines[(start + 2)...].firstIndex { !$0.hasPrefix("|") } ?? lines.endIndex
            lines.replaceSubrange((start + 2)..<end, with: rows)
            try Data(lines.joined(separator: "\n").utf8).write(to: root.appending(path: path))
        }
        #expect(try Self.rows(path, under: header) == rows, sourceLocation: sourceLocation)
    }

    /// Holds the lines that begin so against `lines`, or puts these in their places where that was asked for.
    static func expectLines(
        _ path: String, beginning prefix: String, _ expected: [String],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        var lines = try lines(path)
        let places = lines.indices.filter { lines[$0].hasPrefix(prefix) }
        if GoldenFile.isWriting, places.count == expected.count {
            for (place, line) in zip(places, expected) { lines[place] = line }
            try Data(lines.joined(separator: "\n").utf8).write(to: root.appending(path: path))
        }
        #expect(places.map { lines[$0] } == expected, sourceLocation: sourceLocation)
    }

    /// Every test, as `File: name`.
    static func tests() throws -> Set<String> {
        let folder = root.appending(path: "Tests").path
        let files = try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.hasSuffix("Tests.swift") }
        return try files.reduce(into: []) { names, path in
            let file = path.split(separator: "/").last.map { String($0.dropLast(".swift".count)) } ?? ""
            let parts = try text("Tests/\(path)").split(separator: "func `", omittingEmptySubsequences: false)
            for part in parts.dropFirst() { names.insert("\(file): \(part.prefix { $0 != "`" })") }
        }
    }

    /// The texts in backticks.
    static func codes(in text: String) -> Set<String> {
        Set(
            text.split(separator: "`", omittingEmptySubsequences: false).enumerated().compactMap { index, part in
                index.isMultiple(of: 2) ? nil : String(part)
            })
    }

    /// The headings of a document, and where links find them.
    static func headings(_ path: String) throws -> [(text: String, anchor: String)] {
        var isCode = false
        return try lines(path).compactMap { line in
            if line.hasPrefix("```") { isCode.toggle() }
            guard !isCode, line.hasPrefix("#"), let space = line.firstIndex(of: " ") else { return nil }
            let text = String(line[line.index(after: space)...])
            return (text, anchor(text))
        }
    }

    /// As GitHub makes it: lower case, blanks as hyphens, without punctuation.
    private static func anchor(_ heading: String) -> String {
        String(
            heading.lowercased().compactMap { character in
                if character == " " { return "-" }
                return character.isLetter || character.isNumber || "-_".contains(character) ? character : nil
            })
    }

    /// The targets of a document's links.
    static func links(_ path: String) throws -> [String] {
        try text(path).split(separator: "](", omittingEmptySubsequences: false).dropFirst().compactMap { rest in
            rest.firstIndex(of: ")").map { String(rest[..<$0]) }
        }
    }
}
