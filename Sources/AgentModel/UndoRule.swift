/// How to make a plan request that undoes an action.
package enum UndoRule: Sendable, Hashable {
    /// The action cannot be undone.
    case none
    /// An action on the same target, or on another, with parameters from this request or from the observed state.
    /// `asleep` replaces it if this action wakes a machine that sleeps on disk, because its memory would be lost.
    case action(String, on: String? = nil, [Argument] = [], asleep: String? = nil)
    /// An action that wakes the node, if it can be woken.
    case wake(by: String)
    /// The same action with the opposite of a parameter's word; none for words that have no opposite.
    case opposite(String, [String: String])
    /// The same action with the configuration's old values.
    case config
    case tags
    case pending
    /// Moves the guest back to its node, with its disks.
    case migration
    /// Attaches the disk again, by the action or by the configuration.
    case attach(by: String)
    case detach(by: String)
    /// Moves the disk back to its storage.
    case moveBack
    /// The opposite edit, and what that does not restore.
    case edit([EditGap] = [])
    case pool
    /// Deletes a guest that did not exist before.
    case restored
    /// An action on the guests that were changed.
    case guests(String)

    package struct Argument: Sendable, Hashable {
        package enum Source: Sendable, Hashable {
            case parameter
            case observed(String)
            /// True if the guest has this status; otherwise the parameter is left out.
            case flag(ifStatus: String)
            case text(String)
        }
        package let name: String
        package let source: Source

        static func same(_ name: String) -> Self { Self(name: name, source: .parameter) }
        static func take(_ name: String, _ source: Source) -> Self { Self(name: name, source: source) }
    }
}

/// A side effect of an edit that the opposite edit does not undo.
package struct EditGap: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// The entries of a set.
        case entries
        /// The guest's entries in HA rules.
        case rules
        /// What HA starts or stops.
        case guestState
        /// A text of its own, under a key.
        case told(String, String)
    }

    package let kind: Kind
    package let when: Condition

    init(_ kind: Kind, when: Condition) {
        self.kind = kind
        self.when = when
    }
}
