/*
 * Several agents on one state: who may send a call, when, and what becomes of it.
 *
 * Two agents share a database. Two operations of one environment are carried out at PVE by the agent that holds the
 * environment's lease. `make model` visits every state that this model can reach. README.md says what that proves, what
 * it does not, and how to read a counterexample. Each step names the Swift function that does it.
 * `#ifdef` NAMES_IN_CAPITALS break one rule each; `make model` shows that each is noticed.
 *
 * time      A tick is no fixed time. All timers count down together. Any number of ticks may come between two steps. An
 *           agent that is slow, stopped by SIGSTOP, or cut off from the database takes no step meanwhile; so these
 *           need no steps of their own. LEASE: how long a lease is valid. LEAVE: how long a call may take from its gate
 *           to PVE. MARGIN: how much the clocks of two machines may differ over one lease.
 * store     A body of PlanStore.write is one step, whole or not at all. It may fail. It may be done although the agent
 *           is told that it failed; so after an error the agent looks before it goes on.
 * lease     One row: holder, epoch, until when. Every acquisition makes a new epoch. Epochs are only compared, so the
 *           model keeps the result: `current` says whether the agent's epoch is the row's.
 * PVE       executes what reaches it, early or late, or loses it. Its list of tasks shows what was executed.
 * socket    Each call has a connection of its own. PVE closes one on which nothing comes for LEAVE. What an agent that
 *           was stopped writes later reaches nobody.
 * audit     The intent is in the log of the agent that sends. Other records make no difference here.
 * faults    At most FAULTS of: crash, failed write, write without an answer, lost call, lost answer, jump of the
 *           database's clock, lease given back. Pauses, delays and leases that run out are free.
 * calm      At some time faults and pauses end, and one agent may be dead for good. From then on everybody does what it
 *           can before the next tick. After CALM ticks every operation must have ended.
 *
 * Left out: operations of several calls, cancel, expiry, policy, limits, the end of a freeze, several environments
 * (each has a lease of its own), and who should get a lease.
 */

#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef FREEZES
#define FREEZES 1
#endif
#ifndef LEASE
#define LEASE 2
#endif
#ifndef LEAVE
#define LEAVE 1
#endif
#define MARGIN 1
#define CALM (LEASE + MARGIN + 1)

#define NOBODY 2

/* An operation as it is stored. Running: its plan is consumed. Sent: its call counts as sent. Task: PVE's answer is
 * stored. The last three are ends; Failed says that nothing was sent. */
mtype:operation = { None, Queued, Running, Sent, Task, Done, Failed, Unknown }

/* What an agent's task for an operation has done; see Runner. Refused: it will not send, and has to store that. */
mtype:task = { Idle, Consumed, Stored, Passed, Written, Refused }

mtype:plan = { Approved, Claimed, Applying, Ended }
mtype:call = { NotSent, OnItsWay, Executed, Lost }
mtype:freeze = { NoFreeze, Freezing, Frozen }

/* The store: operations, plans, the row of the lease, the freeze. */
mtype:operation stored[2] = None;
mtype:plan plan[2] = Approved;
byte claimer[2];                        /* the operation that has claimed the plan */
byte holder = NOBODY;
byte valid;                             /* what is left of the lease by the database's clock */
bool honoured;                          /* the holder has stored that it honours the freeze */
mtype:freeze freeze = NoFreeze;         /* Freezing: stored, and not answered yet */

/* PVE. */
mtype:call call[2] = NotSent;

/* Each agent's memory: lost in a crash. */
bool gone[2];                           /* dead for good */
bool has[2];                            /* believes that it holds the lease */
bool current[2];                        /* its epoch is the one in the row */
byte proof[2];                          /* how long it can prove its lease, by its own clock */
byte waits[2];                          /* how long the holder before it may still be able to prove the lease */
bool frozen[2];                         /* its gate is closed by the freeze */
mtype:task task[4] = Idle;              /* of agent a for operation o: task[AT(a, o)] */
bool open[4];                           /* PVE still listens on the connection of a call that has passed the gate */
byte clearing;                          /* what is left until no lease from before the freeze can be proven */

/* For the properties only. */
bool consumed[2], recorded[4];

#ifdef APPROVAL_TWICE
bool approved[2];                       /* the agent has read that the plan is approved */
#endif

bool onePlan, oneTarget;                /* both operations apply the same plan; both work on the same guest */
byte faults = FAULTS;
bool calm;
byte ticks;

