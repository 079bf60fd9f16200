package import FoundationEssentials

/// A guest, volume, storage, pool or node that a request reaches, and its role in the request.
package struct Subject: Sendable, Hashable {
    package enum Role: String, Sendable, Hashable, CaseIterable {
        /// The request's target.
        case target
        /// The source of data or of an identity: the owner of a volume or of an archive.
        case source
        /// One of several that the request is about, such as the guests of a bulk action or of a pool.
        case member
        /// Something else that the request changes, such as the guests on a node that shuts down.
        case affected
    }

    package let role: Role
    /// `vm/101`, `storage/local`, `volume/local-lvm:vm-101-disk-0`: as decisions and previews show it.
    package let name: String
    /// Other names by which rules may refer to it: the pools of a guest, the guest of a firewall.
    package var aliases: [String]
    /// A guest's tags in lower case; for a guest that does not exist yet, the tags that it will have.
    package var tags: Set<String>
    /// A guest's own name, and the one that it gets; empty where it is not known.
    package var guestNames: [String]
    /// The node that a guest is on.
    package var node: NodeName?

    package init(
        _ role: Role, _ name: String, aliases: [String] = [], tags: Set<String> = [], guestNames: [String] = [],
        node: NodeName? = nil
    ) {
        self.role = role
        self.name = name
        self.aliases = aliases
        self.tags = tags
        self.guestNames = guestNames
        self.node = node
    }

    /// The target with only its names, for decisions made without reading from PVE.
    package init(_ target: Target) {
        self.init(.target, target.description, aliases: target.subjectAliases)
    }

    /// Every name that a rule's pattern is matched against.
    package var names: [String] { [name] + aliases }
}

/// What the policy judges besides the request itself, as planning observed it.
package struct Reach: Sendable, Hashable {
    /// The target first, and each name once.
    package private(set) var subjects: [Subject]
    /// Ids of the touch rules that hold because of the target's present state.
    package var liveEscalations: [String]
    /// Tags, pools and names that guests lose: `tag/web`, `pool/prod`, `name/db`.
    package var losses: [String]
    /// The same that they gain.
    package var gains: [String]
    /// The size of the volumes and archives that are destroyed, in bytes; the largest number where it is not known.
    package var destroyedBytes: Int64
    /// When the newest backup of a guest was made, by the guest's name as a subject. Only where policy asked for it.
    package var backups: [String: Date]

    package init(
        subjects: [Subject] = [], liveEscalations: [String] = [], losses: [String] = [], gains: [String] = [],
        destroyedBytes: Int64 = 0, backups: [String: Date] = [:]
    ) {
        self.subjects = subjects
        self.liveEscalations = liveEscalations
        self.losses = losses
        self.gains = gains
        self.destroyedBytes = destroyedBytes
        self.backups = backups
    }

    /// For a request of which only the target is known.
    package init(_ target: Target) { self.init(subjects: [Subject(target)]) }

    /// Adds a subject unless its name is already present.
    package mutating func append(_ subject: Subject) { subjects.append(subject) }

    /// Adds what is known of the other subject to the subject at `index`.
    package mutating func merge(_ subject: Subject, at index: Int) {
        subjects[index].tags.formUnion(subject.tags)
        for name in subject.guestNames where !subjects[index].guestNames.contains(name) {
            subjects[index].guestNames.append(name)
        }
        subjects[index].node = subjects[index].node ?? subject.node
        for alias in subject.aliases where !subjects[index].aliases.contains(alias) {
            subjects[index].aliases.append(alias)
        }
    }
}

extension Target {
    /// Other names by which rules refer to the same thing.
    package var subjectAliases: [String] {
        if case .firewall(.guest(let guest)) = self { return [guest.description] }
        if case .firewall(.node(let node)) = self { return ["node/\(node)"] }
        return []
    }
}

extension PoolName {
    /// The pool and its parent pools, as rules name them: `pool/a/b`, `pool/a`.
    package var subjectNames: [String] {
        let parts = description.split(separator: "/")
        return (1...max(1, parts.count)).reversed().map { "pool/" + parts.prefix($0).joined(separator: "/") }
    }
}
