internal import Glibc
internal import Synchronization

/// A PostgreSQL server of its own, with its data in a temporary directory. It listens on a Unix socket there and on
/// 127.0.0.1, with TLS offered, and ends with the process that started it.
package final class PostgreSQLServer: Sendable {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// The role that owns everything, and its password.
    package static let user = "agent"
    package static let password = "correct horse"

    /// The newest installed server's programs; `nil` if there are none.
    private static let programs: String? = {
        let root = "/usr/lib/postgresql"
        let versions = listing(root).compactMap { Int($0) }.sorted()
        guard let newest = versions.last, access("\(root)/\(newest)/bin/initdb", X_OK) == 0 else { return nil }
        return "\(root)/\(newest)/bin"
    }()

    package static let isPossible = programs != nil
    package static let whyNot = "PostgreSQL's server is not installed: apt-get install postgresql"

    private static let started = Result { () throws(Failure) in try PostgreSQLServer() }

    /// One server for all tests of this process.
    package static var shared: PostgreSQLServer {
        get throws(Failure) { try started.get() }
    }

    /// Where everything is; its owner is the server's user.
    package let directory: String
    package let port: Int
    private let programs: String
    private let network: ServerNetwork?
    /// The watcher's standard input; closing it ends server and directory.
    private let leash: Int32
    private let names = Mutex(0)

    /// Makes and starts one. `settings` are lines of `postgresql.conf`. As a standby it has what the primary has, and from
    /// then on the primary's commits wait for it. In a `network` of its own it is reached through its Unix socket, and
    /// at the host of each link.
    package init(
        _ settings: [String] = [], standbyOf primary: PostgreSQLServer? = nil, in network: ServerNetwork? = nil
    ) throws(Failure) {
        guard let programs = Self.programs else { throw Failure(description: Self.whyNot) }
        self.programs = programs
        self.network = network
        directory = try Self.makeDirectory()
        port = try Self.freePort()
        let lines =
            [
                "port = \(port)", "listen_addresses = '\(network == nil ? "127.0.0.1" : "*")'",
                "unix_socket_directories = '\(directory)'",
                "fsync = off", "ssl = on", "ssl_cert_file = '\(directory)/server.crt'",
                "ssl_key_file = '\(directory)/server.key'", "log_min_messages = warning", "max_connections = 200",
                "shared_buffers = 16MB", "wal_level = replica",
            ] + settings
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0, ends.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 }) else {
            throw Failure(description: "no pipe")
        }
        leash = ends[1]
        let make =
            if let primary {
                "'\(programs)/pg_basebackup' -D data -R -c fast --no-sync -d '\(primary.address("postgres"))' "
                    + ">initdb.log 2>&1"
            } else {
                "'\(programs)/initdb' -D data -U \(Self.user) --pwfile=password --auth-local=trust "
                    + "--auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync >initdb.log 2>&1"
            }
        let links = network == nil ? "" : (0..<8).map { ",IP:10.77.\($0).1" }.joined()
        let prepare = """
            cd \(directory)
            printf '%s' '\(Self.password)' >password
            \(make)
            for line in "$@"; do printf '%s\\n' "$line"; done >>data/postgresql.conf
            echo 'host all all 10.77.0.0/16 scram-sha-256' >>data/pg_hba.conf
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test \\
                -keyout server.key -out server.crt -addext 'subjectAltName=DNS:localhost,IP:0.0.0.0\(links)' 2>openssl.log
            chmod 600 server.key
            """
        let isRoot = geteuid() == 0
        let drop = isRoot ? ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] : []
        guard Self.run(drop + ["sh", "-ec", prepare, "sh"] + lines) == 0 else {
            close(ends[0])
            throw Failure(description: "initdb failed: see \(directory)")
        }
        // Ends everything when this process has ended, however that was.
        let watch = """
            cat >/dev/null; kill -QUIT $(head -n1 '\(directory)/data/postmaster.pid') 2>/dev/null; sleep 0.2
            rm -rf '\(directory)'
            """
        // No child of this process: one that nobody waits for would hide the ends of others.
        _ = Self.run(["sh", "-c", "exec 3<&0; setsid sh -c \"$1\" <&3 3<&- &", "sh", watch], input: ends[0])
        close(ends[0])
        try start()
        guard let primary else { return }
        try primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        try primary.sql("SELECT pg_reload_conf()")
        let deadline = ContinuousClock.now + .seconds(30)
        while try primary.sql("SELECT sync_state FROM pg_stat_replication") != "sync\n" {
            guard ContinuousClock.now < deadline else { throw Failure(description: "the standby does not follow") }
        }
    }

    deinit { close(leash) }

    /// Starts it, and waits until it answers.
    package func start() throws(Failure) {
        guard control(["-w", "-t", "30", "-l", "\(directory)/server.log", "start"]) else {
            throw Failure(description: "the server does not start: see \(directory)/server.log")
        }
    }

    /// Stops it: `fast` breaks its connections, `immediate` is like a crash.
    package func stop(_ mode: String = "fast") { _ = control(["-w", "-m", mode, "stop"]) }

    /// Restarts it as a standby, which replays what no primary sends.
    package func restartAsStandby() throws(Failure) {
        stop()
        guard Self.run(asUser(["touch", "\(directory)/data/standby.signal"])) == 0 else {
            throw Failure(description: "no standby.signal")
        }
        try start()
    }

    /// Makes a standby the primary.
    package func promote() throws(Failure) {
        guard control(["-w", "promote"]) else { throw Failure(description: "the standby is not promoted") }
    }

    private func control(_ arguments: [String]) -> Bool {
        Self.run((network?.prefix ?? []) + asUser(["\(programs)/pg_ctl", "-D", "\(directory)/data"] + arguments)) == 0
    }

    private func asUser(_ command: [String]) -> [String] {
        (geteuid() == 0 ? ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] : []) + command
    }

    /// Runs SQL as the owner, in `psql`; what it prints.
    @discardableResult
    package func sql(_ text: String, in database: String = "postgres") throws(Failure) -> String {
        let out = "\(directory)/out-\(number())"
        let command = "'\(programs)/psql' -X -q -A -t -v ON_ERROR_STOP=1 -c \"$1\" \"$2\" >'\(out)' 2>&1"
        let status = Self.run(asUser(["sh", "-c", command, "sh", text, address(database)]))
        let lines = Self.read(out)
        unlink(out)
        guard status == 0 else { throw Failure(description: "\(text): \(lines)") }
        return lines
    }

    /// Sends a signal to the server.
    package func signal(_ signal: Int32) {
        guard
            let pid = Self.read("\(directory)/data/postmaster.pid").split(separator: "\n").first.flatMap({ Int32($0) })
        else { return }
        for child in Self.read("/proc/\(pid)/task/\(pid)/children").split(separator: " ") {
            if let child = Int32(child) { kill(child, signal) }
        }
        kill(pid, signal)
    }

    private func number() -> Int {
        names.withLock { number in
            number += 1
            return number
        }
    }

    /// A new, empty database; its name.
    package func makeDatabase(_ options: String = "") throws(Failure) -> String {
        let name = "test\(number())"
        try sql("CREATE DATABASE \(name) \(options)")
        return name
    }

    /// Through the Unix socket.
    package func address(_ database: String, user: String = PostgreSQLServer.user) -> String {
        "postgresql:///\(database)?host=\(directory)&port=\(port)&user=\(user)"
    }

    /// Through TCP, at `host`, where a password is asked for.
    package func address(
        _ database: String, at host: String, port: Int? = nil, user: String = PostgreSQLServer.user, _ more: String = ""
    ) -> String {
        "postgresql://\(user)@\(host):\(port ?? self.port)/\(database)\(more)"
    }

    /// The certificate that proves the server as `localhost` and 0.0.0.0, which Linux takes for loopback.
    package var authority: String { "\(directory)/server.crt" }
}