#define AT(a, o) (2 * (a) + (o))
#define PLAN(o) (onePlan -> 0 : o)
#define ended(o) (stored[o] == None || stored[o] == Done || stored[o] == Failed || stored[o] == Unknown)
#define working(o) (stored[o] == Running || stored[o] == Sent || stored[o] == Task)
#define idle(a) (task[AT(a, 0)] == Idle && task[AT(a, 1)] == Idle)
#define nothingLeaves(a) (task[AT(a, 0)] != Passed && task[AT(a, 1)] != Passed)
/* The operations are alike: the one that comes and begins first is operation 0. */
#define begun (stored[0] != None && (stored[0] != Queued || task[AT(0, 0)] != Idle || task[AT(1, 0)] != Idle))
#define sent(o) (call[o] != NotSent)
/* Both operations have ended: what follows is of no interest. */
#define over (stored[0] != None && stored[1] != None && ended(0) && ended(1) && freeze != Freezing)

/* It may begin and settle operations: LeaseKeeper.leads. */
#define leads(a) (has[a] && waits[a] == 0)
/* A transaction first locks the row of the lease and compares holder and epoch: StoreTransaction.holds. */
#ifdef STORE_UNFENCED
#define fenced(a) true
#else
#define fenced(a) (current[a])
#endif

#define fault (faults > 0 && !calm)

/* ---- What must hold. The comment behind an assertion is what `make model` prints if it fails. ---- */

inline put(o, state) {
    assert(!(stored[o] == Done || stored[o] == Failed || stored[o] == Unknown));    /* an end is final */
    assert(state != Failed || !sent(o));                        /* what ended as not sent was not sent */
    assert(state != Done || call[o] == Executed);               /* what ended as done was done */
    stored[o] = state
}

inline mayLeave(a, o) {
    assert(!sent(o) && !(onePlan && sent(1 - o)));              /* nothing is sent twice */
    assert(recorded[AT(a, o)]);                                 /* the intent is recorded before the call is sent */
#ifndef SEND_BEFORE_RECORD
    assert(stored[o] == Sent);  /* a call counts as sent before it is, and its operation has not ended */
#endif
    assert(!(current[1 - a] && waits[1 - a] == 0));             /* nothing is sent once another agent leads */
    assert(freeze != Frozen);                                   /* nothing is sent after a freeze was answered */
    assert(!(oneTarget && (stored[1 - o] == Sent || stored[1 - o] == Task)))    /* one change of a guest at a time */
}

/* ---- Parts of steps ---- */

/* The lease is lost, or given back: LeaseKeeper.drop. */
inline dropLease(a) { has[a] = false; current[a] = false; proof[a] = 0; waits[a] = 0; frozen[a] = false }

/* By clocks that are faster than the holder's. Slower ones only let others wait longer, as they may at any place. */
#define VALID (calm -> LEASE : LEASE - 1)

inline tick(timer) { timer = (timer > 0 -> timer - 1 : 0) }

/* ---- The lease ---- */

proctype Keeper(byte a) {
end:
    do
    /* LeaseStore.acquire: the row is free, or its time is over by the database's clock. The holder before may
     * still be able to prove its lease. LeaseKeeper.waitedOut waits for that, from the last renewal that this agent
     * saw and by its own clock. Its own tasks from an earlier epoch must have ended. */
    :: atomic { (!gone[a] && !has[a] && (holder == NOBODY || valid == 0 || fault) && !over
#ifndef KEEP_OLD_TASKS
        && idle(a)
#endif
        ) -> printf("agent %d: acquires the lease\n", a);
        if :: holder != NOBODY && valid > 0 -> faults--; printf("the database's clock has jumped\n") :: else fi;
#ifndef TAKEOVER_EARLY
        if :: holder != NOBODY -> waits[a] = valid + MARGIN :: else fi;
#endif
        holder = a; current[1 - a] = false; honoured = false; valid = VALID;
        if
        :: has[a] = true; current[a] = true; proof[a] = LEASE; frozen[a] = (freeze != NoFreeze)
        :: fault -> printf("agent %d: does not learn that\n", a); faults--; waits[a] = 0
        fi }

    /* LeaseStore.renew, every 2 s: the proof counts from before the question, and the answer tells of freezes.
     * An answer that is late is one that the agent does not use for a while. */
    :: atomic { has[a] && proof[a] < LEASE && !over ->
        if
        :: current[a] -> printf("agent %d: renews its lease\n", a);
            valid = VALID;
            proof[a] = LEASE;
#ifdef PROOF_FROM_ANSWER
            if :: skip :: !calm -> valid = 0 fi;        /* the answer took that long */
#endif
#ifndef RENEW_BLIND
            frozen[a] = frozen[a] || freeze != NoFreeze
#endif
        :: else -> printf("agent %d: learns that it has lost its lease\n", a);
            dropLease(a)
        fi }

    /* LeaseStore.release: a clean stop, or the lease belongs elsewhere. The gate is closed first. */
    :: atomic { (leads(a) && fault
#ifndef RELEASE_BUSY
        && nothingLeaves(a)
#endif
        ) -> printf("agent %d: gives its lease back\n", a);
        faults--;
        if :: current[a] -> holder = NOBODY; valid = 0; honoured = false :: else fi;
        dropLease(a) }

    /* FreezeService.reload: told by NOTIFY, or found by polling. Freezes.replace closes the gate. */
    :: atomic { has[a] && freeze != NoFreeze && !frozen[a] -> printf("agent %d: closes its gate\n", a);
        frozen[a] = true }

    /* FreezeService.honour: ChangesLeaving.wait and Hypervisor.finishWriting, then the row says so. */
    :: atomic { (has[a] && frozen[a] && current[a] && freeze == Freezing && !honoured
#ifndef HONOUR_BEFORE_MARGIN
        && waits[a] == 0
#endif
#ifndef HONOUR_EARLY
        && nothingLeaves(a)
#endif
        ) -> printf("agent %d: stores that it honours the freeze\n", a);
        honoured = true }
    od
}

