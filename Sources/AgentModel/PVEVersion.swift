/// Which versions of PVE there are, as far as it matters.
package enum PVEVersion {
    package static let supported = [8, 9]

    /// `8.4.1` is 8; what says nothing is taken for the newest.
    package static func major(of version: String) -> Int {
        version.split(separator: ".").first.flatMap { Int($0) } ?? supported.last ?? 9
    }
}