// MARK: - The system

extension PostgreSQLServer {
    private static func makeDirectory() throws(Failure) -> String {
        var template = Array("/tmp/pg-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } != nil }
        guard made else { throw Failure(description: "no directory") }
        let path = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
        // The tests read the certificate whatever user they run as.
        chmod(path, 0o755)
        if geteuid() == 0, let nobody = getpwnam("nobody") { chown(path, nobody.pointee.pw_uid, nobody.pointee.pw_gid) }
        return path
    }

    /// A port of 127.0.0.1 that was free a moment ago, below those that the kernel gives to whoever asks for any.
    package static func freePort() throws(Failure) -> Int {
        for _ in 0..<100 {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            let port = UInt16.random(in: 20_000..<32_000)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            address.sin_port = port.bigEndian
            let isBound = withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            if isBound { return Int(port) }
        }
        throw Failure(description: "no port")
    }

    private static func listing(_ path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names
    }

    private static func read(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var (bytes, block): ([UInt8], [UInt8]) = ([], [UInt8](repeating: 0, count: 65_536))
        while case let count = Glibc.read(descriptor, &block, block.count), count > 0 { bytes += block[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Runs a program to its end: its status as `waitpid` has it.
    static func run(_ arguments: [String], input: Int32? = nil) -> Int32 {
        guard let child = spawn(arguments, input: input) else { return -1 }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        return status
    }

    static func spawn(_ arguments: [String], input: Int32?) -> pid_t? {
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input { posix_spawn_file_actions_adddup2(&actions, input, 0) }
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var child = pid_t()
        return posix_spawnp(&child, arguments[0], &actions, nil, &pointers, environ) == 0 ? child : nil
    }
}
