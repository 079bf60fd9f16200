/// A revision of the Model Context Protocol that is served, newest first.
enum Revision: String, CaseIterable {
    /// Stateless: each request carries its own metadata.
    case july2026 = "2026-07-28"
    case november2025 = "2025-11-25"
    case june2025 = "2025-06-18"
    case march2025 = "2025-03-26"

    /// Whether a client of it begins with `initialize`.
    var isLegacy: Bool { self != .july2026 }
}
