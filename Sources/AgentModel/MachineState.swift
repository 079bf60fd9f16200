/// What a machine does, in the words of `qmpstatus`, and what can be done with it.
///
/// As qemu-server has it: a start refuses whatever has a process, a shutdown whatever does not run its system.
package enum MachineState: Sendable, Hashable {
    case stopped
    case running
    /// Has a process that stands still and goes on when it is told to: a resume.
    case halted
    /// Has a process that only a reset brings back.
    case broken
    /// Has a process that is busy with something else, or of which nobody knows what it does.
    case busy

    package init(_ qmpstatus: String) {
        self =
            switch qmpstatus {
            case "stopped", "": .stopped
            case "running": .running
            case "paused", "prelaunch", "suspended", "io-error": .halted
            case "internal-error", "guest-panicked", "shutdown", "watchdog": .broken
            // postmigrate, inmigrate, finish-migrate, restore-vm, save-vm, colo, debug, preconfig
            default: .busy
            }
    }

    /// Whether it uses memory and processors: all that PVE calls running.
    package var hasProcess: Bool { self != .stopped }

    /// What to do with one that has a process and is wanted to run.
    package var cure: String {
        switch self {
        case .stopped: "start it with start_vm"
        case .running: "it runs"
        case .halted: "let it go on with resume_vm"
        case .broken: "bring it back with reset_vm, or stop it with stop_vm"
        case .busy: "wait until that has ended, or stop it with stop_vm"
        }
    }
}
