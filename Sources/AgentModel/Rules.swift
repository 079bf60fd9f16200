/// Something that planning looks at before it allows an action; the service knows how.
package enum CheckKind: Sendable, Hashable {
    /// No lock but these.
    case unlocked(except: [String] = [])
    case notTemplate
    case unprotected
    /// It must be stopped.
    case stopped
    /// Whether it runs already; only a warning, for nothing would happen.
    case notRunningYet
    /// Whether it is stopped already: a warning for machines; PVE refuses to stop a stopped container.
    case notStoppedYet
    case snapshotIsNew(String)
    /// No guest has the number that the parameter gives, or the target; no other live plan is to take it.
    case idIsFree(String?)
    /// The node is one of the cluster, online, and not where the guest is.
    case otherNode(String)
    /// What PVE's own preconditions for a migration say.
    case migration
    /// The object is there, or is not, as the operation needs.
    case objectFits
}

/// What is looked at besides the guests that are named, and must not move until the plan is applied.
package enum ObjectRule: Sendable, Hashable {
    case none
    /// The object that the first call changes, or the list that it adds to.
    case call
}

/// How to tell what would be different.
package enum ChangeRule: Sendable, Hashable {
    case none
    /// The guest's status becomes this.
    case status(String)
    /// The target is there afterwards, or is not.
    case exists(Bool)
    /// The guest moves to the node that the parameter names.
    case node(String)
    /// The snapshot that the parameter names is there afterwards, or is not.
    case snapshot(String, Bool)
    /// A guest of the number that the parameter gives comes to be.
    case newGuest(String)
    /// The parameters are keys of an object.
    case object
}

/// A plan request that takes an action back.
package enum UndoRule: Sendable, Hashable {
    /// Nothing brings back what was.
    case none
    /// An action on the same target.
    case action(String)
}

/// What parameters must be to each other; each broken one is an issue with a pointer.
package enum ParameterRule: Sendable, Hashable {
    /// At most one of them.
    case notTogether(String, String)
    /// None without the other.
    case needs(String, String)
    case atLeastOne([String])
    /// No key is set and in this list as well.
    case notSetAndListed(String)
    /// The disk is one that the target's kind of guest can have.
    case diskOfKind(String)
    /// Nothing is in both lists.
    case disjoint(String, String)
}

/// A privilege that PVE asks for: one of several, on a path with places as in a call's.
package struct Privilege: Sendable, Hashable {
    package let path: String
    package let anyOf: [String]
    package let when: Condition

    init(_ path: String, _ anyOf: String..., when: Condition = .always) {
        self.path = path
        self.anyOf = anyOf
        self.when = when
    }
}

/// Makes an action riskier by what it touches.
package struct TouchRule: Sendable, Hashable {
    /// Named in decisions as `base:ID`.
    package let id: String
    /// One of these parameters, or families, is given…
    package let parameters: [String]
    /// …and this holds.
    package let when: Condition
    package let risk: Risk
    package let needsApproval: Bool
    package let reason: String

    init(
        _ id: String, _ parameters: [String] = [], when: Condition = .always, risk: Risk = .high,
        approval: Bool = true, because reason: String
    ) {
        self.id = id
        self.parameters = parameters
        self.when = when
        self.risk = risk
        needsApproval = approval
        self.reason = reason
    }
}
