/// A call of a catalogue entry, to be filled from the target and the parameters.
///
/// In `path` and in fixed values `{node}`, `{vmid}`, `{storage}`, `{pool}`, `{upid}`, `{sid}` (`vm:101`) and `{kind}`
/// come from the target and from where the guest is, `{firewall}` is the target's part of the firewall, and any other
/// `{name}` is the parameter of that name.
package struct CallTemplate: Sendable, Hashable {
    /// A parameter of the call that follows from more than one of the request.
    package enum Computed: Sendable, Hashable {
        /// The guest's tags, less those in `remove`, and those in `add`.
        case tags
        /// The slot that `disk` names, with what `volume`, `storage`, `size`, `path` and `options` make of it.
        case disk
        /// The numbers of the guests that are meant, as a list in one text.
        case guests
        /// The same, each as a value of its own.
        case guestList
    }

    package let method: CallMethod
    package let path: String
    /// Where this call is made.
    package let when: Condition
    /// PVE's types of task, one of which the call starts; none for a call that is done when it is answered.
    package let tasks: [String]
    /// What the task's id holds between its colons; `nil` where that cannot be told beforehand.
    package let taskID: String?
    /// Parameters that the request does not give, or not as they are; one of the same name in the request wins.
    package let fixed: [Fixed]
    /// The request's parameters that are passed on, or all that are not its own; `when`s that do not hold pass none.
    package let forwards: [String]?
    /// Parameters whose name at PVE is another.
    package let renames: [String: String]
    package let computed: [Computed]
    /// Where the node writes to the cluster's file system for it, which takes a majority of the votes; `nil` for nowhere.
    package let quorum: Condition?
    /// PVE puts what is given in the place of all that was there.
    package let replaces: Bool
    /// PVE compares the object's digest with the one that was observed.
    package let digest: Bool
    /// Under which name a read that makes several calls answers this one.
    package let name: String?
    /// The fields of the observed state that the call itself moves; only these may differ before the next one.
    package let expectedDrift: [String]
    /// Made only where PVE has actions on many guests of its own (9 and later), or only where it has none; `nil` for both.
    package let bulk: Bool?

    package struct Fixed: Sendable, Hashable {
        package let name: String
        package let value: String
    }

    init(
        _ method: CallMethod, _ path: String, when: Condition = .always, tasks: [String], id: String? = nil,
        fixed: KeyValuePairs<String, String> = [:], forwards: [String]? = nil, renames: [String: String] = [:],
        computed: [Computed] = [], quorum: Condition? = .always, replaces: Bool = false, digest: Bool = false,
        name: String? = nil, expectedDrift: [String] = [],
        bulk: Bool? = nil
    ) {
        self.method = method
        self.path = path
        self.when = when
        self.tasks = tasks
        taskID = id
        self.fixed = fixed.map { Fixed(name: $0.key, value: $0.value) }
        self.forwards = forwards
        self.renames = renames
        self.computed = computed
        self.quorum = quorum
        self.replaces = replaces
        self.digest = digest
        self.name = name
        self.expectedDrift = expectedDrift
        self.bulk = bulk
    }

    /// One that reads, and starts no task.
    static func get(
        _ path: String, when: Condition = .always, fixed: KeyValuePairs<String, String> = [:],
        forwards: [String]? = nil, name: String? = nil
    ) -> Self {
        Self(.get, path, when: when, tasks: [], fixed: fixed, forwards: forwards, name: name)
    }

    /// The names that stand in braces in the path.
    package var placeholders: [String] {
        path.split(separator: "{").compactMap { part in part.firstIndex(of: "}").map { String(part[..<$0]) } }
    }
}
