/// The versions of PVE that the agent distinguishes.
package enum PVEVersion {
    package static let supported = [8, 9]

    /// `8.4.1` is 8. A text without a version counts as the newest.
    package static func major(of version: String) -> Int {
        version.split(separator: ".").first.flatMap { Int($0) } ?? supported.last ?? 9
    }
}