/* ---- One operation in one agent: the write path ---- */

/* PVE is asked for the task, and nothing is sent again: LostCallFinder.find. PVE may also execute the call later. */
inline find(a, o) {
    if
    :: fenced(a) && call[o] == Executed -> printf("agent %d: finds the task of operation %d\n", a, o); put(o, Task)
    :: fenced(a) && call[o] != Executed -> printf("agent %d: operation %d is UNKNOWN\n", a, o);
        plan[PLAN(o)] = Ended; put(o, Unknown)
    :: !fenced(a) -> dropLease(a)
    fi
}

proctype Runner(byte a; byte o) {
end:
    do
    /* OperationRunner.run, lookAgain and consume: its turn has come. AuditedStore.commit records the intent; then one
     * transaction checks lease, plan and freeze, and consumes the plan. TargetLocks: one operation for each guest, and
     * what an earlier holder left has its locks first. */
    :: atomic { (task[AT(a, o)] == Idle && stored[o] == Queued && leads(a)
#ifndef LOCKS_EARLY
        && !(oneTarget && working(1 - o))
#endif
        && !(oneTarget && task[AT(a, 1 - o)] != Idle) && (o == 0 || begun)
        ) ->
        if
        :: fenced(a) && freeze != NoFreeze -> task[AT(a, o)] = Refused
        :: fenced(a) && freeze == NoFreeze -> printf("agent %d: consumes the plan of operation %d\n", a, o);
#ifndef INTENT_LATE
            recorded[AT(a, o)] = true;
#endif
            assert(!consumed[PLAN(o)]);                         /* an approval is used once */
            consumed[PLAN(o)] = true; plan[PLAN(o)] = Applying; put(o, Running);
            if
            :: task[AT(a, o)] = Consumed
            :: fault -> faults--; printf("agent %d: does not learn that\n", a); task[AT(a, o)] = Refused
            fi
        :: fenced(a) && fault -> faults--; printf("agent %d: cannot consume operation %d\n", a, o);
            task[AT(a, o)] = Refused
        :: !fenced(a) -> printf("agent %d: has lost its lease before operation %d began\n", a, o);
            dropLease(a)
        fi }

    /* OutcomeRecorder.store(aboutToSend:): the call counts as sent, unless there is a freeze. */
    :: atomic { task[AT(a, o)] == Consumed ->
        if
        :: !fenced(a) -> printf("agent %d: has lost its lease\n", a);
            dropLease(a); task[AT(a, o)] = Idle
        :: fenced(a) && freeze != NoFreeze -> task[AT(a, o)] = Refused
        :: fenced(a) && freeze == NoFreeze ->
#ifndef SEND_BEFORE_RECORD
            printf("agent %d: stores that the call of operation %d counts as sent\n", a, o);
            put(o, Sent);
#endif
            if
            :: task[AT(a, o)] = Stored
            :: fault -> faults--; printf("agent %d: does not learn that\n", a); task[AT(a, o)] = Refused
            fi
        :: fenced(a) && fault -> faults--; printf("agent %d: cannot store operation %d\n", a, o);
            task[AT(a, o)] = Refused
        fi }

    /* CurlTransfer.pass asks FreezeService.passGate and LeaseKeeper.proves once the connection is open. */
    :: atomic { task[AT(a, o)] == Stored ->
        if
        :: (!frozen[a]
#ifndef NO_FENCE
            && has[a] && proof[a] >= LEAVE
#endif
            ) -> printf("agent %d: the call of operation %d passes the gate\n", a, o);
            open[AT(a, o)] = true; task[AT(a, o)] = Passed
        :: else -> printf("agent %d: the gate is closed to operation %d\n", a, o);
            task[AT(a, o)] = Refused
        fi }

    /* The same call of libcurl writes. In between the process may be stopped, and PVE close the connection. */
    :: atomic { task[AT(a, o)] == Passed && open[AT(a, o)] ->
        printf("agent %d: SENDS the call of operation %d\n", a, o);
        mayLeave(a, o);
        call[o] = OnItsWay; recorded[AT(a, o)] = false; open[AT(a, o)] = false;
        task[AT(a, o)] = Written }

    /* PVE answers, and OutcomeRecorder.keep stores that. */
    :: atomic { task[AT(a, o)] == Written && call[o] == Executed ->
        if
        :: fenced(a) -> printf("agent %d: stores the answer for operation %d\n", a, o);
            put(o, Task)
        :: else -> printf("agent %d: has lost its lease, and leaves operation %d to the next holder\n", a, o);
            dropLease(a)
        fi;
        task[AT(a, o)] = Idle }

    /* PVE does not answer: HypervisorError.mayHaveExecuted, LostCallFinder.findLost. */
    :: atomic { (task[AT(a, o)] == Passed && !open[AT(a, o)] || task[AT(a, o)] == Written && call[o] == Lost) ->
        find(a, o); task[AT(a, o)] = Idle }
    :: atomic { task[AT(a, o)] == Written && fault -> printf("agent %d: gets no answer for operation %d\n", a, o);
        faults--; find(a, o); task[AT(a, o)] = Idle }

    /* OutcomeRecorder.refuseQueued, OutcomeRecorder.finish: this agent knows that it has sent nothing. A plan that was
     * not consumed can be applied again. An earlier try may have been done. */
    :: atomic { task[AT(a, o)] == Refused ->
        if
        :: fenced(a) && !ended(o) -> printf("agent %d: operation %d ends, nothing was sent\n", a, o);
            if
            :: stored[o] == Queued && claimer[PLAN(o)] == o -> plan[PLAN(o)] = Approved
            :: stored[o] != Queued -> plan[PLAN(o)] = Ended
            :: else
            fi;
            put(o, Failed)
        :: fenced(a) && ended(o)
        :: !fenced(a) -> dropLease(a)
        fi;
        recorded[AT(a, o)] = false;
        if
        :: task[AT(a, o)] = Idle
        :: fault && fenced(a) -> faults--; printf("agent %d: does not learn that\n", a)
        fi }

    /* TaskFollower.conclude, OutcomeRecorder.finish: whoever leads follows the task to its end. */
    :: atomic { task[AT(a, o)] == Idle && stored[o] == Task && leads(a) ->
        if
        :: fenced(a) -> printf("agent %d: operation %d has succeeded\n", a, o);
            plan[PLAN(o)] = Ended; put(o, Done)
        :: else -> dropLease(a)
        fi }

#ifndef FORGET
    /* Recovery.takeOver, Recovery.settle: what an earlier holder left, without sending anything again. */
    :: atomic { task[AT(a, o)] == Idle && leads(a) && (stored[o] == Running || stored[o] == Sent) ->
        printf("agent %d: settles operation %d\n", a, o);
#ifdef RESEND
        plan[PLAN(o)] = Claimed; consumed[PLAN(o)] = false; put(o, Queued)
#else
        if :: stored[o] == Running -> task[AT(a, o)] = Refused :: else -> find(a, o) fi
#endif
        }
#endif
    od
}

