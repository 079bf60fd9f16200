/// The state of a virtual machine, in the words of `qmpstatus`, and what can be done with it.
///
/// As in qemu-server: a start fails if the machine has a process; a shutdown fails if its system is not running.
package enum MachineState: Sendable, Hashable {
    case stopped
    case running
    /// Has a process that is paused and continues on a resume.
    case halted
    /// Has a process that only a reset makes run again.
    case broken
    /// Has a process that is busy with something else, or whose state is unknown.
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

    /// Whether it uses memory and processors. PVE calls all of these running.
    package var hasProcess: Bool { self != .stopped }

    /// How to make a machine run that already has a process.
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
