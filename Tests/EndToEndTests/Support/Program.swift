import Dispatch
import Glibc
import Synchronization
import Testing
import WireTestSupport

/// The built executable as a process of its own.
final class Program: Sendable {
    /// What a program that has ended leaves behind.
    struct Result: Sendable, CustomStringConvertible {
        /// The exit status; a signal's number, negated, where one ended it.
        let status: Int32
        let out: String
        let err: String
        var dumpedCore = false

        var description: String { "status \(status)\n\(out)\n\(err)" }
    }

    let pid: pid_t
    private let out: Output
    private let err: Output
    private let isReaped = Mutex(false)

    /// The program that was built beside this test bundle.
    static let path: String = {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let places = [String(decoding: buffer[..<max(count, 0)], as: UTF8.self)] + CommandLine.arguments
        let candidates = places.compactMap { place in place.lastIndex(of: "/").map { place[..<$0] + "/proxmox-agent" } }
        return candidates.map { String($0) }.first { access($0, X_OK) == 0 } ?? "proxmox-agent"
    }()

    /// Starts it with this environment, and nothing of the test's own.
    ///
    /// `input` is the file that it reads as standard input; `onTerminal` puts a terminal between it and this process,
    /// on which that is typed, and whose every output is standard output here.
    init(
        _ arguments: [String], variables: [String: String] = [:], input: String = "/dev/null", onTerminal: Bool = false
    ) throws {
        let own = [Self.path] + arguments
        let command = onTerminal ? ["/usr/bin/script", "-qec", own.joined(separator: " "), "/dev/null"] : own
        out = try Output()
        err = try Output()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, out.writeEnd, 1)
        posix_spawn_file_actions_adddup2(&actions, err.writeEnd, 2)
        var argv: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var child = pid_t()
        let code = posix_spawn(&child, command[0], &actions, nil, &argv, &envp)
        try #require(code == 0, "\(command[0]): \(String(cString: strerror(code)))")
        pid = child
        out.collect()
        err.collect()
    }

    deinit {
        guard !isReaped.withLock({ $0 }) else { return }
        kill(pid, SIGKILL)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }

    /// Runs it to its end.
    static func run(_ arguments: String..., variables: [String: String] = [:]) async throws -> Result {
        try await Program(arguments, variables: variables).end()
    }

    func signal(_ number: Int32) { kill(pid, number) }

    /// From now on none of its files may grow beyond so many bytes, as on a full disk, or `unlimited`.
    func limitFileSize(_ limit: String) async throws {
        let pid = pid
        let isSet = await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: Self.limit(pid, limit)) }
        }
        try #require(isSet)
    }

    private static func limit(_ pid: pid_t, _ limit: String) -> Bool {
        let command = ["prlimit", "--pid", "\(pid)", "--fsize=\(limit):"]
        var argv: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        defer { for pointer in argv { free(pointer) } }
        var child = pid_t()
        guard posix_spawn(&child, "/usr/bin/prlimit", nil, nil, &argv, nil) == 0 else { return false }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        return status == 0
    }

    /// Waits for its end; one that takes longer than `seconds` is killed.
    func end(within seconds: Int = 20) async throws -> Result {
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(seconds)) { [weak self] in
            self?.isReaped.withLock { [pid = self?.pid] isReaped in
                if !isReaped, let pid { kill(pid, SIGKILL) }
            }
        }
        let status: Int32 = await withCheckedContinuation { continuation in
            DispatchQueue(label: "program").async { [self] in
                // The zombie keeps its number until it is reaped, under the lock.
                var info = siginfo_t()
                while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) < 0, errno == EINTR {}
                var status: Int32 = 0
                isReaped.withLock { isReaped in
                    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
                    isReaped = true
                }
                continuation.resume(returning: status)
            }
        }
        let signal = status & 0x7F
        return Result(
            status: signal == 0 ? (status >> 8) & 0xFF : -signal, out: await out.whole(), err: await err.whole(),
            dumpedCore: signal != 0 && status & 0x80 != 0)
    }

    /// The first whole line on standard error, or on standard output, for which `matches` holds.
    func line(
        within limit: Duration = .seconds(20), ofOutput: Bool = false, _ matches: (Substring) -> Bool
    ) async throws -> String {
        let deadline = ContinuousClock.now + limit
        while true {
            let now = (ofOutput ? out : err).now
            let lines = now.text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            if let line = lines.first(where: matches) { return String(line) }
            guard !now.isWhole, await now.next.wait(within: deadline - .now) else {
                throw Missed(what: "a line; there is: \(now.text)")
            }
        }
    }
}

/// What a program writes to one of its descriptors.
private final class Output: Sendable {
    struct Snapshot: Sendable {
        var bytes: [UInt8] = []
        var isWhole = false
        /// Opens when there is more, or no more.
        var next = Latch()

        var text: String { String(decoding: bytes, as: UTF8.self) }
    }

    let writeEnd: Int32
    private let readEnd: Int32
    private let state = Mutex(Snapshot())

    init() throws {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    var now: Snapshot { state.withLock { $0 } }

    /// Gives the writing end away and reads until nobody holds it any more.
    func collect() {
        close(writeEnd)
        DispatchQueue(label: "output").async { [self] in
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(readEnd, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                let passed = state.withLock { state in
                    defer { state.next = Latch() }
                    state.bytes.append(contentsOf: buffer[..<max(count, 0)])
                    state.isWhole = count <= 0
                    return state.next
                }
                passed.open()
                if count <= 0 { break }
            }
            close(readEnd)
        }
    }

    func whole() async -> String {
        while true {
            let now = self.now
            if now.isWhole { return now.text }
            guard await now.next.wait(within: .seconds(5)) else { return now.text }
        }
    }
}