/* ---- The request that applies a plan, at any agent ---- */

proctype Request(byte o) {
end:
    do
    /* ApplyService.judgeAndClaim: one transaction looks at the plan, binds it to the operation and stores that. The
     * holder hears of it by NOTIFY or by polling: OperationRunner.takeQueued. */
#ifndef APPROVAL_TWICE
    :: atomic { stored[o] == None && plan[PLAN(o)] == Approved && freeze == NoFreeze && (o == 0 || stored[0] != None) ->
#else
    :: atomic { stored[o] == None && plan[PLAN(o)] == Approved -> approved[o] = true }
    :: atomic { approved[o] && (o == 0 || stored[0] != None) -> approved[o] = false;
#endif
        printf("an agent stores operation %d\n", o);
        plan[PLAN(o)] = Claimed; claimer[PLAN(o)] = o; put(o, Queued) }
    od
}

/* ---- A freeze, set through any agent ---- */

#ifdef FREEZE_EARLY
#define cleared true
#else
/* The holder honours it, or the lease was given back, or none from before the freeze can be proven any more. */
#define cleared (honoured || holder == NOBODY || clearing == 0)
#endif

proctype Freezer() {
end:
    do
    /* FreezeService.freeze records and stores it. */
    :: atomic { FREEZES && !over && freeze == NoFreeze -> printf("a freeze is stored\n");
        freeze = Freezing; honoured = false;
#ifndef FREEZE_WITHOUT_MARGIN
        clearing = VALID + MARGIN }
#else
        clearing = VALID }
#endif

    /* FreezeService.waitUntilHonoured, then the answer. */
    :: atomic { freeze == Freezing && cleared -> printf("the freeze is ANSWERED\n");
        freeze = Frozen; clearing = 0 }
    od
}

