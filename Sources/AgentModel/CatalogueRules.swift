/// Whether the target must exist before the action.
package enum Presence: Sendable, Hashable {
    case present, absent, either
}

/// A check that planning makes before it allows an action. The service implements it. A text is the name of a
/// parameter; if the request does not give that parameter, there is nothing to check.
package enum CheckKind: Sendable, Hashable {
    // The guest's state.
    /// It has no lock other than these.
    case unlocked(except: [String] = [])
    case notTemplate
    case unprotected
    /// It must be stopped.
    case stopped
    /// It must be running.
    case running
    case notPaused
    /// Whether it is running already. This is only a warning, because the action would have no effect.
    case notRunningYet
    /// Whether it is stopped already: a warning for virtual machines. PVE refuses it for containers.
    case notStoppedYet
    /// It must be paused, or asleep on disk.
    case paused
    case managedByHA
    /// The guest agent is enabled in its configuration.
    case agentEnabled
    /// It can be cloned into a guest that shares its disks.
    case linkedClone
    /// HA does not manage it, or the same call removes it from HA.
    case outOfHA
    /// No other guest's disks are based on its disks.
    case notLinked
    /// The existing guest may be replaced, or no guest exists.
    case replaceable

    // What the guest has.
    case snapshotExists(String)
    case snapshotIsNew(String)
    /// Its disks support snapshots.
    case snapshotsPossible
    case noSnapshots
    /// The parameter names one of its disks.
    case diskExists(String)
    case slotIsFree(String)
    /// The guest does not boot from it.
    case notRoot(String)
    case diskGrows
    /// The configuration has every key that the parameter lists.
    case keysExist(String)
    /// Every key that the parameter lists has a pending change.
    case keysPending(String)
    /// The storages that new disks name are active.
    case diskStorages
    /// Which changes take effect only when the guest is started again.
    case hotplug

    // Numbers, nodes and the cluster.
    /// No guest has the number given by the parameter, or by the target.
    case idIsFree(String?)
    /// The node is in the cluster, is online, and is not the guest's current node.
    case otherNode(String)
    /// The node that the parameter names, or the target, is online.
    case nodeOnline(String?)
    case nodeOffline
    /// The cluster keeps its quorum without the target.
    case quorateWithout
    /// Which guests run on the node.
    case guestsOnNode
    /// The result of PVE's own preconditions for a migration.
    case migration
    /// The selected guests exist.
    case guestsFit
    /// The same preconditions for each selected guest.
    case guestsMove
    /// The guest of a new replication job has volumes to replicate, and all of them are on storages that support it.
    case replicable
    /// No HA rule moves the guest away again from the node that the parameter names.
    case ruleAllows(String)
    /// An HA rule names guests and nodes that HA has, and is meaningful.
    case ruleFits

    // Storage.
    /// The storage given by the parameter, or by the target, is active where it is needed and accepts the content.
    case storageActive(String, content: String?)
    /// No guest has a disk on the storage whose definition is deleted.
    case storageUnused
    /// The volume that the parameter names is on the target's storage.
    case volumeExists(String, isBackup: Bool)
    case volumeUnprotected(String)
    /// No other guest's configuration names the volume.
    case volumeUnused(String)
    /// The volume that the parameter names, on another storage, exists.
    case volumeIsThere(String)
    /// The storage's retention rule leaves room for another backup.
    case backupRoom
    /// No volume has the name yet.
    case volumeIsNew
    /// The archive exists and is of the target's kind.
    case archive(String)

    // Objects, and the agent's own settings.
    /// An object that is deleted has no references. For a change, the check only reports the references.
    case unreferenced([Reference])
    /// The object that the parameter names exists at this path.
    case present(String, at: String)
    /// Pending changes that others made in these lists take effect with the request.
    case carriesAlong([PendingList])
    /// The object exists, or does not exist, as the operation requires.
    case objectFits
    /// The pool that a new guest joins exists.
    case poolExists
    /// A pool, a set or a group that is deleted is empty.
    case emptied
    /// The service may be stopped.
    case dispensable
    /// Members of a pool that join or leave.
    case members
    case commandAllowed
    case downloadAllowed
}

/// Where PVE refers to an object. The path is filled like a call's path.
package enum Reference: Sendable, Hashable {
    /// The rows of a list in which a field has the value, or all where none is given; and the field with a row's own name.
    case rows(String, where: String? = nil, is: String = "", name: String)
    /// The network devices of guests that use it as their bridge.
    case networkDevices(String)
}

/// A list whose rows, with `pending=1`, show what is changed and not in force yet.
package struct PendingList: Sendable, Hashable {
    package let path: String
    /// The field with a row's own name.
    package let name: String
    /// Below each row, and the name of its rows.
    package let part: String?
    package let partName: String

    init(_ path: String, name: String, part: String? = nil, partName: String = "") {
        self.path = path
        self.name = name
        self.part = part
        self.partName = partName
    }
}

