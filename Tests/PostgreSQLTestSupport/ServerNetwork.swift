internal import Glibc

/// A network namespace for a server, with a link of its own to it for each client. What goes over a link that is cut is
/// lost, as with a cable that is pulled: nobody is told.
package final class ServerNetwork: Sendable {
    /// Whether this process is alone in its network and may make links there, as `scripts/apart` has it.
    package static let isPossible = getenv("PROXMOX_AGENT_OWN_NETWORK") != nil

    private let holder: pid_t
    /// The holder's standard input: when it is closed, the namespace ends.
    private let leash: Int32

    /// Makes one, with a link for each number below `links`.
    package init(links: Int) throws(PostgreSQLServer.Failure) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0, ends.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 }) else {
            throw PostgreSQLServer.Failure(description: "no pipe")
        }
        leash = ends[1]
        defer { close(ends[0]) }
        guard let holder = PostgreSQLServer.spawn(["unshare", "--net", "cat"], input: ends[0]) else {
            close(leash)
            throw PostgreSQLServer.Failure(description: "no network namespace")
        }
        self.holder = holder
        // The server's side has the first address of each link, and 10.77.0.0/16 is nobody's but theirs.
        let make = """
            until [ "$(readlink /proc/\(holder)/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do
                kill -0 \(holder) && sleep 0.02
            done
            for link in $(seq 0 \(links - 1)); do
                ip link add "client$link" type veth peer name "server$link" netns \(holder)
                ip address add "10.77.$link.2/30" dev "client$link"
                ip link set "client$link" up
                \(prefix.joined(separator: " ")) ip address add "10.77.$link.1/30" dev "server$link"
                \(prefix.joined(separator: " ")) ip link set "server$link" up
            done
            """
        guard PostgreSQLServer.run(["sh", "-ec", make]) == 0 else {
            throw PostgreSQLServer.Failure(description: "no links between network namespaces")
        }
    }

    deinit {
        close(leash)
        waitpid(holder, nil, 0)
    }

    /// Where the server is for whoever uses that link.
    package func host(_ link: Int) -> String { "10.77.\(link).1" }

    /// Cuts a link, or mends it.
    package func cut(_ link: Int, _ isCut: Bool) throws(PostgreSQLServer.Failure) {
        let command = ["ip", "link", "set", "server\(link)", isCut ? "down" : "up"]
        guard PostgreSQLServer.run(prefix + command) == 0 else {
            throw PostgreSQLServer.Failure(description: "link \(link) cannot be changed")
        }
    }

    /// What a command goes behind that is to run in there.
    var prefix: [String] { ["nsenter", "--net=/proc/\(holder)/ns/net"] }
}
