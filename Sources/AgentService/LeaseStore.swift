package import AgentModel
package import FoundationEssentials

/// The right of one process to carry out operations in one environment, from the moment that it acquired it until
/// another process does.
package struct Lease: Sendable, Hashable {
    package let environment: EnvironmentName
    /// The process: an id that is new at each start.
    package let holder: String
    /// Counts the acquisitions of this environment.
    package let epoch: Int64

    package init(environment: EnvironmentName, holder: String, epoch: Int64) {
        self.environment = environment
        self.holder = holder
        self.epoch = epoch
    }
}

/// A lease, as its row was when it was acquired.
package struct AcquiredLease: Sendable, Hashable {
    package let lease: Lease
    /// How many freezes of the environment have been stored.
    package let freezes: Int64
    /// The number of renewals before.
    package let renewals: Int64
    /// Whether nobody had it: its last holder gave it back, or there was none.
    package let wasFree: Bool

    package init(lease: Lease, freezes: Int64, renewals: Int64, wasFree: Bool) {
        self.lease = lease
        self.freezes = freezes
        self.renewals = renewals
        self.wasFree = wasFree
    }
}

/// An environment's row, as all agents see it.
package struct LeaseRow: Sendable, Hashable {
    package let environment: EnvironmentName
    /// `nil` while nobody has it.
    package let holder: String?
    /// The name of the holder's agent.
    package let agent: String?
    package let epoch: Int64
    /// One more with each acquisition and renewal.
    package let renewals: Int64
    /// How many freezes of it have been stored, and how many of them the holder's gate honours.
    package let freezes: Int64
    package let honoured: Int64
    /// Whether it is free, or no longer valid by the database's clock.
    package let isToBeHad: Bool

    package init(
        environment: EnvironmentName, holder: String?, agent: String?, epoch: Int64, renewals: Int64, freezes: Int64,
        honoured: Int64, isToBeHad: Bool
    ) {
        self.environment = environment
        self.holder = holder
        self.agent = agent
        self.epoch = epoch
        self.renewals = renewals
        self.freezes = freezes
        self.honoured = honoured
        self.isToBeHad = isToBeHad
    }
}

/// An agent on the shared state, as it says of itself.
package struct AgentRow: Sendable, Hashable {
    package let name: String
    /// Its process, as in ``Lease/holder``.
    package let process: String
    package let version: String
    package let startedAt: Date
    /// The hash of what all agents must agree on; empty while the agent can carry out nothing: then the others share
    /// the environments without it.
    package let configuration: String
    /// How long ago it said so, by the database's clock, in seconds. Not stored.
    package var age: Double
    /// Whether somebody asked it to give its environments back. Set by ``LeaseStore/drain(_:_:)`` alone.
    package var isDraining: Bool

    package init(
        name: String, process: String, version: String, startedAt: Date, configuration: String, age: Double = 0,
        isDraining: Bool = false
    ) {
        self.name = name
        self.process = process
        self.version = version
        self.startedAt = startedAt
        self.configuration = configuration
        self.age = age
        self.isDraining = isDraining
    }
}

extension AgentRow {
    /// The same while it can carry out nothing.
    var unable: AgentRow {
        AgentRow(name: name, process: process, version: version, startedAt: startedAt, configuration: "")
    }
}

/// What one caller took of one of its rate budgets.
package struct Spending: Sendable, Hashable {
    /// The budget's name.
    package let budget: String
    /// Whether ``party`` is a principal's id; else it is an address.
    package let isPrincipal: Bool
    package let party: String
    /// 0 or more.
    package let tokens: Int

    package init(budget: String, isPrincipal: Bool, party: String, tokens: Int) {
        self.budget = budget
        self.isPrincipal = isPrincipal
        self.party = party
        self.tokens = tokens
    }
}

/// Rate budgets that hold over several agents: each tells the others what was taken from its own.
package protocol SharedBudgets: Sendable {
    /// What callers took here and the others have not been told; the most of it, if it is much.
    var spent: [Spending] { get }
    /// Notes that the others have been told that.
    func told(_ spent: [Spending])
    /// Counts what a caller took elsewhere, even if it had less left.
    func charge(_ spending: Spending)
}

/// What another agent has stored meanwhile, or tells.
package enum StoreSignal: Sendable, Hashable {
    case operation(RecordID)
    case freezes
    case leases
    /// There are new records in the history.
    case history
    /// How far a task is that another agent follows; `nil` once it follows it no longer.
    case progress(RecordID, Progress?)
    /// What a caller took of its budgets at another agent.
    case spent(Spending)
    /// Signals may have been missed: look at everything.
    case everything
}

/// The port to what several agents on one state share. Calls have a connection of their own, and end within seconds.
package protocol LeaseStore: Sendable {
    /// Makes the missing rows, free.
    func prepare(_ environments: [EnvironmentName]) async throws(StoreError)
    /// Takes the row if it is free or no longer valid; `nil` if somebody has it. Signals that.
    func acquire(
        _ environment: EnvironmentName, holder: String, agent: String
    ) async throws(StoreError) -> AcquiredLease?
    /// Makes it valid for ``LeaseKeeper/validity`` from now on, even if that is over, and returns the number of freezes
    /// that have been stored; `nil` if it is lost.
    func renew(_ lease: Lease) async throws(StoreError) -> Int64?
    /// Gives it back, if it is still held. Signals that.
    func release(_ lease: Lease) async throws(StoreError)
    /// Notes that the holder's gate honours that many freezes. Signals that.
    func honour(_ lease: Lease, freezes: Int64) async throws(StoreError)
    func leases() async throws(StoreError) -> [LeaseRow]
    /// Says that the agent lives. Returns the time of the database.
    func report(_ agent: AgentRow) async throws(StoreError) -> Date
    /// All that ever reported, by name.
    func agents() async throws(StoreError) -> [AgentRow]
    /// Asks the agent to give its environments back and take none, or no longer; false if none of that name has reported.
    /// Its next start ends it too. Signals ``StoreSignal/leases``.
    func drain(_ agent: String, _ isDraining: Bool) async throws(StoreError) -> Bool
    /// Forgets an agent that is gone: its row, and what the state knows of its log. False if there is nothing of it, or
    /// it lives: it has reported within a minute, or uses the state and has never reported. One that goes on all the same
    /// is refused to write.
    func forget(_ agent: String) async throws(StoreError) -> Bool
    /// Tells the other agents that listen now. Nothing of it is stored.
    func tell(_ signals: [StoreSignal]) async throws(StoreError)
    /// What other agents store or tell from now on, and changes of leases by all; at first, and after a gap,
    /// ``StoreSignal/everything``. Ends when the store is closed. Call it once.
    func signals() -> AsyncStream<StoreSignal>
}
