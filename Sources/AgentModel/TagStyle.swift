package import StrictJSON

/// How a cluster writes the tags of its guests: `tag-style` of its options.
package struct TagStyle: Sendable, Hashable {
    /// `Prod` and `prod` are two tags; without, PVE writes all in lower case.
    package var isCaseSensitive = false
    /// They stay in the order in which they are given; without, PVE sorts them.
    package var keepsOrder = false

    package init() {}

    /// The value of `tag-style` as `GET /cluster/options` has it: taken apart, or in one text.
    package init(shownByPVE shown: JSON?) {
        var fields = shown?.object ?? [:]
        for part in (shown?.string ?? "").split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1).map(String.init)
            if pair.count == 2 { fields[pair[0]] = .string(pair[1]) }
        }
        isCaseSensitive = fields["case-sensitive"]?.flag == true
        keepsOrder = fields["ordering"] == "config"
    }

    /// The tags of a text, as they stand there.
    package static func list(_ text: String) -> [String] {
        text.split(whereSeparator: { ";, ".contains($0) }).map(String.init)
    }

    /// What is the same for PVE.
    package func name(of tag: String) -> String { isCaseSensitive ? tag : tag.lowercased() }

    /// The tags as PVE writes them into a configuration.
    package func written(_ tags: [String]) -> [String] {
        let names = tags.map(name)
        var seen: Set<String> = []
        return (keepsOrder ? names : names.sorted()).filter { seen.insert($0).inserted }
    }

    /// `tags` without those in `removed`, and with those in `added` that are not there: in the order and the spelling that
    /// they have.
    package func tags(_ tags: [String], adding added: [String], removing removed: [String]) -> [String] {
        let gone = Set(removed.map(name))
        var seen: Set<String> = []
        return (tags.filter { !gone.contains(name(of: $0)) } + added).filter { seen.insert(name(of: $0)).inserted }
    }
}
