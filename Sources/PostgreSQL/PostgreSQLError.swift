/// A call into PostgreSQL that failed.
package struct PostgreSQLError: Error, Sendable, Hashable {
    /// The kind of failure, as far as the remedies differ.
    package enum Cause: Sendable, Hashable {
        /// libpq itself is missing.
        case noLibrary
        /// The connection string, or the service that it names, is wrong.
        case address
        /// No server answers there.
        case unreachable
        /// The server takes no connection now: it starts, stops, or has too many.
        case notReady
        /// Wrong user, password or database, or a host that it does not let in.
        case login
        /// No TLS, or not with a certificate that is trusted.
        case tls
        /// Plain text, or TLS that does not prove the server, to another host.
        case unprotected
        /// The connection broke, or an answer took too long. What was under way may have been done or not.
        case lost
        case readOnly, full, forbidden, busy, tooSlow, other
    }

    package let cause: Cause
    /// Of the server; empty if the error is libpq's or ours.
    package let state: String
    /// What was attempted: the function and the beginning of the statement, without values.
    package let operation: String
    /// What the server or libpq said, as one line.
    package let text: String

    init(_ cause: Cause, state: String = "", _ operation: String, _ text: String) {
        self.cause = cause
        self.state = state
        self.operation = operation
        self.text = text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    /// What the server reported, by its SQLSTATE.
    init(state: String, _ operation: String, _ text: String) {
        self.init(Self.cause(of: state), state: state, operation, text)
    }

    private static func cause(of state: String) -> Cause {
        switch state {
        case "25006": .readOnly
        case "53100": .full
        case "42501": .forbidden
        case "40001", "40P01", "55P03": .busy
        case "57014": .tooSlow
        case "28000", "28P01", "3D000": .login
        case "57P03", "53300": .notReady
        case "57P01", "57P02", "57P04", "57P05", "25P03": .lost
        case let other where other.hasPrefix("08"): .lost
        default: .other
        }
    }
}

extension PostgreSQLError: CustomStringConvertible {
    package var description: String { "\(text) (PostgreSQL \(state.isEmpty ? "" : state + ", ")\(operation))" }
}
