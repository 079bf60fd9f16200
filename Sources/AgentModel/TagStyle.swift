package import StrictJSON

/// How a cluster writes the tags of its guests: `tag-style` of its options.
package struct TagStyle: Sendable, Hashable {
    /// `Prod` and `prod` are two tags. Otherwise PVE writes all tags in lower case.
    package var isCaseSensitive = false
    /// Tags keep the order in which they are given. Otherwise PVE sorts them.
    package var keepsOrder = false

    package init() {}

    /// The value of `tag-style` as in `GET /cluster/options`: already split, or one text.
    package init(shownByPVE shown: JSON?) {
        var fields = shown?.object ?? [:]
        for part in (shown?.string ?? "").split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1).map(String.init)
            if pair.count == 2 { fields[pair[0]] = .string(pair[1]) }
        }
        isCaseSensitive = fields["case-sensitive"]?.flag == true
        keepsOrder = fields["ordering"] == "config"
    }

    /// The tags in a text, as written.
    package static func list(_ text: String) -> [String] {
        text.split(whereSeparator: { ";, ".contains($0) }).map(String.init)
    }

    /// The form in which PVE compares tags.
    package func name(of tag: String) -> String { isCaseSensitive ? tag : tag.lowercased() }

    /// The tags as PVE writes them into a configuration.
    package func written(_ tags: [String]) -> [String] {
        let names = tags.map(name)
        var seen: Set<String> = []
        return (keepsOrder ? names : names.sorted()).filter { seen.insert($0).inserted }
    }

    /// `tags` without those in `removed`, plus those in `added` that are missing. Tags that are kept keep their order
    /// and spelling.
    package func tags(_ tags: [String], adding added: [String], removing removed: [String]) -> [String] {
        let gone = Set(removed.map(name))
        var seen: Set<String> = []
        return (tags.filter { !gone.contains(name(of: $0)) } + added).filter { seen.insert(name(of: $0)).inserted }
    }
}