/* ---- PVE, one call ---- */

proctype PVE(byte o) {
end:
    do
    :: atomic { call[o] == OnItsWay -> printf("PVE: executes the call of operation %d\n", o); call[o] = Executed }
    :: atomic { call[o] == OnItsWay && fault -> printf("PVE: never gets the call of operation %d\n", o);
        faults--; call[o] = Lost }
    od
}

/* ---- Crashes ---- */

inline forget(a, o) { task[AT(a, o)] = Idle; open[AT(a, o)] = false; recorded[AT(a, o)] = false }

/* The process comes back as another holder, which waits for its own old lease as for any other. */
inline crash(a) { printf("agent %d: CRASHES\n", a); dropLease(a); forget(a, 0); forget(a, 1) }

proctype Crashes(byte a) {
end:
    do
    :: atomic { fault && !over -> faults--; crash(a) }
    od
}

/* ---- Time ---- */

/* What must be possible, lest the rules hold because nothing happens: each of these must fail. */
#if defined(CAN_SUCCEED)
#define never (!onePlan && stored[0] == Done && stored[1] == Done)
#elif defined(CAN_APPLY_AGAIN)
#define never (onePlan && stored[0] == Failed && stored[1] == Done)
#elif defined(CAN_TAKE_OVER)
#define never (holder == 1 && stored[0] == Done && faults == FAULTS)
#elif defined(CAN_BE_UNKNOWN)
#define never (stored[0] == Unknown && call[0] == Executed)
#elif defined(CAN_FREEZE)
#define never (freeze == Frozen && stored[0] == Task && stored[1] == Queued)
#else
#define never false
#endif

inline pass() {
    assert(!never);                                             /* this must be possible */
    tick(valid); tick(clearing);
    tick(proof[0]); tick(proof[1]); tick(waits[0]); tick(waits[1]);
#ifndef NO_SOCKET_DEADLINE
    open[0] = false; open[1] = false; open[2] = false; open[3] = false
#endif
}

proctype Clock() {
end:
    do
    :: atomic { !over -> printf("time passes\n"); pass() }
    :: atomic { !over -> printf("it is calm from now on\n"); calm = true; faults = 0;
        if
        :: skip
        :: crash(0); gone[0] = true
        :: crash(1); gone[1] = true
        fi;
        break }
    od;

    /* `timeout`: nobody else can take a step. To go on for ever without a tick would be an acceptance cycle. */
end_calm: accept_calm:
    do
    :: atomic { timeout && ticks < CALM -> printf("time passes\n"); pass(); ticks++;
        assert(ticks < CALM || ended(0) && ended(1) && freeze != Freezing) }    /* everything comes to an end */
    :: ticks == CALM -> break
    od
}

init {
    atomic {
        if                              /* one plan, one guest; two plans, one guest; two of each */
        :: onePlan = true; oneTarget = true
        :: oneTarget = true
        :: skip
        fi;
        /* Somebody has the lease. */
        holder = 0; valid = VALID; has[0] = true; current[0] = true; proof[0] = LEASE;
        run Clock();
        run Keeper(0); run Keeper(1);
        run Runner(0, 0); run Runner(0, 1); run Runner(1, 0); run Runner(1, 1);
        run Request(0); run Request(1); run Freezer(); run PVE(0); run PVE(1); run Crashes(0); run Crashes(1)
    }
}
