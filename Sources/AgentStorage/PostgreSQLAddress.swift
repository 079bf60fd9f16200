internal import PostgreSQL

/// Where a state in PostgreSQL is: `postgresql://USER@HOST:PORT/DATABASE?…`, as libpq reads it, without a password.
package struct PostgreSQLAddress: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package enum Invalid: Error, Sendable, Hashable {
        /// No such URL, or one that libpq might read differently than it is read here.
        case form
        case password
        /// Plain text, or TLS that does not prove the server, to another host.
        case sslmode(String)
    }

    /// Reads enough of it to refuse what must not be. What a service's file says is judged when it is connected to.
    package init(parsing text: String) throws(Invalid) {
        guard let scheme = ["postgresql://", "postgres://"].first(where: text.hasPrefix),
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x23 })
        else { throw .form }
        let parts = text.dropFirst(scheme.count).split(separator: "?", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { throw .form }
        let authority = parts[0].prefix { $0 != "/" }
        let userinfo = authority.lastIndex(of: "@").map { authority[..<$0] } ?? ""
        guard !userinfo.contains(":"), !userinfo.lowercased().contains("%3a") else { throw .password }
        // What looks like a path may be the rest of a password with a slash in it.
        guard !parts[0].dropFirst(authority.count).contains("@") else { throw .password }
        var (hosts, mode): ([Substring], Substring?) = (Self.hosts(authority.dropFirst(userinfo.count)), nil)
        for option in parts.dropFirst().joined().split(separator: "&") {
            let pair = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, !pair[0].contains("%") else { throw .form }
            switch pair[0] {
            case "password", "sslpassword": throw .password
            // Where an entry of `hostaddr` is empty, libpq takes that of `host`.
            case "host", "hostaddr": hosts += pair[1].replacing("%2F", with: "/").split(separator: ",")
            case "sslmode": mode = pair[1]
            case "ssl" where pair[1] != "true": throw .sslmode("ssl=\(pair[1])")
            default: break
            }
        }
        if let mode, mode != "verify-full", !hosts.allSatisfy({ Session.isLocal(String($0)) }) {
            throw .sslmode("sslmode=\(mode)")
        }
        description = text
    }

    /// Those of `@HOST:PORT,[V6]:PORT`.
    private static func hosts(_ text: Substring) -> [Substring] {
        text.drop { $0 == "@" }.split(separator: ",").map { host in
            host.first == "[" ? host.dropFirst().prefix { $0 != "]" } : host.prefix { $0 != ":" }
        }
    }
}

extension PostgreSQLAddress.Invalid {
    /// What is wrong and what to do, without the URL, which may hold a password.
    package var detail: String {
        switch self {
        case .form: "expected postgresql://USER@HOST/DATABASE, or postgresql:///?service=NAME"
        case .password: "holds a password; take it out, and name a file with it in state_password_file"
        case .sslmode(let mode):
            "\(mode) does not prove the server, and it is another host; leave it out, or say sslmode=verify-full"
        }
    }
}
