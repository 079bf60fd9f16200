/// Whether the target is there before the action.
package enum Presence: Sendable, Hashable {
    case present, absent, either
}

/// Something that planning looks at before it allows an action; the service knows how. A text is the name of a
/// parameter; where the request does not give that, there is nothing to check.
package enum CheckKind: Sendable, Hashable {
    // The guest as it is.
    /// No lock but these.
    case unlocked(except: [String] = [])
    case notTemplate
    case unprotected
    /// It must be stopped.
    case stopped
    /// It must run.
    case running
    case notPaused
    /// Whether it runs already; only a warning, for nothing would happen.
    case notRunningYet
    /// Whether it is stopped already: a warning for machines; PVE refuses it for containers.
    case notStoppedYet
    /// It must be paused, or asleep on disk.
    case paused
    case managedByHA
    /// The guest agent is enabled in its configuration.
    case agentEnabled
    /// A copy that shares its source's disks can be made of it.
    case linkedClone
    /// HA does not manage it, or forgets it with the same call.
    case outOfHA
    /// No other guest's disks are built on its own.
    case notLinked
    /// A guest that is there may be replaced, or there is none.
    case replaceable

    // What the guest has.
    case snapshotExists(String)
    case snapshotIsNew(String)
    /// Its disks can be snapshot at all.
    case snapshotsPossible
    case noSnapshots
    /// The parameter names a disk that it has.
    case diskExists(String)
    case slotIsFree(String)
    /// It is not what the guest starts from.
    case notRoot(String)
    case diskGrows
    /// What the parameter lists is in the configuration.
    case keysExist(String)
    /// What the parameter lists has a change that is pending.
    case keysPending(String)
    /// The storages that new disks name are active.
    case diskStorages
    /// What takes effect only when the guest is started again.
    case hotplug

    // Numbers, nodes and the cluster.
    /// No guest has the number that the parameter gives, or the target.
    case idIsFree(String?)
    /// The node is one of the cluster, online, and not where the guest is.
    case otherNode(String)
    /// The node that the parameter names, or the target, is online.
    case nodeOnline(String?)
    case nodeOffline
    /// The cluster keeps its quorum without the target.
    case quorateWithout
    /// Which guests run on the node.
    case guestsOnNode
    /// What PVE's own preconditions for a migration say.
    case migration
    /// The guests that are meant are there.
    case guestsFit
    /// The same preconditions for each guest that is meant.
    case guestsMove
    /// A job of replication that is added has volumes to replicate, all of them on storages that can.
    case replicable
    /// No rule of HA moves the guest away again from the node that the parameter names.
    case ruleAllows(String)
    /// A rule of HA is about guests and nodes that HA has, and means something.
    case ruleFits

    // Storage.
    /// The storage that the parameter names, or the target, is active where it is needed, and takes the content.
    case storageActive(String, content: String?)
    /// No guest's disk is on the storage, when its definition goes.
    case storageUnused
    /// The volume that the parameter names is on the target's storage.
    case volumeExists(String, isBackup: Bool)
    case volumeUnprotected(String)
    /// No other guest's configuration names the volume.
    case volumeUnused(String)
    /// A volume of another storage that the parameter names is there.
    case volumeIsThere(String)
    /// What the storage's rule keeps leaves room for another backup.
    case backupRoom
    /// No volume has the name yet.
    case volumeIsNew
    /// The archive is there, and of the target's kind.
    case archive(String)

    // Objects, and the agent's own settings.
    /// Nothing names the object when it goes; whoever does is told of where it changes.
    case unreferenced([Reference])
    /// What the parameter names is there, at this path.
    case present(String, at: String)
    /// What others have changed in these lists and not applied goes into force with the request.
    case carriesAlong([PendingList])
    /// The object is there, or is not, as the operation needs.
    case objectFits
    /// The pool that a new guest goes to is there.
    case poolExists
    /// A pool, a set or a group that goes has nothing in it any more.
    case emptied
    /// The service may be stopped.
    case dispensable
    /// Members of a pool that join or leave.
    case members
    case commandAllowed
    case downloadAllowed
}

