/// A guest, volume, storage, pool or node that a request reaches, and what it is to the request.
package struct Subject: Sendable, Hashable {
    package enum Role: String, Sendable, Hashable, CaseIterable {
        /// What the request names as its target.
        case target
        /// Where data or an identity comes from: the owner of a volume or of an archive.
        case source
        /// One of several that the request is about, such as the guests of a bulk action or of a pool.
        case member
        /// What the request changes beside that, such as the guests on a node that goes down.
        case affected
    }

    package let role: Role
    /// `vm/101`, `storage/local`, `volume/local-lvm:vm-101-disk-0`: as decisions and previews show it.
    package let name: String
    /// Other names that rules may mean it by: the pools that a guest is in, the guest of a firewall.
    package var aliases: [String]
    /// A guest's tags in lower case; of a guest that is yet to be made, those that it gets.
    package var tags: Set<String>

    package init(_ role: Role, _ name: String, aliases: [String] = [], tags: Set<String> = []) {
        self.role = role
        self.name = name
        self.aliases = aliases
        self.tags = tags
    }

    /// The target by its names alone, for what is decided without looking at PVE.
    package init(_ target: Target) {
        self.init(.target, target.description, aliases: target.subjectAliases)
    }

    /// Every name that the pattern of a rule is held against.
    package var names: [String] { [name] + aliases }
}

/// What policy judges beside the request itself, as planning saw it.
package struct Reach: Sendable, Hashable {
    /// The target first; each name once.
    package private(set) var subjects: [Subject]
    /// Ids of the touch rules that hold because of the target as it is now.
    package var liveEscalations: [String]
    /// Tags and pools that guests lose, `tag/web` and `pool/prod`.
    package var losses: [String]

    package init(subjects: [Subject] = [], liveEscalations: [String] = [], losses: [String] = []) {
        self.subjects = subjects
        self.liveEscalations = liveEscalations
        self.losses = losses
    }

    /// Of a request that nothing is known of but its target.
    package init(_ target: Target) { self.init(subjects: [Subject(target)]) }

    /// Adds a subject whose name is new.
    package mutating func append(_ subject: Subject) { subjects.append(subject) }

    /// Gives the subject at `index` the aliases and tags of the other as well.
    package mutating func merge(_ subject: Subject, at index: Int) {
        subjects[index].tags.formUnion(subject.tags)
        for alias in subject.aliases where !subjects[index].aliases.contains(alias) {
            subjects[index].aliases.append(alias)
        }
    }
}

extension Target {
    /// What rules call the same thing as well.
    package var subjectAliases: [String] {
        if case .firewall(.guest(let guest)) = self { return [guest.description] }
        if case .firewall(.node(let node)) = self { return ["node/\(node)"] }
        return []
    }
}

extension PoolName {
    /// The pool and those that it is nested in, as rules name them: `pool/a/b`, `pool/a`.
    package var subjectNames: [String] {
        let parts = description.split(separator: "/")
        return (1...max(1, parts.count)).reversed().map { "pool/" + parts.prefix($0).joined(separator: "/") }
    }
}
