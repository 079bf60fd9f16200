import StrictJSON

/// Starting and stopping guests.
extension ClusterState {
    /// A worker for the guest that `call` names.
    func work(
        _ verb: String, _ call: EndpointCall, exclusive: Bool = true, duration: Duration? = nil,
        begin: @escaping Work.Step = { _, _ in }, finish: @escaping Work.Step, release: @escaping Work.Undo = { _ in }
    ) -> Work {
        Work(
            type: call.kind.taskPrefix + verb, id: String(call.vmid), node: call.node,
            exclusive: exclusive ? call.vmid : nil, duration: duration, begin: begin, finish: finish, release: release)
    }

    /// Starts a worker for the guest that `call` names.
    mutating func run(
        _ verb: String, _ call: EndpointCall, exclusive: Bool = true, duration: Duration? = nil,
        stages: [Work.Step] = [], begin: @escaping Work.Step = { _, _ in }, finish: @escaping Work.Step,
        release: @escaping Work.Undo = { _ in }
    ) -> Reply {
        var work = work(
            verb, call, exclusive: exclusive, duration: duration, begin: begin, finish: finish, release: release)
        work.stages = stages
        return start(work, by: call.caller)
    }

    /// Starts a worker for the node that `call` names.
    mutating func run(
        type: String, id: String, _ call: EndpointCall, stages: [Work.Step] = [],
        begin: @escaping Work.Step = { _, _ in }, finish: @escaping Work.Step, release: @escaping Work.Undo = { _ in }
    ) -> Reply {
        start(
            Work(
                type: type, id: id, node: call.node, begin: begin, stages: stages, finish: finish, release: release),
            by: call.caller)
    }

    func unlocked(_ call: EndpointCall) throws(Failure) -> Guest {
        let guest = try guest(call)
        if let text = guest.lockedText { throw Failure(text) }
        return guest
    }

    mutating func powerOn(_ call: EndpointCall) throws(Failure) -> Reply {
        let known = guests[call.vmid]
        if call.kind == .container, let known, known.kind == .container, known.power.isOn {
            throw Failure("CT \(call.vmid) already running")
        }
        if let known, known.kind == call.kind, isManaged(known) { return askHA("start", known, call) }
        return start(startWork(call), by: call.caller)
    }

    func startWork(_ call: EndpointCall) -> Work {
        work("start", call) { world, log in
            let guest = try world.guest(call)
            if guest.isTemplate {
                throw Failure("you can't start a \(guest.kind == .vm ? "vm" : "CT") if it's a template")
            }
            if let text = guest.lockedText { throw Failure(text) }
            if guest.power.isOn { throw Failure("\(guest.kind.letters) \(guest.vmid) already running") }
            try world.checkBridges(of: guest, &log)
        } finish: { world, _ in
            world.switchOn(call.vmid)
        }
    }

    /// A missing bridge prevents the start; a network device without a bridge only causes a warning.
    private func checkBridges(of guest: Guest, _ log: inout TaskLog) throws(Failure) {
        for (number, card) in guest.config.cards {
            if let bridge = missingBridge(in: card, on: guest.node) {
                throw Failure("bridge '\(bridge)' does not exist")
            }
            if guest.kind == .vm, card["bridge"] == nil {
                log.warn("Interface 'tap\(guest.vmid)i\(number)' not attached to any bridge.")
            }
        }
    }

    mutating func switchOn(_ vmid: Int) {
        let second = second
        change(vmid) { guest in
            guest.applyPending()
            guest.isCheckpointed = false
            guest.power = guest.config["freeze"] == "1" ? .prelaunch(second) : .running(second)
            guest.writeCloudInitDrive()
        }
    }

    mutating func switchOff(_ vmid: Int) {
        change(vmid) { guest in
            guest.power = .stopped
            guest.applyPending()
            guest.cloudInitDrive = nil
        }
    }

    mutating func powerOff(_ call: EndpointCall) throws(Failure) -> Reply {
        if call.kind == .container {
            let isOn = guests[call.vmid].map { $0.node == call.node && $0.power.isOn } ?? false
            guard isOn else { throw Failure("CT \(call.vmid) not running") }
        }
        if let known = guests[call.vmid], known.kind == call.kind, isManaged(known) {
            guard !call.flag("overrule-shutdown") else {
                throw .parameters(["overrule-shutdown": "Not applicable for HA resources."])
            }
            return askHA("stop", known, call)
        }
        if call.flag("overrule-shutdown") { abortShutdowns(call) }
        return run("stop", call) { world, _ in
            guard let guest = world.guests[call.vmid], guest.node == call.node else {
                throw Failure("unable to find configuration file for VM \(call.vmid) on node '\(call.node)'")
            }
            if guest.power.isOn, let text = guest.lockedText { throw Failure(text) }
        } finish: { world, _ in
            world.switchOff(call.vmid)
        }
    }

    /// Aborts the guest's running shutdowns. Those of other users are aborted only if the caller may change the node.
    private mutating func abortShutdowns(_ call: EndpointCall) {
        let all = call.caller.may("Sys.Modify", on: "/nodes/\(call.node)")
        for task in tasks.active where task.work.id == String(call.vmid) {
            guard task.work.type == call.kind.taskPrefix + "shutdown" else { continue }
            if all || tasks.all[task.upid]?.identity == call.caller.identity { interrupt(task.upid) }
        }
    }

