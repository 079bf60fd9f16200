/// A call of a catalogue entry, filled in from the target and the parameters.
///
/// In `path` and in fixed values `{node}`, `{vmid}`, `{storage}`, `{pool}`, `{upid}`, `{sid}` (`vm:101`) and `{kind}`
/// come from the target and from where the guest is, `{firewall}` is the target's part of the firewall, and any other
/// `{name}` is the parameter of that name.
package struct CallTemplate: Sendable, Hashable {
    /// A parameter of the call that is computed from more than one parameter of the request.
    package enum Computed: Sendable, Hashable {
        /// The guest's current tags without those in `remove`, plus those in `add`.
        case tags
        /// The slot that `disk` names, with the value that `volume`, `storage`, `size`, `path` and `options` give.
        case disk
        /// The numbers of the selected guests, as a list in one text.
        case guests
        /// The same numbers, each as a separate value.
        case guestList
    }

    package let method: CallMethod
    package let path: String
    /// When this call is made.
    package let when: Condition
    /// The types of PVE task, one of which the call starts; none for a call that is done when PVE answers.
    package let tasks: [String]
    /// The id within the task's UPID; `nil` if it cannot be known beforehand.
    package let taskID: String?
    /// Parameters that the request does not give, or gives in another form. The request's parameter of the same name
    /// wins.
    package let fixed: [Fixed]
    /// The request's parameters that the call passes on; `nil` for all that neither the path nor ``fixed`` takes. What only
    /// the agent reads is never passed on. A call whose ``when`` does not hold passes none.
    package let forwards: [String]?
    /// Parameters that have another name in PVE.
    package let renames: [String: String]
    package let computed: [Computed]
    /// When the node must write to the cluster's file system, which takes a majority of the votes; `nil` for never.
    package let quorum: Condition?
    /// PVE replaces everything that was there with what the call gives.
    package let replaces: Bool
    /// PVE compares the object's digest with the observed one.
    package let digest: Bool
    /// The name of this call's answer in a read that makes several calls.
    package let name: String?
    /// The fields of the observed state that the call itself changes. Only these may differ before the next call.
    package let expectedDrift: [String]
    /// True for a call made only where PVE has its own bulk actions (9 and later), false for one made only where it has
    /// none; `nil` for both.
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

    /// A call that reads and starts no task.
    static func get(
        _ path: String, when: Condition = .always, fixed: KeyValuePairs<String, String> = [:],
        forwards: [String]? = nil, name: String? = nil
    ) -> Self {
        Self(.get, path, when: when, tasks: [], fixed: fixed, forwards: forwards, name: name)
    }

    /// The names in braces in the path.
    package var placeholders: [String] {
        path.split(separator: "{").compactMap { part in part.firstIndex(of: "}").map { String(part[..<$0]) } }
    }
}
