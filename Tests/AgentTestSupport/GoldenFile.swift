package import FoundationEssentials

/// A text that is committed beside a test and compared with what the program says now.
///
/// `PROXMOX_AGENT_GOLDEN=write` rewrites the file instead; the difference is then read in review.
package struct GoldenFile {
    package let url: URL

    /// The folder `Golden` stands beside the test, whose own file is `source`.
    package init(_ name: String, source: String = #filePath) {
        url = URL(filePath: source).deletingLastPathComponent().appending(path: "Golden").appending(path: name)
    }

    package static var isWriting: Bool { ProcessInfo.processInfo.environment["PROXMOX_AGENT_GOLDEN"] == "write" }

    /// The committed lines.
    package func lines() throws -> [String] {
        String(decoding: try Data(contentsOf: url), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    package func write(_ lines: [String]) throws {
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: url)
    }
}

/// What a golden file and the program do not agree on.
package struct GoldenMismatch: Error, CustomStringConvertible {
    package let description: String
}

/// Holds `lines` against the golden file `name`, or writes it where that was asked for.
///
/// - Throws: ``GoldenMismatch`` with the lines that only one of both has.
package func expectGolden(_ lines: [String], _ name: String, source: String = #filePath) throws {
    let file = GoldenFile(name, source: source)
    if GoldenFile.isWriting { return try file.write(lines) }
    let committed: [String]
    do { committed = try file.lines() } catch {
        throw GoldenMismatch(description: "\(name) cannot be read; make it with PROXMOX_AGENT_GOLDEN=write")
    }
    guard committed != lines else { return }
    let difference = lines.difference(from: committed).map { change in
        switch change {
        case .remove(let offset, let line, _): "- \(offset + 1): \(line)"
        case .insert(let offset, let line, _): "+ \(offset + 1): \(line)"
        }
    }
    throw GoldenMismatch(
        description: "\(name) differs; look at it, then rewrite it with PROXMOX_AGENT_GOLDEN=write:\n"
            + difference.joined(separator: "\n"))
}

/// Material that a full working copy has beside the package; tests that need it say so and are skipped without it.
package enum Reference {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "shared")

    /// PVE's API as a table: paths, methods, parameters and their bounds.
    package static let schema = folder.appending(path: "pve-schema/pve-api-9.1.json")
    /// Exchanges with real nodes: the file `name`.
    package static func recordings(_ name: String = "pve-9.2-exchanges.jsonl") -> URL {
        folder.appending(path: "pve-recordings").appending(path: name)
    }

    package static func has(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }

    package static func text(of url: URL) throws -> String {
        String(decoding: try Data(contentsOf: url), as: UTF8.self)
    }
}