    mutating func shutdown(_ call: EndpointCall) throws(Failure) -> Reply {
        let known = try guest(call)
        if isManaged(known) { return askHA("stop", known, call) }
        if call.kind == .container, !known.power.isOn { throw Failure("CT \(call.vmid) not running") }
        if known.power.isHalted {
            guard call.flag("forceStop") else { throw Failure("VM is paused - cannot shutdown") }
            return try powerOff(call)
        }
        return start(quit("shutdown", known, call), by: call.caller)
    }

    /// A shutdown or reboot. If the guest's system does not react, it waits for its whole timeout.
    private func quit(_ verb: String, _ known: Guest, _ call: EndpointCall) -> Work {
        let isReboot = verb == "reboot"
        let isDeaf = known.power.isOn && !known.answersShutdown
        let timeout = Duration.seconds(call.int("timeout") ?? 60)
        return work(verb, call, duration: isDeaf ? timeout : nil) { world, _ in
            let guest = try world.guest(call)
            if guest.power.isOn, let text = guest.lockedText { throw Failure(text) }
        } finish: { world, log in
            if isDeaf {
                if known.kind == .vm, known.config["agent"] != nil {
                    log.lines.append(
                        "QEMU Guest Agent is not running - VM \(call.vmid) qga command 'guest-ping' failed - "
                            + "got timeout")
                }
                guard call.flag("forceStop") else {
                    throw Failure(
                        known.kind == .vm ? "VM quit/powerdown failed - got timeout" : "container did not stop")
                }
                log.lines.append("VM still running - terminating now with SIGTERM")
            }
            guard world.guests[call.vmid]?.power.isOn == true else { return }
            world.switchOff(call.vmid)
            if isReboot { try world.startAgain(call, &log) }
        }
    }

    /// The second half of a reboot. A container's worker also starts the container. A VM is started by its cleanup
    /// process, as root and in a separate task; the reboot's task does not report how that one ends.
    private mutating func startAgain(_ call: EndpointCall, _ log: inout TaskLog) throws(Failure) {
        guard let guest = guests[call.vmid] else { return }
        guard guest.kind == .container else {
            var other = TaskLog()
            return startNow(call.vmid, by: Caller(user: "root@pam"), &other)
        }
        try checkBridges(of: guest, &log)
        switchOn(call.vmid)
    }

    mutating func reboot(_ call: EndpointCall) throws(Failure) -> Reply {
        let known = try guest(call)
        guard known.power.isOn else { throw Failure("VM \(call.vmid) not running") }
        if known.power.isHalted { throw Failure("VM is paused - cannot shutdown") }
        return start(quit("reboot", known, call), by: call.caller)
    }

    mutating func reset(_ call: EndpointCall) throws(Failure) -> Reply {
        guard try guest(call).power.isOn else { throw Failure("VM \(call.vmid) not running") }
        return run("reset", call) { world, _ in
            _ = try world.unlocked(call)
        } finish: { world, _ in
            let second = world.second
            // A halted VM waits until its processors may run.
            world.change(call.vmid) { $0.power = $0.power.isHalted ? .prelaunch(second) : .running(second) }
        }
    }

    mutating func pause(_ call: EndpointCall) throws(Failure) -> Reply {
        let known = try guest(call)
        guard known.power.isOn else { throw Failure("\(known.kind.letters) \(call.vmid) not running") }
        let toDisk = call.flag("todisk")
        return run(toDisk ? "suspend" : known.kind == .vm ? "pause" : "suspend", call, exclusive: false) { world, _ in
            _ = try world.guest(call)
        } finish: { world, _ in
            world.suspend(call.vmid, toDisk: toDisk)
        }
    }

    /// Pauses a guest, or saves its memory and stops it.
    mutating func suspend(_ vmid: Int, toDisk: Bool) {
        change(vmid) { guest in
            guard let since = guest.power.since else { return }
            if toDisk {
                guest.power = .stopped
                guest.config["lock"] = "suspended"
            } else if guest.kind == .container {
                guest.power = .stopped
                guest.isCheckpointed = true
            } else if !guest.power.isHalted {
                guest.power = .paused(since)
            }
        }
    }

    /// Loads a container's saved state; without one the task fails.
    private mutating func resumeContainer(_ known: Guest, _ call: EndpointCall) throws(Failure) -> Reply {
        guard !known.power.isOn else { throw Failure("CT \(call.vmid) already running") }
        return run("resume", call, exclusive: false) { world, log in
            guard known.isCheckpointed else {
                log.lines.append("lxc-checkpoint: \(call.vmid) is not defined")
                throw Failure(
                    "command 'lxc-checkpoint -n \(call.vmid) -r --foreground -D /var/lib/vz/dump' failed: exit code 1")
            }
        } finish: { world, _ in
            world.switchOn(call.vmid)
        }
    }

    mutating func resume(_ call: EndpointCall) throws(Failure) -> Reply {
        let known = try guest(call)
        if known.kind == .container { return try resumeContainer(known, call) }
        guard known.power.isOn || known.lock == "suspended" else { throw Failure("VM \(call.vmid) not running") }
        return run("resume", call, exclusive: false) { world, log in
            guard try world.guest(call).power.isHalted else { return }
            try world.checkBridges(of: known, &log)
        } finish: { world, _ in
            let second = world.second
            world.change(call.vmid) { guest in
                if guest.lock == "suspended" { guest.config["lock"] = nil }
                guest.power = .running(guest.power.since ?? second)
            }
        }
    }
}
