package import StrictJSON
package import TransparencyLog

/// The tree of the records before a file, which the file's first record tells, so that a file can be verified without
/// those before it.
extension AuditRecord {
    /// The tree of the records before this one, as the record tells it; `nil` if it does not.
    package var treeBefore: CompactRange? {
        guard seq > 1 else { return .empty }
        guard event.kind == .log || event.kind == .config,
            let texts = (event.result?["tree"] ?? event.result?["log"]?["tree"])?.array
        else { return nil }
        let hashes = texts.compactMap { $0.string.flatMap(TreeHash.init) }
        return hashes.count == texts.count ? CompactRange(size: seq - 1, hashes: hashes) : nil
    }
}

extension CompactRange {
    /// As ``AuditRecord/treeBefore`` reads it.
    package var told: JSON { .array(hashes.map { .string($0.description) }) }
}
