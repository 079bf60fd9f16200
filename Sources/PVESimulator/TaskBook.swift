import StrictJSON

/// All tasks that the cluster remembers.
struct TaskBook: Sendable {
    /// Ended tasks beyond this number are forgotten, oldest first.
    static let archiveLimit = 5000

    var all: [String: SimulatedTask] = [:]
    /// UPIDs in the order of their start.
    var order: [String] = []
    var active: [ActiveTask] = []
    var nextPID = 0x1000
    /// The earliest moment at which an active task continues.
    var nextEvent: Duration?

    mutating func forgetOldest() {
        guard order.count > Self.archiveLimit else { return }
        for upid in order.prefix(Self.archiveLimit / 10) where all[upid]?.end != nil { all[upid] = nil }
        order.removeAll { all[$0] == nil }
    }
}

/// A task as its status and log show it.
struct SimulatedTask: Sendable {
    var upid: String
    var node: String
    var type: String
    var id: String
    var user: String
    var token: String?
    var pid: Int
    var pstart: Int
    var start: Int
    var log: [String] = []
    var end: (time: Int, exit: String)?

    var identity: String { token.map { "\(user)!\($0)" } ?? user }
}

/// The log that a worker writes while it runs.
struct TaskLog {
    var lines: [String] = []
    var warnings = 0
    /// The tasks that it started and now waits for.
    var children: [(vmid: Int, upid: String)] = []

    mutating func warn(_ text: String) {
        lines.append("WARN: \(text)")
        warnings += 1
    }
}

/// The work of a task. It begins at once, or when the guest's lock file is free, and takes effect at its end.
struct Work: Sendable {
    typealias Undo = @Sendable (inout ClusterState) -> Void
    typealias Step = @Sendable (inout ClusterState, inout TaskLog) throws -> Void

    var type: String
    var id: String
    var node: String
    /// The guest whose lock file the worker holds; other such workers for that guest wait.
    var exclusive: Int?
    var duration: Duration?
    var begin: Step = { _, _ in }
    /// The steps in between, in order, spread evenly over its duration.
    var stages: [Step] = []
    var finish: Step
    /// Undoes `begin` when the task fails or is stopped.
    var release: Undo = { _ in }
}

/// The effect of a fault on a task.
enum TaskFault: Sendable, Hashable {
    case neverEnds
    /// The task fails at its end, without its effect.
    case fails(String)
    /// The number of warnings.
    case warns(Int)
}

/// A task that has not ended.
struct ActiveTask: Sendable {
    enum Phase: Sendable, Hashable {
        /// Waits for the guest's lock file until this moment.
        case waiting(until: Duration)
        /// `nil` means without end.
        case working(until: Duration?)
    }

    var upid: String
    var phase: Phase
    var work: Work
    var log = TaskLog()
    var fault: TaskFault?
    /// The number of completed stages.
    var stagesDone = 0
    /// Whether a test keeps it from ending by itself.
    var isHeld = false

    var event: Duration? {
        switch phase {
        case .waiting(let until): until
        case .working(let until): until
        }
    }
}

extension ClusterState {
    /// Assigns a UPID to a worker.
    private mutating func enrol(_ work: Work, by caller: Caller) -> String {
        let pid = tasks.nextPID
        tasks.nextPID += 1 + random.below(9)
        let (seconds, attoseconds) = now.components
        let pstart = (Int(seconds) % 40_000_000) * 100 + Int(attoseconds / 10_000_000_000_000_000)
        let ids = "\(hex(pid, digits: 8).uppercased()):\(hex(pstart & 0xFFFF_FFFF, digits: 8).uppercased())"
        let upid =
            "UPID:\(work.node):\(ids):\(hex(second, digits: 8).uppercased()):\(work.type):\(work.id):"
            + "\(caller.identity):"
        tasks.all[upid] = SimulatedTask(
            upid: upid, node: work.node, type: work.type, id: work.id, user: caller.user, token: caller.token, pid: pid,
            pstart: pstart, start: second)
        tasks.order.append(upid)
        tasks.forgetOldest()
        return upid
    }

    /// Records a successful task on `node` that a worker started through a separate command, as root.
    mutating func note(_ type: String, _ id: Int, on node: String) {
        let work = Work(type: type, id: String(id), node: node) { _, _ in }
        let upid = enrol(work, by: Caller(user: "root@pam"))
        end(ActiveTask(upid: upid, phase: .working(until: now), work: work), error: nil)
    }

    /// Starts a worker and answers with its UPID.
    mutating func start(_ work: Work, by caller: Caller) -> Reply {
        let upid = enrol(work, by: caller)
        var active = ActiveTask(upid: upid, phase: .waiting(until: now + .seconds(10)), work: work, fault: taskFault)
        if isBusy(work.exclusive) {
            active.log.lines.append("trying to acquire lock...")
        } else {
            guard begin(&active) else { return .text(upid) }
        }
        tasks.active.append(active)
        advance()
        return .text(upid)
    }

