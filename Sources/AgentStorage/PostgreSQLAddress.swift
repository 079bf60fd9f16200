internal import PostgreSQL

/// Where a state in PostgreSQL is: `postgresql://USER@HOST:PORT/DATABASE?…`, as libpq reads it, without a password.
package struct PostgreSQLAddress: Sendable, Hashable, CustomStringConvertible {
    /// What libpq is given. Its options may be anything, so it is not shown.
    package let url: String
    /// The user, hosts, ports, database and service in it.
    package let description: String

    package enum Invalid: Error, Sendable, Hashable {
        /// No such URL, or one that libpq might read differently than it is read here.
        case form
        case password
        /// Plain text, or TLS that does not prove the server, to another host.
        case sslmode(String)
    }

    /// Takes it apart as libpq does, and refuses what must not be. What a service's file says is judged when it is
    /// connected to.
    package init(parsing text: String) throws(Invalid) {
        guard let scheme = ["postgresql://", "postgres://"].first(where: text.hasPrefix),
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x23 })
        else { throw .form }
        var rest = text.dropFirst(scheme.count)
        var shown = "postgresql://"
        // A user, whatever is in it: only a slash ends the search for it.
        if let end = rest.firstIndex(where: { "@/".contains($0) }), rest[end] == "@" {
            shown += try Self.name(rest[..<end]) + "@"
            rest = rest[rest.index(after: end)...]
        }
        let authority = rest.prefix { !"/?".contains($0) }
        var hosts = try Self.hosts(authority)
        shown += authority
        rest = rest.dropFirst(authority.count)
        if rest.first == "/" {
            let database = rest.dropFirst().prefix { $0 != "?" }
            shown += try "/" + Self.name(database)
            rest = rest.dropFirst(database.count + 1)
        }
        var (mode, options): (Substring?, [String]) = (nil, [])
        for option in rest.dropFirst().split(separator: "&", omittingEmptySubsequences: false) where !rest.isEmpty {
            let pair = option.split(separator: "=", omittingEmptySubsequences: false)
            guard pair.count == 2, !pair[0].contains("%") else { throw .form }
            // It may be the end of a password with a slash in it.
            guard !pair[1].dropFirst().contains("@") else { throw .password }
            switch pair[0] {
            case "password", "sslpassword": throw .password
            // Where an entry of `hostaddr` is empty, libpq takes that of `host`.
            case "host", "hostaddr": hosts += try pair[1].split(separator: ",").map(Self.host)
            case "port":
                guard pair[1].split(separator: ",").allSatisfy(Self.isPort) else { throw .form }
            case "user", "dbname", "service": _ = try Self.name(pair[1])
            case "sslmode":
                guard Self.modes.contains(pair[1]) else { throw .form }
                mode = pair[1]
            case "ssl":
                guard pair[1] == "true" else { throw .form }
            default: continue
            }
            if Self.shownOptions.contains(pair[0]) { options.append(String(option)) }
        }
        if let mode, mode != "verify-full", !hosts.allSatisfy(Session.isLocal) {
            throw .sslmode("sslmode=\(mode)")
        }
        url = text
        description = shown + (options.isEmpty ? "" : "?" + options.joined(separator: "&"))
    }

    private static let modes: Set<Substring> = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
    private static let shownOptions: Set<Substring> = ["host", "hostaddr", "port", "user", "dbname", "service"]

    /// A user, database or service, if no password can be in it.
    private static func name(_ text: Substring) throws(Invalid) -> String {
        let plain = try decoded(text)
        guard !plain.utf8.contains(where: { [0x3A, 0x3D, 0x40].contains($0) }) else { throw .password }
        return String(text)
    }

    /// Those of `HOST:PORT,[V6]:PORT`.
    private static func hosts(_ text: Substring) throws(Invalid) -> [String] {
        var hosts: [String] = []
        for entry in text.split(separator: ",", omittingEmptySubsequences: false) where !text.isEmpty {
            let end: Substring.Index
            if entry.first == "[" {
                guard let close = entry.firstIndex(of: "]") else { throw .form }
                hosts.append(try host(entry[..<close].dropFirst()))
                end = entry.index(after: close)
            } else {
                end = entry.firstIndex(of: ":") ?? entry.endIndex
                hosts.append(try host(entry[..<end]))
            }
            // Without `@HOST` a password stands where the port does.
            guard end == entry.endIndex || entry[end] == ":" && isPort(entry[end...].dropFirst()) else {
                throw .password
            }
        }
        return hosts
    }

    private static func host(_ text: Substring) throws(Invalid) -> String {
        let plain = try decoded(text)
        guard !plain.dropFirst().contains("@") else { throw .password }
        return plain
    }

    private static func isPort(_ text: Substring) -> Bool {
        text.isEmpty || text.utf8.allSatisfy { (0x30...0x39).contains($0) } && UInt16(text).map { $0 > 0 } == true
    }

    /// Without `%XX`.
    private static func decoded(_ text: Substring) throws(Invalid) -> String {
        let parts = text.split(separator: "%", omittingEmptySubsequences: false)
        var bytes = Array((parts.first ?? "").utf8)
        for part in parts.dropFirst() {
            guard part.utf8.prefix(2).allSatisfy({ UInt8(ascii: "+") != $0 && UInt8(ascii: "-") != $0 }),
                part.utf8.count >= 2, let byte = UInt8(part.prefix(2), radix: 16), byte > 0
            else { throw .form }
            bytes.append(byte)
            bytes += Array(part.utf8.dropFirst(2))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension PostgreSQLAddress.Invalid {
    /// What is wrong and what to do, without the URL, which may hold a password.
    package var detail: String {
        switch self {
        case .form: "expected postgresql://USER@HOST/DATABASE, or postgresql:///?service=NAME"
        case .password:
            "holds a password, or a port that is none; take it out, and name a file with the password in "
                + "state_password_file"
        case .sslmode(let mode):
            "\(mode) does not prove the server, and it is another host; leave it out, or say sslmode=verify-full"
        }
    }
}