/// Where PVE names an object, filled as that of a call.
package enum Reference: Sendable, Hashable {
    /// The rows of a list in which a field has the value, or all where none is given; and the field with a row's own name.
    case rows(String, where: String? = nil, is: String = "", name: String)
    /// The network devices of guests whose bridge it is.
    case networkDevices(String)
}

/// A list whose rows tell, with `pending=1`, what is changed and not in force.
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

/// What is looked at besides the guests that are named, and must not move until the plan is applied.
package enum ObjectRule: Sendable, Hashable {
    case none
    /// The object that the first call changes, or the list that it adds to.
    case call
    /// What is read from a path, filled as that of a call.
    case at(String, fields: [String]? = nil)
    /// The row of a list in which a field has a value.
    case row(String, where: String, is: String, fields: [String])
    case pool
    /// A resource or a rule of HA.
    case ha
    /// What a rule of retention marks for removal.
    case pruned
}

/// How to tell what would be different.
package enum ChangeRule: Sendable, Hashable {
    case none
    /// The guest's status becomes this.
    case status(String)
    case restarted
    case suspended
    case resumed
    /// The target is there afterwards, or is not.
    case exists(Bool)
    case template
    case restored
    /// The guest moves to the node that the parameter names.
    case node(String)
    /// The snapshot that the parameter names is there afterwards, or is not.
    case snapshot(String, Bool)
    case rollback
    /// A guest of the number that the parameter gives comes to be.
    case newGuest(String)
    /// The keys of the guest's configuration that the calls set.
    case config
    /// Pending changes that go.
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
    /// The status of every guest that is meant.
    case guestStatus(String)
    case guestNode(String)
    case pruned
    case downloaded
    case command
    /// The parameter's value under a key of its own; what it is now is not known.
    case told(String, key: String)
}

/// What PVE's answer to the call is, and leaves open, where that starts no task.
package enum AnswerRule: Sendable, Hashable {
    /// Nothing: it is done.
    case final
    /// It is the number of a process in the guest, and the call is done when that has ended.
    case process
    /// It says of each file system what became of it.
    case fileSystems
    /// It is the list of guests, which is passed on row by row.
    case guests
    /// It is a list, newest first, of which as many are wanted as the parameter says, else so many.
    case newest(String, else: Int)
    /// The HA manager was asked, for what it does in tasks of this type; the call is done when the guest is there.
    case asked(String)
}

/// A privilege that PVE asks for: one of several, on a path with places as in a call's.
package struct Privilege: Sendable, Hashable {
    package let path: String
    package let anyOf: [String]
    package let when: Condition
    /// The one major version of PVE that asks for it; `nil` where all do.
    private let version: Int?

    init(_ path: String, _ anyOf: String..., when: Condition = .always, version: Int? = nil) {
        self.path = path
        self.anyOf = anyOf
        self.when = when
        self.version = version
    }

    /// Whether a PVE of this major version asks for it.
    package func isAsked(by major: Int) -> Bool { version.map { $0 == major } ?? true }
}

/// Makes an action riskier by what it touches.
package struct RiskEscalation: Sendable, Hashable {
    /// Named in decisions as `base:ID`.
    package let id: String
    /// One of these parameters, or families, is given…
    package let parameters: [String]
    /// …with such a value…
    package let value: ValueTest
    /// …and this holds.
    package let when: Condition
    /// What must be true of the target as it is, which planning looks at.
    package let live: LiveTest?
    package let risk: Risk
    package let needsApproval: Bool
    package let reason: String
    /// An action that the request does as well where a ``live`` rule holds.
    package let equivalent: Action?

    /// Which values of the parameters count.
    package enum ValueTest: String, Sendable, Hashable {
        case any
        /// A disk that is there, or a copy of one: no new one, no empty drive, no image to install from.
        case existingDisk = "existing_disk"
        /// No template of containers.
        case noTemplate = "no_template"
        case off
        /// Off, or not given.
        case notOn = "not_on"
        /// A device that works with the node's: its graphics card, its source of random numbers.
        case hostDevice = "host_device"
    }

    /// What planning finds out about the target.
    package enum LiveTest: String, Sendable, Hashable {
        /// A network device would be without the firewall that it, or another of the guest's, has.
        case dropsFirewall = "drops_firewall"
        /// The guest reaches into its node, or is a privileged container, and a copy would as well.
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
