/// A plan request that takes an action back.
package enum UndoRule: Sendable, Hashable {
    /// Nothing brings back what was.
    case none
    /// An action on the same target, or on another, with parameters of this request or of what was observed; `asleep`
    /// instead where this one wakes a machine that sleeps on disk, whose memory would be lost.
    case action(String, on: String? = nil, [Argument] = [], asleep: String? = nil)
    /// An action that wakes the node, where it can be woken.
    case wake(by: String)
    /// The same action with a parameter's word turned round; none for words that have no opposite.
    case opposite(String, [String: String])
    /// The same action with the configuration's old values.
    case config
    case tags
    case pending
    /// Back to where it was, with its disks.
    case migration
    /// The disk is attached again by the action, or by the configuration.
    case attach(by: String)
    case detach(by: String)
    /// The disk goes back to its storage.
    case moveBack
    /// The same edit the other way round, and what that does not bring back.
    case edit([EditGap] = [])
    case pool
    /// Deletes a guest that was not there before.
    case restored
    /// An action on the guests that were changed.
    case guests(String)

    package struct Argument: Sendable, Hashable {
        package enum Source: Sendable, Hashable {
            case parameter
            case observed(String)
            /// True where the guest has this status; else it is left out.
            case flag(ifStatus: String)
            case text(String)
        }
        package let name: String
        package let source: Source

        static func same(_ name: String) -> Self { Self(name: name, source: .parameter) }
        static func take(_ name: String, _ source: Source) -> Self { Self(name: name, source: source) }
    }
}

/// What an edit does besides, which its opposite does not take back.
package struct EditGap: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// The entries of a set.
        case entries
        /// The guest's places in rules of HA.
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