    private func isBusy(_ vmid: Int?) -> Bool {
        guard let vmid else { return false }
        return tasks.active.contains { task in
            if case .working = task.phase { task.work.exclusive == vmid } else { false }
        }
    }

    /// Begins a worker's task; returns false if it fails at once.
    private mutating func begin(_ task: inout ActiveTask) -> Bool {
        do { try task.work.begin(&self, &task.log) } catch {
            end(task, error: Failure.taskText(of: error))
            return false
        }
        task.isHeld = holdsTasks
        proceed(&task)
        return true
    }

    /// Sets when a worker continues; one that never ends stays at its first stage.
    private func proceed(_ task: inout ActiveTask) {
        let steps = task.work.stages.count + 1
        let isEndless = task.isHeld || task.fault == .neverEnds
        let stays = isEndless && (steps == 1 || task.stagesDone > 0)
        task.phase = .working(
            until: stays || waitsForChildren(task) ? nil : now + (task.work.duration ?? taskDuration) / steps)
    }

    func waitsForChildren(_ task: ActiveTask) -> Bool {
        task.log.children.contains { tasks.all[$0.upid].map { $0.end == nil } ?? false }
    }

    /// Wakes the workers that waited for the task that has just ended.
    private mutating func wakeParents(of upid: String) {
        for index in tasks.active.indices where tasks.active[index].log.children.contains(where: { $0.upid == upid }) {
            let parent = tasks.active[index]
            guard parent.fault != .neverEnds, !parent.isHeld, !waitsForChildren(parent) else { continue }
            tasks.active[index].phase = .working(until: now)
        }
    }

    /// Starts a worker from within another one; faults for the request do not apply to it.
    mutating func startInside(_ body: (inout ClusterState) throws(Failure) -> Reply) throws(Failure) -> String? {
        let fault = taskFault
        taskFault = nil
        defer { taskFault = fault }
        guard case .data(.string(let upid)) = try body(&self) else { return nil }
        return upid
    }

    /// Runs all due tasks, in order.
    mutating func advance() {
        let present = now
        defer {
            now = present
            tasks.nextEvent = tasks.active.compactMap(\.event).min()
        }
        while let index = dueTask(at: present) {
            let task = tasks.active.remove(at: index)
            now = min(present, task.event ?? present)
            switch task.phase {
            case .waiting:
                end(task, error: "can't lock file '/var/lock/qemu-server/lock-\(task.work.id).conf' - got timeout")
            case .working: goOn(task)
            }
        }
    }

    private func dueTask(at time: Duration) -> Int? {
        let due = tasks.active.indices.filter { tasks.active[$0].event.map { $0 <= time } ?? false }
        return due.min { (tasks.active[$0].event ?? time) < (tasks.active[$1].event ?? time) }
    }

    /// Runs the next step of a task: a stage, or its end.
    private mutating func goOn(_ task: ActiveTask) {
        var task = task
        let stages = task.work.stages
        do {
            // A task with this fault only makes its preparations.
            if case .fails(let text) = task.fault { throw Failure(text) }
            guard task.stagesDone == stages.count else {
                try stages[task.stagesDone](&self, &task.log)
                task.stagesDone += 1
                proceed(&task)
                return tasks.active.append(task)
            }
            try task.work.finish(&self, &task.log)
            if case .warns(let count) = task.fault {
                for number in 0..<count { task.log.warn("simulated warning \(number + 1)") }
            }
            end(task, error: nil)
        } catch {
            task.work.release(&self)
            end(task, error: Failure.taskText(of: error))
        }
        startWaiting(for: task.work.exclusive)
    }

    private mutating func startWaiting(for vmid: Int?) {
        guard let vmid else { return }
        while let index = tasks.active.firstIndex(where: { task in
            if case .waiting = task.phase { task.work.exclusive == vmid } else { false }
        }) {
            var task = tasks.active.remove(at: index)
            guard begin(&task) else { continue }
            tasks.active.append(task)
            return
        }
    }

    private mutating func end(_ task: ActiveTask, error: String?) {
        let warnings = task.log.warnings
        let exit = error ?? (warnings > 0 ? "WARNINGS: \(warnings)" : "OK")
        let last = error.map { "TASK ERROR: \($0)" } ?? "TASK \(exit)"
        tasks.all[task.upid]?.log = task.log.lines + [last]
        let time = second
        tasks.all[task.upid]?.end = (time, exit)
        wakeParents(of: task.upid)
    }

    /// Stops a running task as its Stop button does.
    mutating func interrupt(_ upid: String) {
        guard let index = tasks.active.firstIndex(where: { $0.upid == upid }) else { return }
        let task = tasks.active.remove(at: index)
        task.work.release(&self)
        end(task, error: "received interrupt")
        startWaiting(for: task.work.exclusive)
        advance()
    }
}