/// What planning observes besides the named guests. It must not change until the plan is applied.
package enum ObjectRule: Sendable, Hashable {
    case none
    /// The object that the first call changes, or the list that it adds to.
    case call
    /// The answer to a read of this path, which is filled like a call's path.
    case at(String, fields: [String]? = nil)
    /// The row of a list in which a field has a value.
    case row(String, where: String, is: String, fields: [String])
    case pool
    /// An HA resource or rule.
    case ha
    /// What a retention rule marks for removal.
    case pruned
}

/// How to determine what would change.
package enum ChangeRule: Sendable, Hashable {
    case none
    /// The guest's status becomes this.
    case status(String)
    case restarted
    case suspended
    case resumed
    /// The target exists afterwards, or does not.
    case exists(Bool)
    case template
    case restored
    /// The guest moves to the node that the parameter names.
    case node(String)
    /// The snapshot that the parameter names exists afterwards, or does not.
    case snapshot(String, Bool)
    case rollback
    /// A guest with the number given by the parameter is created.
    case newGuest(String)
    /// The keys of the guest's configuration that the calls set.
    case config
    /// Pending changes that are dropped.
    case pending
    case size
    /// A disk's storage.
    case moved
    /// The keys of an object that the call sets.
    case object
    /// A pool's note and members.
    case pool
    /// A service's state.
    case service
    case nodeStatus(String)
    /// The status of every selected guest.
    case guestStatus(String)
    case guestNode(String)
    case pruned
    case downloaded
    case command
    /// The parameter's value under a key of its own. The present value is not known.
    case told(String, key: String)
}

/// What PVE's answer means for a call that starts no task, and what remains to wait for.
package enum AnswerRule: Sendable, Hashable {
    /// Nothing remains: the call is done.
    case final
    /// It is the number of a process in the guest. The call is done when that process has ended.
    case process
    /// It gives the result for each file system.
    case fileSystems
    /// It is the list of guests, which is passed on row by row.
    case guests
    /// It is a list, newest first. The parameter says how many rows to keep; `else` applies without the parameter.
    case newest(String, else: Int)
    /// PVE asked the HA manager, which works in tasks of this type. The call is done when the guest has arrived.
    case asked(String)
}

/// A privilege that PVE requires: one of several, on a path with placeholders like a call's.
package struct Privilege: Sendable, Hashable {
    package let path: String
    package let anyOf: [String]
    package let when: Condition
    /// The only major version of PVE that requires it; `nil` if all do.
    private let version: Int?

    init(_ path: String, _ anyOf: String..., when: Condition = .always, version: Int? = nil) {
        self.path = path
        self.anyOf = anyOf
        self.when = when
        self.version = version
    }

    /// Whether this major version of PVE requires it.
    package func isAsked(by major: Int) -> Bool { version.map { $0 == major } ?? true }
}

/// Raises the risk of an action because of what it touches.
package struct RiskEscalation: Sendable, Hashable {
    /// Named in decisions as `base:ID`.
    package let id: String
    /// One of these parameters, or families, is given…
    package let parameters: [String]
    /// …with such a value…
    package let value: ValueTest
    /// …and this holds.
    package let when: Condition
    /// What must be true of the target's present state. Planning checks it.
    package let live: LiveTest?
    package let risk: Risk
    package let needsApproval: Bool
    package let reason: String
    /// An action that the request amounts to as well, if a ``live`` rule holds.
    package let equivalent: Action?

    /// Which values of the parameters count.
    package enum ValueTest: String, Sendable, Hashable {
        case any
        /// An existing disk, or a copy of one: not a new disk, an empty drive or an installation image.
        case existingDisk = "existing_disk"
        /// Not a container template.
        case noTemplate = "no_template"
        case off
        /// Off, or not given.
        case notOn = "not_on"
        /// A device backed by one of the node's: its graphics card, its random number source.
        case hostDevice = "host_device"
    }

    /// What planning determines about the target.
    package enum LiveTest: String, Sendable, Hashable {
        /// A network device would lose the firewall that it, or another network device of the guest, has.
        case dropsFirewall = "drops_firewall"
        /// The guest has access to its node, or is a privileged container, and so would a copy.
        case copiesHost = "copies_host"
    }

    init(
        _ id: String, _ parameters: [String] = [], value: ValueTest = .any, when: Condition = .always,
        live: LiveTest? = nil, risk: Risk = .high, approval: Bool = true, because reason: String,
        also equivalent: Action? = nil
    ) {
        self.id = id
        self.parameters = parameters
        self.value = value
        self.when = when
        self.live = live
        self.risk = risk
        needsApproval = approval
        self.reason = reason
        self.equivalent = equivalent
    }
}
